// The page: frame, navigation, what is open, and the keyboard.
import { get } from "./lib/api.js";
import { age, short } from "./lib/format.js";
import { html, render, useEffect, useRef, useState, visible } from "./lib/html.js";
import { HELP, listen } from "./lib/keys.js";
import { fact, failures, isAway, list, live, now, start, useLive } from "./lib/live.js";
import { link, useRoute } from "./lib/route.js";
import { Confirm, Toasts } from "./lib/ui.js";
import { Batches } from "./pages/batches.js";
import { Bus } from "./pages/bus.js";
import { Edge } from "./pages/edge.js";
import { Failed } from "./pages/failed.js";
import { Job } from "./pages/job.js";
import { Jobs } from "./pages/jobs.js";
import { Limits } from "./pages/limits.js";
import { Overview } from "./pages/overview.js";
import { Queue } from "./pages/queue.js";
import { Schedules } from "./pages/schedules.js";
import { Workers } from "./pages/workers.js";

// Without a prototype: an address may say "constructor".
const PAGES = {
  __proto__: null,
  overview: [Overview, "Overview"], jobs: [Jobs, "Jobs"], failed: [Failed, "Failed"], workers: [Workers, "Workers"],
  schedules: [Schedules, "Schedules"], batches: [Batches, "Batches"], limits: [Limits, "Limits"], edge: [Edge, "Edge"], bus: [Bus, "Bus"],
};
const INNER = { __proto__: null, queue: [Queue, "overview"], job: [Job, "jobs"] };

function Tally({ page }) {
  if (page === "failed") {
    const failed = failures().now;
    return failed > 0 && html`<span class="tally bad">${short(failed)}</span>`;
  }
  if (page === "workers") return html`<span class="tally">${short(list("worker/").filter((one) => one.state === "online").length)}</span>`;
  return null;
}

function Pulse() {
  if (live.mode === "connecting") return html`<span>Connecting…</span>`;
  const away = isAway() || fact("broker")?.online === false;
  return away
    ? html`<span class="pulse away" role="status">As of ${age(now() - live.at)} ago</span>`
    : html`<span class="pulse">${live.mode === "live" ? "Live" : "Every 5 s"}</span>`;
}

function Frame({ about }) {
  useLive();
  const route = useRoute();
  const [open, set] = useState(false);
  const [helps, help] = useState(false);
  const main = useRef(null);
  useEffect(() => listen(() => help((shown) => !shown)), []);
  const [Page, belongs] = PAGES[route.page] ? [PAGES[route.page][0], route.page] : INNER[route.page] || [Missing, ""];
  const here = [route.page, ...route.rest].join("/");
  useEffect(() => {
    const name = route.rest[0] || (PAGES[route.page] || ["", route.page])[1];
    document.title = `${visible(name)} · routeq${about.environment ? ` · ${about.environment}` : ""}`;
    set(false);
    scrollTo(0, 0);
  }, [here]);
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>To the content</a>
    <div class="frame">
      <header class=${`bar ${open ? "open" : ""}`}>
        <div class="brand"><img src="static/icon.svg" alt="" /><a class="brand-name" href=${link(["overview"])}>routeq</a>${about.environment && html`<span class="badge">${about.environment}</span>`}
          <button class="menu" aria-expanded=${String(open)} onClick=${() => set(!open)}>Menu</button></div>
        <nav aria-label="Pages">${Object.entries(PAGES).map(([page, [, words]]) => html`<a key=${page} href=${link([page])} aria-current=${belongs === page ? "page" : undefined}>${words}<${Tally} page=${page} /></a>`)}</nav>
        <div class="foot"><${Pulse} /><span>${about.user}${about.may_act ? "" : " (may only look)"}</span><button class="link" onClick=${() => help(true)}>Keyboard: ?</button></div>
      </header>
      <main id="main" ref=${main} tabindex="-1"><${Page} key=${here} route=${route} about=${about} /></main>
    </div>
    <${Toasts} /><${Confirm} />${helps && html`<${Help} close=${() => help(false)} />`}`;
}

function Help({ close }) {
  const box = useRef(null);
  useEffect(() => { box.current.showModal(); }, []);
  return html`<dialog ref=${box} onClose=${close} aria-labelledby="help-title"><div class="pad"><h2 id="help-title">Keyboard</h2>
    <dl class="keys">${HELP.map(([keys, words]) => html`<dt key=${keys}>${keys.split(" ").map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${words}</dd>`)}</dl>
    <div class="buttons"><button onClick=${close}>Close</button></div></div></dialog>`;
}

const Missing = ({ route }) => html`<h1>No page ${route.page}</h1><p><a href=${link(["overview"])}>Overview</a></p>`;

const root = document.getElementById("app");
get("about").then((about) => {
  start();
  root.replaceChildren();
  render(html`<${Frame} about=${about} />`, root);
}, (error) => { root.textContent = error.message; });
