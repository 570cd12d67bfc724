// How is it? Loud only where something is wrong.
import { useAsk } from "../lib/api.js";
import { short, rate, text } from "../lib/format.js";
import { html } from "../lib/html.js";
import { fact, failureNews, list, live } from "../lib/live.js";
import { link } from "../lib/route.js";
import { Throughput } from "../lib/throughput.js";
import { Ago, Since } from "../lib/time.js";
import { Empty, Loaded, Number, Panel, QueueLink, State } from "../lib/ui.js";

export function Alerts() {
  const broker = fact("broker"), scheduler = fact("scheduler"), alerts = list("alert/");
  const wrong = [];
  if (broker && !broker.online) wrong.push(["Broker away", broker.error]);
  else if (broker && !scheduler) wrong.push(["No scheduler", "Delayed jobs, retries and jobs without a worker need one. Start it: routeq-mqtt scheduler"]);
  else if (scheduler && scheduler.state !== "online") wrong.push(["Scheduler away", "Retries and delayed jobs wait until it is back. Start it: routeq-mqtt scheduler", scheduler.at]);
  else if (scheduler && scheduler.trouble) wrong.push(["Scheduler in trouble", scheduler.trouble]);
  for (const alert of alerts) wrong.push([alert.kind[0].toUpperCase() + alert.kind.slice(1), alert.text, alert.since, alert.queue]);
  return html`${wrong.map(([what, why, since, queue]) => html`<div class="alert" role="alert" key=${what + text(queue)}>
    <strong>▲ ${what}</strong><p>${why}${queue && html` <${QueueLink} name=${queue} />`}</p>${since > 0 && html`<small>for <${Since} at=${since} /></small>`}</div>`)}`;
}

export const LATE = 60; // seconds that a job may wait before its age is loud

export function Oldest({ queue }) {
  if (queue.oldest_at == null) return html`<span class="zero">–</span>`;
  const late = live.at - queue.oldest_at > LATE && !queue.paused;
  return html`<span class=${late ? "late" : ""}><${Since} at=${queue.oldest_at} /></span>`;
}

const N = ({ n, kind }) => html`<span class=${n ? kind || "" : "zero"}>${short(n)}</span>`;
const waits = (queue) => queue.parked + queue.waiting + (queue.limited || 0);

function Queues() {
  // A device has a queue of its own: it is shown while there is something in it.
  const queues = list("queue/").filter((queue) => !queue.queue.startsWith("@") || waits(queue) || queue.running || queue.delayed || queue.held || queue.failed)
    .sort((a, b) => a.queue.localeCompare(b.queue));
  if (!queues.length) return html`<${Empty} title="No queue yet">Start a worker, or send a job: routeq-mqtt dispatch</${Empty}>`;
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Queues"><table>
    <thead><tr><th>Queue</th><th class="num">Waiting</th><th class="num">Oldest</th><th class="num">Running</th><th class="num optional">Slots</th><th class="num optional">Delayed</th><th class="num optional">Held</th><th class="num">Failed</th><th class="num optional">Workers</th></tr></thead>
    <tbody>${queues.map((queue) => html`<tr key=${queue.queue} data-row tabindex="-1">
      <td class="wide"><${QueueLink} name=${queue.queue} /> ${queue.paused && html`<${State} of="paused" />`}</td>
      <td class="num" title=${queue.exact ? "" : "the broker may hold more, which cannot be counted"}><${N} n=${waits(queue)} />${!queue.exact && waits(queue) > 0 && html`<span class="faint">+</span>`}</td>
      <td class="num"><${Oldest} queue=${queue} /></td>
      <td class="num"><${N} n=${queue.running} /></td><td class="num optional"><${N} n=${queue.slots} /></td>
      <td class="num optional"><${N} n=${queue.delayed} /></td><td class="num optional"><${N} n=${queue.held} /></td>
      <td class="num">${queue.failed ? html`<a class="s-failed" href=${link(["failed"], { queue: queue.queue })}>${short(queue.failed)}</a>` : html`<${N} n=${0} />`}</td>
      <td class="num optional">${queue.workers || waits(queue) === 0 ? html`<${N} n=${queue.workers} />` : html`<span class="late">none</span>`}</td>
    </tr>`)}</tbody></table></div>`;
}

export function Groups({ groups }) {
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Failure groups"><table><thead><tr><th>Job</th><th>Why</th><th class="num">Records</th><th class="num optional">Last</th></tr></thead>
    <tbody>${groups.map((group) => html`<tr key=${[group.queue, group.job, group.reason, group.exception].join()} data-row tabindex="-1">
      <td><a href=${groupLink(group)}>${group.job || "unreadable"}</a><br /><small>on ${group.queue}</small></td>
      <td><${Why} group=${group} /></td>
      <td class="num s-failed">${short(group.count)}</td><td class="num nowrap optional"><${Ago} at=${group.last_at} /></td></tr>`)}</tbody></table></div>`;
}

export const Why = ({ group }) => html`<b>${group.exception || group.reason}</b>${group.exception && group.reason !== "exception" && html` <small>${group.reason}</small>`}`;

export const groupLink = (group) => link(["failed"], { view: "records", queue: group.queue, job: group.job, reason: group.reason, exception: group.exception });

export function Overview() {
  const queues = list("queue/");
  const sum = (key) => queues.reduce((total, queue) => total + (queue[key] || 0), 0);
  const groups = useAsk("failed.groups", { limit: 6 }, 10, failureNews());
  const schedules = useAsk("schedule.list", {}, 30);
  const last = live.rates[live.rates.length - 1];
  const failed = sum("failed"), slots = list("worker/").filter((one) => one.state === "online").reduce((total, one) => total + one.concurrency, 0);
  return html`
    <h1 class="sr">Overview</h1>
    <${Alerts} />
    <div class="numbers">
      <${Number} label="Running" value=${short(sum("running"))} unit=${`of ${short(slots)} slots`} href=${link(["jobs"], { state: "running" })} />
      <${Number} label="Waiting" value=${short(sum("parked") + sum("waiting") + sum("limited"))} href=${link(["jobs"], { state: "parked" })} />
      <${Number} label="Delayed" value=${short(sum("delayed"))} href=${link(["jobs"], { state: "delayed" })} />
      <${Number} label="Failed records" value=${short(failed)} kind=${failed ? "bad" : ""} href=${link(["failed"])} />
      <${Number} label="Done" value=${last ? rate(last[1]) : "–"} unit="/s" />
      <${Number} label="Failing" value=${last ? rate(last[2]) : "–"} unit="/s" kind=${last && last[2] > 0 ? "bad" : ""} />
    </div>
    <${Throughput} id="throughput" />
    <${Panel} id="queues" title="Queues"><${Queues} /></${Panel}>
    <div class="two">
      <${Panel} id="failures" title="What fails" side=${html`<a href=${link(["failed"])}>All failures</a>`}><${Loaded} answer=${groups}>${(rows) => (rows.length ? html`<${Groups} groups=${rows} />` : html`<${Empty} title="Nothing has failed">A job that runs out of attempts appears here.</${Empty}>`)}</${Loaded}></${Panel}>
      <${Panel} id="ticks" title="Next ticks" side=${html`<a href=${link(["schedules"])}>All schedules</a>`}><${Loaded} answer=${schedules}>${(rows) => html`<${Ticks} rows=${rows} />`}</${Loaded}></${Panel}>
    </div>`;
}

function Ticks({ rows }) {
  const next = rows.filter((one) => !one.paused).sort((a, b) => a.next_at - b.next_at).slice(0, 6);
  if (!next.length) return html`<${Empty} title="No schedule">Give a job class every = … or cron = … and it appears here.</${Empty}>`;
  return html`<table><thead><tr><th>Schedule</th><th>Job</th><th class="num">Next</th></tr></thead><tbody>
    ${next.map((one) => html`<tr key=${one.name}><td>${one.name}</td><td>${one.job}</td><td class="num nowrap"><${Ago} at=${one.next_at} /></td></tr>`)}</tbody></table>`;
}
