// One queue: what it does, how long jobs run and wait in it, and what may be ordered of it.
import { count, plural, short } from "../lib/format.js";
import { html } from "../lib/html.js";
import { fact, list } from "../lib/live.js";
import { link } from "../lib/route.js";
import { word } from "../lib/shell.js";
import { RangeTabs, Throughput, Times } from "../lib/throughput.js";
import { Since } from "../lib/time.js";
import { confirm, Empty, Number, Panel, perform, State } from "../lib/ui.js";
import { Oldest } from "./overview.js";

export function Queue({ route, about }) {
  const name = route.rest[0] || "";
  const queue = fact(`queue/${name}`);
  if (!queue) return html`<h1>${name}</h1><${Panel}><${Empty} title="No such queue now">No job waits in it and no worker serves it. Start one: routeq-mqtt worker --queue=${word(name)}</${Empty}></${Panel}>`;
  const waiting = queue.parked + queue.waiting + (queue.limited || 0);
  const jobs = (state) => link(["jobs"], { state, queue: name });
  return html`
    <div class="head"><h1>${name}</h1>${queue.paused && html`<${State} of="paused" label="paused: workers start none of it" />`}
      ${about.may_act && html`<div class="actions"><${Orders} name=${name} queue=${queue} waiting=${waiting + queue.delayed} /></div>`}</div>
    <div class="numbers">
      <${Number} label="Running" value=${short(queue.running)} unit=${`of ${short(queue.slots)} slots`} href=${jobs("running")} />
      <${Number} label="Waiting" value=${`${short(waiting)}${queue.exact ? "" : "+"}`} href=${jobs("parked")} title=${queue.exact ? "" : "the broker may hold more, which cannot be counted"} />
      <${Number} label="Oldest waits" value=${html`<${Oldest} queue=${queue} />`} />
      <${Number} label="Longest run" value=${html`<${Since} at=${queue.running_since} />`} />
      <${Number} label="Delayed" value=${short(queue.delayed)} href=${jobs("delayed")} />
      <${Number} label="Failed records" value=${short(queue.failed)} kind=${queue.failed ? "bad" : ""} href=${link(["failed"], { queue: name })} />
      <${Number} label="Rate limit" value=${queue.rate ? `${count(queue.rate[0])}` : "none"} unit=${queue.rate ? `in ${count(queue.rate[1])} s` : ""} />
    </div>
    <${Throughput} id="throughput" queue=${name} />
    <div class="two"><${Times} id="runs" title="Run time" queue=${name} kind="run" /><${Times} id="waits" title="Wait, from due to first start" queue=${name} kind="wait" /></div>
    <${Workers} name=${name} />`;
}

function Orders({ name, queue, waiting }) {
  const limit = () => confirm({
    title: `Limit ${name}`,
    body: html`<p>Workers together start at most this many jobs of the queue. Leave it empty for no limit.</p>`,
    fields: html`<div class="filters"><label class="field grow"><span>Jobs</span><input name="jobs" type="number" min="1" step="1" defaultValue=${queue.rate ? queue.rate[0] : ""} /></label>
      <label class="field grow"><span>in so many seconds</span><input name="seconds" type="number" min="0.1" step="any" defaultValue=${queue.rate ? queue.rate[1] : 1} /></label></div>`,
    verb: "Set the limit",
    run: ({ jobs, seconds }) => perform("queue.limit", { queue: name, rate: jobs ? [parseFloat(jobs), parseFloat(seconds) || 1] : null }, jobs ? `${name} is limited to ${jobs} in ${seconds} s` : `${name} has no limit`),
  });
  const purge = () => confirm({
    title: `Cancel all waiting jobs of ${name}?`,
    body: html`<p>${plural(waiting, "job")} that no worker has started will not run. What runs goes on.</p>`,
    verb: `Cancel ${plural(waiting, "job")}`, danger: true,
    run: () => perform("queue.purge", { queue: name }, (reply) => `${plural(reply.purged, "job")} cancelled`),
  });
  return html`
    <button onClick=${() => perform(queue.paused ? "queue.resume" : "queue.pause", { queue: name }, queue.paused ? `${name} goes on` : `${name} is paused`)}>${queue.paused ? "Resume" : "Pause"}</button>
    <button onClick=${limit}>Limit…</button>
    <button class="danger" disabled=${waiting === 0} onClick=${purge}>Cancel waiting…</button>`;
}

function Workers({ name }) {
  const workers = list("worker/").filter((worker) => worker.queues.includes(name));
  return html`<${Panel} id="workers" title="Workers of this queue">${workers.length ? html`<table><thead><tr><th>Worker</th><th>State</th><th class="num">Running</th><th class="num">Slots</th></tr></thead>
    <tbody>${workers.map((worker) => html`<tr key=${worker.id}><td><a href=${link(["workers"], { text: worker.id })}>${worker.name || worker.id}</a></td><td><${State} of=${worker.drained ? "drained" : worker.state} /></td><td class="num">${count(worker.active)}</td><td class="num">${count(worker.concurrency)}</td></tr>`)}</tbody></table>`
    : html`<${Empty} title="No worker">Start one: routeq-mqtt worker --queue=${word(name)}</${Empty}>`}</${Panel}>`;
}
