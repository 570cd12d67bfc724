// What holds jobs back: orders of people, rates of queues, limits of keys, unique locks.
import { useAsk } from "../lib/api.js";
import { count } from "../lib/format.js";
import { html } from "../lib/html.js";
import { list } from "../lib/live.js";
import { link } from "../lib/route.js";
import { Ago } from "../lib/time.js";
import { Empty, JobLink, Loaded, More, Panel, QueueLink, State } from "../lib/ui.js";

const WORDS = { paused: "Paused queue", drained: "Drained worker", limited: "Limited queue", cancel: "Cancelled job, not ended yet" };

const admits = (one) => (one.most == null ? "not known yet" : one.seconds == null ? `${count(one.most)} at once` : `${count(one.most)} in ${count(one.seconds)} s`);

export function Limits({ route }) {
  const orders = useAsk("orders", {}, 5), limits = useAsk("limit.list", { cursor: route.query.cursor }, 5), locks = useAsk("lock.list", { cursor: route.query.locks }, 5);
  const waiting = list("queue/").filter((queue) => queue.limited);
  return html`<div class="head"><h1>Limits</h1>${waiting.length > 0 && html`<span class="faint">${waiting.map((queue) => `${count(queue.limited)} of ${queue.queue}`).join(", ")} wait for their turn</span>`}</div>
    <${Panel} id="limits" title="Limits of queues and keys"><${Loaded} answer=${limits}>${(page) => (page.rows.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Limits"><table><thead><tr><th>Limit</th><th>Of</th><th>Admits</th><th class="num">Running</th></tr></thead>
      <tbody>${page.rows.map((one) => html`<tr key=${one.kind + one.name} data-row tabindex="-1"><td>${{ slots: "Concurrency of a key", rate: "Rate of a key", queue: "Rate of a queue" }[one.kind] || one.kind}</td><td>${one.kind === "queue" ? html`<${QueueLink} name=${one.name} />` : html`<span class="mono">${one.name}</span>`}</td><td>${admits(one)}</td><td class="num">${one.kind === "slots" ? count(one.used) : "–"}</td></tr>`)}</tbody></table></div><${More} page=${page} query=${route.query} route=${route} />`
      : html`<${Empty} title="No limit">Limit a queue on its page, or the jobs of a class with rate_limit or concurrency_limit.</${Empty}>`)}</${Loaded}></${Panel}>
    <${Panel} id="locks" title="Unique keys"><${Loaded} answer=${locks}>${(page) => (page.rows.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Unique keys"><table><thead><tr><th>Job</th><th>Key</th><th>Held by</th><th class="num">Ends</th></tr></thead>
      <tbody>${page.rows.map((one) => html`<tr key=${one.kind + one.key} data-row tabindex="-1"><td>${one.kind}</td><td class="mono">${one.key}</td><td><${JobLink} id=${one.job} /></td><td class="num nowrap"><${Ago} at=${one.until} /></td></tr>`)}</tbody></table></div>${page.next && html`<div class="more"><a class="button" rel="next" href=${link(["limits"], { ...route.query, locks: page.next })}>Next page</a></div>`}`
      : html`<${Empty} title="No unique key is held">Jobs with unique_for, debounce_for or throttle_for hold one while they wait or run.</${Empty}>`)}</${Loaded}></${Panel}>
    <${Panel} id="orders" title="Orders that hold"><${Loaded} answer=${orders}>${(rows) => (rows.length ? html`<table><thead><tr><th>Order</th><th>Of</th><th class="num">Since</th></tr></thead><tbody>${rows.map((one) => html`<tr key=${one.kind + one.name}><td><${State} of=${one.kind === "cancel" ? "cancelled" : one.kind} label=${WORDS[one.kind] || one.kind} /></td><td class="mono">${one.name}</td><td class="num nowrap"><${Ago} at=${one.at} /></td></tr>`)}</tbody></table>` : html`<${Empty} title="No order">Paused queues, drained workers and jobs to be cancelled are listed here.</${Empty}>`)}</${Loaded}></${Panel}>`;
}
