// The fleet: processes that run jobs, and devices that have a name.
import { useAsk } from "../lib/api.js";
import { count, plural } from "../lib/format.js";
import { html } from "../lib/html.js";
import { list } from "../lib/live.js";
import { filter, link } from "../lib/route.js";
import { Ago, Since } from "../lib/time.js";
import { confirm, Empty, JobLink, Loaded, Panel, perform, QueueLink, Search, State } from "../lib/ui.js";
import { Progress } from "./jobs.js";

const RANK = { lost: 0, silent: 1, online: 2, adopting: 3, stopped: 4 };

export function Workers({ route, about }) {
  const wanted = (route.query.text || "").toLowerCase();
  const all = list("worker/");
  const shown = all.filter((one) => !wanted || [one.id, one.name, one.host, ...one.queues].some((part) => part && part.toLowerCase().includes(wanted)))
    .sort((a, b) => RANK[a.state] - RANK[b.state] || a.id.localeCompare(b.id));
  return html`
    <div class="head"><h1>Workers</h1><span class="faint">${plural(all.filter((one) => one.state === "online").length, "worker")} online</span></div>
    <${Panel}>
      <div class="filters"><${Search} main label="Search name, host, queue" name="text" value=${route.query.text} placeholder="gateway-7" /></div>
      ${shown.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Workers"><table><thead><tr><th>Worker</th><th>State</th><th class="optional">Queues</th><th class="num">Running</th><th class="num optional">Waiting</th><th class="num optional">Done</th><th class="num optional">Failed</th><th class="num">Up</th>${about.may_act && html`<th><span class="sr">Actions</span></th>`}</tr></thead>
        <tbody>${shown.map((one) => html`<${Row} key=${one.id} one=${one} about=${about} open=${wanted === one.id.toLowerCase()} />`)}</tbody></table></div>`
      : all.length ? html`<${Empty} title="No worker matches"><a href=${link(["workers"])}>Clear the filter</a></${Empty}>` : html`<${Empty} title="No worker">Start one: routeq-mqtt worker --app your.jobs</${Empty}>`}
    </${Panel}>
    <${Devices} about=${about} />`;
}

function Row({ one, about, open }) {
  const who = one.name || one.id;
  const drain = () => perform(one.drained ? "worker.undrain" : "worker.drain", { worker: who }, one.drained ? `${who} takes jobs again` : `${who} finishes what it holds and takes no new jobs`);
  return html`<tr data-row tabindex="-1"><td><a href=${link(["workers"], { text: one.id })}>${who}</a><br /><small>${one.host} pid ${one.pid}, ${one.version}</small>
      ${open && one.running.length > 0 && html`<ul class="line">${one.running.map((job) => html`<li key=${job.id}><span><${JobLink} id=${job.id} /> <small>attempt ${job.attempt}</small> <${Progress} of=${job.progress} /></span></li>`)}</ul>`}</td>
    <td><${State} of=${one.drained && one.state === "online" ? "drained" : one.state} /></td>
    <td class="optional">${one.queues.filter((name) => !name.startsWith("@")).map((name, n) => html`${n > 0 && ", "}<${QueueLink} key=${name} name=${name} />`)}</td>
    <td class="num">${count(one.active)} <small>of ${count(one.concurrency)}</small></td><td class="num optional">${count(one.waiting)}</td>
    <td class="num optional">${count(one.counters.done || 0)}</td><td class="num optional">${count(one.counters.failed || 0)}</td>
    <td class="num nowrap">${one.state === "online" ? html`<${Since} at=${one.started_at} />` : "–"}</td>
    ${about.may_act && html`<td class="num">${one.state === "online" && html`<button class="quiet" onClick=${drain}>${one.drained ? "Undrain" : "Drain"}</button>`}</td>`}</tr>`;
}

function Devices({ about }) {
  const answer = useAsk("device.list", {}, 10);
  const forget = (name) => confirm({
    title: `Forget ${name}?`, body: html`<p>Do this when the device will not come back. Jobs that wait for it stay until they expire or are cancelled.</p>`, verb: "Forget it", danger: true,
    run: () => perform("device.forget", { name }, `${name} is forgotten`).then(answer.again),
  });
  return html`<${Panel} id="devices" title="Devices"><${Loaded} answer=${answer}>${(devices) => (devices.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Devices"><table><thead><tr><th>Device</th><th>State</th><th>Tags</th><th class="num">Seen</th>${about.may_act && html`<th><span class="sr">Actions</span></th>`}</tr></thead>
    <tbody>${devices.map((one) => html`<tr key=${one.name} data-row tabindex="-1"><td>${one.name}</td><td><${State} of=${one.online ? "online" : "stopped"} label=${one.online ? "online" : "away"} /></td>
      <td>${Object.entries(one.tags).map(([key, value]) => `${key}=${value}`).join(", ") || html`<span class="faint">–</span>`}</td><td class="num nowrap"><${Ago} at=${one.seen_at} /></td>
      ${about.may_act && html`<td class="num">${!one.online && html`<button class="quiet" onClick=${() => forget(one.name)}>Forget…</button>`}</td>`}</tr>`)}</tbody></table></div>`
    : html`<${Empty} title="No device">A worker with a name is one: routeq-mqtt worker --name gateway-7 --tag site=north</${Empty}>`)}</${Loaded}></${Panel}>`;
}
