// Relative times that keep going, with local time and UTC in the title.
import { html } from "./html.js";
import { age, duration, moments } from "./format.js";
import { now, useLive } from "./live.js";

export function Ago({ at, suffix = true }) {
  useLive();
  if (at == null) return html`<span class="faint">–</span>`;
  const seconds = now() - at;
  const { local, utc, iso } = moments(at);
  const words = Math.abs(seconds) < 1 ? "now"
    : seconds < 0 ? `in ${age(-seconds)}` : suffix ? `${age(seconds)} ago` : age(seconds);
  return html`<time datetime=${iso} title=${`${local} (local)\n${utc}`}>${words}</time>`;
}

// How long something has lasted.
export function Since({ at }) {
  useLive();
  if (at == null) return html`<span class="faint">–</span>`;
  const { local, utc, iso } = moments(at);
  return html`<time datetime=${iso} title=${`since ${local} (local)\n${utc}`}>${duration(Math.max(0, now() - at))}</time>`;
}
