// One job: what it is, what happened in each attempt, and what it waits for.
import { useAsk } from "../lib/api.js";
import { bytes, duration, text } from "../lib/format.js";
import { html } from "../lib/html.js";
import { fact } from "../lib/live.js";
import { link } from "../lib/route.js";
import { word } from "../lib/shell.js";
import { Ago } from "../lib/time.js";
import { confirm, Copy, Json, Loaded, Panel, perform, QueueLink, State } from "../lib/ui.js";
import { cancel, Progress, queueOptions } from "./jobs.js";

export function Job({ route, about }) {
  const id = route.rest[0] || "";
  const answer = useAsk("jobs.show", { id }, 3);
  return html`<${Loaded} answer=${answer}>${(job) => html`<${Whole} job=${job} about=${about} again=${answer.again} />`}</${Loaded}>`;
}

const field = ([name, value]) => word(`${name}=${JSON.stringify(value)}`);
// Behind "--" nothing is an option: a job may be called "--url=mqtt://elsewhere".
const command = (job, fields) => [`routeq-mqtt dispatch --queue=${word(job.queue)} --`, word(job.job || "?"), ...fields.map(field)].join(" ");
const isHidden = ([, value]) => JSON.stringify(value).includes("[redacted]");

// A command that would dispatch a placeholder is worse than one that lacks a field.
function Command({ job }) {
  const fields = typeof job.data === "string" ? [] : Object.entries(job.data);
  const left = typeof job.data === "string" ? ["the data"] : fields.filter(isHidden).map(([name]) => name);
  const note = left.length ? `Copied without ${left.join(", ")}: hidden here, add it yourself` : "";
  return html`<${Copy} text=${command(job, fields.filter((one) => !isHidden(one)))} label="Copy as command" note=${note} />`;
}

function Whole({ job, about, again }) {
  const over = ["done", "failed", "cancelled"].includes(job.state);
  const worker = job.worker && fact(`worker/${job.worker}`);
  const trace = /^00-([0-9a-f]{32})-/.exec(text(job.headers && job.headers.traceparent));
  return html`<div class="stack">
    <div class="head"><h1>${job.job || "Unreadable message"}</h1><${State} of=${job.state} />
      <div class="actions">
        ${about.may_act && job.state === "delayed" && html`<button data-key-r onClick=${() => perform("jobs.run", { ids: [job.id] }, "It runs now").then(again)}>Run now</button>`}
        ${about.may_act && job.state === "failed" && html`<button class="primary" data-key-r onClick=${() => perform("failed.retry", { ids: [job.id] }, "It runs again, from its first attempt").then(again)}>Retry</button>`}
        ${about.may_act && job.state === "failed" && html`<button class="danger" onClick=${() => forget(job, again)}>Forget…</button>`}
        ${about.may_act && ["delayed", "parked", "limited", "held"].includes(job.state) && html`<button onClick=${() => move(job, again)}>Move…</button>`}
        ${about.may_act && !over && html`<button class="danger" onClick=${() => cancel([job.id], again)}>Cancel…</button>`}
        ${job.data && html`<${Command} job=${job} />`}
      </div></div>
    ${job.waits_for.length > 0 && !over && html`<div class="panel pad">Waits for: ${job.waits_for.join("; ")}</div>`}
    <div class="two">
      <${Panel} id="what" title="Job"><dl class="facts">
        <dt>Id</dt><dd class="mono">${job.id}</dd>
        <dt>Queue</dt><dd><${QueueLink} name=${job.queue} /></dd>
        <dt>Attempt</dt><dd>${job.attempt}${job.deaths > 0 && ` (took down ${job.deaths} workers)`}</dd>
        ${job.dispatched_at && html`<dt>Dispatched</dt><dd><${Ago} at=${job.dispatched_at} /></dd>`}
        <dt>${over ? "Ended" : "Due"}</dt><dd><${Ago} at=${job.at} /></dd>
        ${job.expires_at && html`<dt>Expires</dt><dd><${Ago} at=${job.expires_at} /></dd>`}
        ${job.worker && html`<dt>Worker</dt><dd><a href=${link(["workers"], { text: job.worker })}>${(worker && worker.name) || job.worker}</a></dd>`}
        ${job.progress && html`<dt>Progress</dt><dd><${Progress} of=${job.progress} /></dd>`}
        ${job.batch && html`<dt>Batch</dt><dd><a class="mono" href=${link(["batches", job.batch])}>${job.batch}</a></dd>`}
        ${job.chain && html`<dt>Chain</dt><dd><span class="mono">${job.chain}</span>, step ${job.step}</dd>`}
        ${job.locks.length > 0 && html`<dt>Unique keys</dt><dd class="mono">${job.locks.join(", ")}</dd>`}
        ${trace && about.trace_url && html`<dt>Trace</dt><dd><a rel="noreferrer" href=${about.trace_url.replace("{trace_id}", trace[1])}>${trace[1]}</a></dd>`}
        <dt>Size</dt><dd>${bytes(job.size)}</dd>
      </dl></${Panel}>
      <${Panel} id="data" title="Data" side=${job.data && html`<${Copy} text=${JSON.stringify(job.data, null, 2)} />`}>
        ${job.sealed ? html`<p class="pad faint">Sealed: only workers with the key can read it.</p>` : job.data != null ? html`<${Json} value=${job.data} />` : html`<p class="pad faint">Not kept: the message is gone, or cannot be read.</p>`}
      </${Panel}>
    </div>
    <${Panel} id="attempts" title="Attempts">${job.history.length ? html`<ol class="line">${[...job.history].reverse().map((one, n) => html`<${Attempt} key=${job.history.length - n} one=${one} first=${n === 0} state=${job.state} />`)}</ol>` : html`<p class="pad faint">${job.state === "done" ? "It succeeded. Single attempts are kept of jobs that had to be retried." : "Not started yet."}</p>`}</${Panel}>
    ${[["headers", "Headers"], ["options", "Options"]].map(([key, words]) => Object.keys(job[key] || {}).length > 0 && html`<${Panel} key=${key} id=${key} title=${words}><${Json} value=${job[key]} /></${Panel}>`)}</div>`;
}

function Attempt({ one, first, state }) {
  const failed = one.type || one.message || one.traceback;
  const mark = failed ? "failed" : one.at == null ? "running" : first && state === "done" ? "done" : "retried";
  return html`<li>
    <div class="what"><b>Attempt ${text(one.attempt) || "?"}</b><${State} of=${mark} />
      ${one.at != null && html`<${Ago} at=${Number_(one.at)} />`}${one.seconds != null && html`<span>ran ${duration(Number_(one.seconds))}</span>`}
      ${one.worker && html`<small class="mono">${text(one.worker)}</small>`}</div>
    ${failed && html`<div><b>${text(one.type)}</b>${one.type && one.message ? ": " : ""}${text(one.message || (one.type ? "" : one.error))}</div>`}
    ${one.traceback && html`<details open=${first}><summary>Traceback</summary><pre class="trace" tabindex="0">${text(one.traceback)}</pre></details>`}
  </li>`;
}

const Number_ = (value) => (typeof value === "number" ? value : null);

function forget(job, again) {
  confirm({
    title: "Forget this failed job?", body: html`<p>Its record is deleted. It cannot be retried after that.</p>`, verb: "Forget it", danger: true,
    run: () => perform("failed.forget", { ids: [job.id] }, "The record is deleted").then(again),
  });
}

function move(job, again) {
  confirm({
    title: "Move to another queue",
    fields: html`<label class="field"><span>Queue</span><input name="queue" required list="queues" /></label><datalist id="queues">${queueOptions().slice(1).map(([name]) => html`<option key=${name} value=${name} />`)}</datalist>`,
    verb: "Move it",
    run: ({ queue }) => perform("jobs.move", { ids: [job.id], queue }, `It waits in ${queue} now`).then(again),
  });
}
