// Batches and broadcasts, chains and rollouts: how far they are.
import { useAsk } from "../lib/api.js";
import { count, plural } from "../lib/format.js";
import { html, useState } from "../lib/html.js";
import { go, link } from "../lib/route.js";
import { Ago } from "../lib/time.js";
import { confirm, Empty, Loaded, More, Number, Panel, perform, QueueLink, State, Tabs } from "../lib/ui.js";

export function Batches({ route, about }) {
  const id = route.rest[0];
  const [text, set] = useState(id || "");
  const open = (event) => { event.preventDefault(); if (text.trim()) go(["batches", text.trim()]); };
  const view = route.query.view;
  const tabs = [["Batches", ""], ["Chains", "chains"], ["Rollouts", "rollouts"]].map(([words, name]) => [words, link(["batches"], { view: name }), (view || "") === name && !id]);
  const head = html`<div class="head"><h1>Batches</h1><${Tabs} label="What is listed" items=${tabs} /></div>`;
  if (view === "chains" && !id) return html`${head}<${Panel}><${Chains} route=${route} /></${Panel}>`;
  if (view === "rollouts" && !id) return html`${head}<${Panel}><${Rollouts} route=${route} /></${Panel}>`;
  return html`${head}
    <${Panel}><form class="filters" onSubmit=${open}><label class="field grow"><span>Id of a batch, or of a broadcast</span><input value=${text} onInput=${(event) => set(event.target.value)} data-main-search /></label><button>Show</button></form>
    ${id ? html`<${One} id=${id} about=${about} />` : html`<${All} route=${route} />`}</${Panel}>`;
}

const ended = (batch) => batch.total - batch.pending;

export const Bar = ({ batch }) => html`<progress class=${batch.failed ? "bad" : ""} max=${batch.total || 1} value=${ended(batch)} aria-label="Progress"></progress>`;

function All({ route }) {
  const answer = useAsk("batch.list", { cursor: route.query.cursor }, route.query.cursor ? 0 : 3);
  return html`<${Loaded} answer=${answer}>${(page) => (page.rows.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Batches"><table><thead><tr><th>Batch</th><th>Progress</th><th class="num">Ended</th><th class="num">Failed</th><th class="num">Begun</th></tr></thead>
    <tbody>${page.rows.map((one) => html`<tr key=${one.id} data-row tabindex="-1"><td><a href=${link(["batches", one.id])}>${one.name || one.id}</a></td><td><${Bar} batch=${one} /></td><td class="num">${count(ended(one))} of ${count(one.total)}</td><td class=${`num ${one.failed ? "s-failed" : "zero"}`}>${count(one.failed)}</td><td class="num nowrap"><${Ago} at=${one.created_at} /></td></tr>`)}</tbody></table></div>
    <${More} page=${page} query=${route.query} route=${route} />`
    : html`<${Empty} title="No batch">A batch is a group of jobs with callbacks; a broadcast sends one job to many devices. Those of the last 7 days are listed here.</${Empty}>`)}</${Loaded}>`;
}

function Chains({ route }) {
  const answer = useAsk("chain.list", { cursor: route.query.cursor }, route.query.cursor ? 0 : 3);
  return html`<${Loaded} answer=${answer}>${(page) => (page.rows.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Chains"><table><thead><tr><th>Chain</th><th>Queue</th><th>Progress</th><th class="num">Steps ended</th><th>Its turn</th><th>State</th></tr></thead>
    <tbody>${page.rows.map((one) => html`<tr key=${one.id} data-row tabindex="-1"><td class="mono">${one.id}</td><td><${QueueLink} name=${one.queue} /></td><td><progress max=${one.steps || 1} value=${one.over} aria-label="Progress"></progress></td><td class="num">${count(one.over)} of ${count(one.steps)}</td><td>${one.current ? html`<a class="mono" href=${link(["job", one.current])}>${one.current}</a>` : html`<span class="faint">–</span>`}</td><td><${State} of=${one.state === "over" ? "done" : one.state} label=${one.state === "held" ? "stopped: a step has failed" : one.state === "over" ? "over" : one.state} /></td></tr>`)}</tbody></table></div>
    <${More} page=${page} query=${route.query} route=${route} />`
    : html`<${Empty} title="No chain">In a chain each job starts when the one before it is done: chain(First(…), Second(…)).dispatch()</${Empty}>`)}</${Loaded}>`;
}

const rolloutState = (one) => (one.aborted_at ? ["failed", "aborted: too many failed"] : one.called_off ? ["cancelled", "cancelled"] : one.finished_at ? ["done", "finished"] : ["running", "goes on"]);

function Rollouts({ route }) {
  const answer = useAsk("rollout.list", { cursor: route.query.cursor }, route.query.cursor ? 0 : 3);
  return html`<${Loaded} answer=${answer}>${(page) => (page.rows.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Rollouts"><table><thead><tr><th>Rollout</th><th>Progress</th><th class="num">Devices</th><th class="num">Failed</th><th class="num">Next</th><th class="num">Begun</th><th>State</th></tr></thead>
    <tbody>${page.rows.map((one) => html`<tr key=${one.id} data-row tabindex="-1"><td><a href=${link(["batches", one.id])}>${one.name}</a></td><td><${Bar} batch=${one} /></td><td class="num">${count(ended(one))} of ${count(one.total)}</td><td class=${`num ${one.failed ? "s-failed" : "zero"}`}>${count(one.failed)}</td><td class="num nowrap"><${Ago} at=${one.next_at} /></td><td class="num nowrap"><${Ago} at=${one.created_at} /></td><td><${State} of=${rolloutState(one)[0]} label=${rolloutState(one)[1]} /></td></tr>`)}</tbody></table></div>
    <${More} page=${page} query=${route.query} route=${route} />`
    : html`<${Empty} title="No rollout">A rollout sends one job to device after device, and ends when too many fail: bus.broadcast(job, rate=(1, 60), abort_after=0.1)</${Empty}>`)}</${Loaded}>`;
}

function One({ id, about }) {
  const answer = useAsk("batch.show", { id }, 2);
  const cancel = (batch) => confirm({
    title: `Cancel ${plural(batch.pending, "job")} of this batch?`, verb: "Cancel them", danger: true,
    run: () => perform("batch.cancel", { id }, "The batch is cancelled").then(answer.again),
  });
  return html`<${Loaded} answer=${answer}>${(batch) => html`<div class="pad head"><h2>${batch.name || batch.id}</h2>
      <${State} of=${batch.called_off ? "cancelled" : batch.finished_at ? (batch.failed ? "failed" : "done") : "running"} label=${batch.called_off ? "cancelled" : batch.finished_at ? "finished" : batch.open ? "open: jobs may be added" : "running"} />
      <span class="faint">begun <${Ago} at=${batch.created_at} /></span>
      ${about.may_act && batch.pending > 0 && !batch.called_off && html`<div class="actions"><button class="danger" onClick=${() => cancel(batch)}>Cancel the rest…</button></div>`}</div>
    <div class="pad"><${Bar} batch=${batch} /></div>
    <div class="numbers"><${Number} label="Jobs" value=${count(batch.total)} /><${Number} label="Ended" value=${count(ended(batch))} /><${Number} label="Pending" value=${count(batch.pending)} /><${Number} label="Failed" value=${count(batch.failed)} kind=${batch.failed ? "bad" : ""} /><${Number} label="Cancelled" value=${count(batch.cancelled)} /></div>`}</${Loaded}>`;
}
