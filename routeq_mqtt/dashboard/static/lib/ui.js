// Parts that every page uses.
import { html, useEffect, useRef, useState } from "./html.js";
import { act } from "./api.js";
import { count } from "./format.js";
import { filter, link } from "./route.js";

// A mark and a word: nobody has to tell colours apart.
const MARKS = {
  __proto__: null,
  done: "✓", failed: "✕", running: "▶", waiting: "○", parked: "○", released: "○", delayed: "◷",
  held: "‖", limited: "≋", cancelled: "⊘", online: "●", stopped: "◌", lost: "✕", silent: "!",
  drained: "‖", adopting: "↻", paused: "‖", retried: "↻", warning: "!", ok: "✓",
};

export function State({ of, label }) {
  return html`<span class=${`state s-${of}`}><span aria-hidden="true">${MARKS[of] || "•"}</span> ${label || of}</span>`;
}

export const Empty = ({ children, title }) => html`<div class="empty"><p class="empty-title">${title}</p><p>${children}</p></div>`;

export const Problem = ({ error, again }) => html`<div class="problem" role="alert"><strong>${error.message}</strong>${again && html` <button class="link" onClick=${again}>Try again</button>`}</div>`;

// Content of a request: its rows, what went wrong, or a place of the same height until it is here.
export function Loaded({ answer, children }) {
  const data = answer.data || answer.stale;
  return html`
    ${answer.error && html`<${Problem} error=${answer.error} again=${answer.again} />`}
    ${data ? html`<div class=${answer.data ? "" : "stale"}>${children(data)}</div>` : !answer.error && html`<div class="wait" aria-busy="true"><span class="sr">Loading</span></div>`}`;
}

export const Panel = ({ title, side, children, id }) => html`
  <section class="panel" aria-labelledby=${id}>
    ${title && html`<header><h2 id=${id}>${title}</h2>${side && html`<div class="side">${side}</div>`}</header>`}
    ${children}
  </section>`;

export const Number = ({ label, value, unit, kind, href, title }) => {
  const inside = html`<span class="n-label">${label}</span><span class="n-value">${value}${unit && html` <small>${unit}</small>`}</span>`;
  return href
    ? html`<a class=${`number ${kind || ""}`} href=${href} title=${title}>${inside}</a>`
    : html`<div class=${`number ${kind || ""}`} title=${title}>${inside}</div>`;
};

export const QueueLink = ({ name }) => html`<a href=${link(["queue", name])}>${name}</a>`;
export const JobLink = ({ id }) => html`<a class="mono id" href=${link(["job", id])} title=${id}>${id.length > 18 ? `…${id.slice(-12)}` : id}</a>`;

export function Choice({ label, name, value, options, fallback = "" }) {
  const choose = (event) => filter({ [name]: event.target.value === fallback ? "" : event.target.value, cursor: "" });
  const known = options.some(([option]) => option === value) || !value ? options : [...options, [value, value]];
  return html`<label class="field"><span>${label}</span><select value=${value || fallback} onChange=${choose}>
    ${known.map(([option, words]) => html`<option key=${option} value=${option} selected=${option === (value || fallback)}>${words}</option>`)}
  </select></label>`;
}

// A text filter: in the address once typing rests.
export function Search({ label, name, value, placeholder, main }) {
  const [text, set] = useState(value || "");
  const timer = useRef(0);
  const sent = useRef(value || "");
  // An address that we have not written ourselves: a link, the back button. Ours may be older than
  // what has been typed meanwhile.
  useEffect(() => { if ((value || "") !== sent.current) { sent.current = value || ""; set(sent.current); } }, [value]);
  const typed = (event) => {
    set(event.target.value);
    clearTimeout(timer.current);
    const wanted = event.target.value;
    timer.current = setTimeout(() => { sent.current = wanted.trim(); filter({ [name]: sent.current, cursor: "" }, { replace: true }); }, 300);
  };
  return html`<label class="field grow"><span>${label}</span><input type="search" value=${text} placeholder=${placeholder} onInput=${typed} data-main-search=${main ? "" : undefined} /></label>`;
}

export const Tabs = ({ label, items }) => html`<nav class="tabs" aria-label=${label}>${items.map(([words, href, chosen]) => html`<a key=${words} href=${href} aria-current=${chosen ? "true" : undefined}>${words}</a>`)}</nav>`;

// `note`: what the copy lacks; shown when it is made.
export function Copy({ text, label = "Copy", note = "" }) {
  const [done, set] = useState(false);
  const copy = async () => {
    try { await navigator.clipboard.writeText(text); } catch { return; }
    set(true);
    if (note) say(note, "bad");
    setTimeout(() => set(false), 1500);
  };
  return html`<button class="quiet" onClick=${copy}>${done ? "Copied" : label}</button>`;
}

// A value as an indented tree of text.
export const Json = ({ value }) => html`<pre class="json" tabindex="0">${typeof value === "string" ? value : JSON.stringify(value, null, 2)}</pre>`;

// -- what was done -------------------------------------------------------------------------------

const toasts = [];
const shows = new Set();
export function say(words, kind = "ok") {
  const toast = { words, kind, id: Math.random() };
  toasts.push(toast);
  for (const show of shows) show(toasts.length + Math.random());
  setTimeout(() => { toasts.splice(toasts.indexOf(toast), 1); for (const show of shows) show(Math.random()); }, kind === "ok" ? 5000 : 15000);
}

export function Toasts() {
  const [, set] = useState(0);
  useEffect(() => { shows.add(set); return () => shows.delete(set); }, []);
  return html`<div class="toasts" role="status" aria-live="polite">${toasts.map((toast) => html`<p key=${toast.id} class=${toast.kind}>${toast.words}</p>`)}</div>`;
}

// Do something, and tell what came of it.
export async function perform(method, args, words) {
  try {
    const reply = await act(method, args);
    say(typeof words === "function" ? words(reply) : words);
    return reply;
  } catch (error) {
    say(error.message, "bad");
    return null;
  }
}

// -- asking first ---------------------------------------------------------------------------------

let open = () => {};
export function confirm(question) { open(question); }

// {title, body, verb, danger, fields, run(values)}
export function Confirm() {
  const [question, set] = useState(null);
  const dialog = useRef(null);
  open = set;
  useEffect(() => {
    const element = dialog.current;
    if (question && element && !element.open) element.showModal();
    if (!question && element && element.open) element.close();
  }, [question]);
  const submit = (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(event.target));
    set(null);
    question.run(values);
  };
  return html`<dialog ref=${dialog} onClose=${() => set(null)} aria-labelledby="ask-title">
    ${question && html`<form onSubmit=${submit}>
      <h2 id="ask-title">${question.title}</h2>
      ${question.body && html`<div class="ask-body">${question.body}</div>`}
      ${question.fields}
      <div class="buttons"><button type="button" onClick=${() => set(null)}>Cancel</button><button class=${question.danger ? "danger" : "primary"} type="submit">${question.verb}</button></div>
    </form>`}
  </dialog>`;
}

export const RateField = () => html`<label class="field"><span>Jobs per second</span><input name="rate" type="number" min="0.1" step="any" placeholder="as fast as possible" /></label>`;
export const readRate = (values) => (values.rate ? { rate: parseFloat(values.rate) } : {});

export const More = ({ page, query, route }) => html`<div class="more">
  ${query.cursor && html`<a class="button" href=${link([route.page, ...route.rest], { ...query, cursor: "" })}>First page</a>`}
  <span class="faint">${count(page.rows.length)} shown${page.scanned > page.rows.length ? `, ${count(page.scanned)} looked at` : ""}</span>
  ${page.next && html`<a class="button" rel="next" href=${link([route.page, ...route.rest], { ...query, cursor: page.next })}>${page.rows.length ? "Next page" : "Look further"}</a>`}
</div>`;
