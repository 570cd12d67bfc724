// Jobs that run again and again.
import { useAsk } from "../lib/api.js";
import { duration } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Ago } from "../lib/time.js";
import { confirm, Empty, Loaded, Panel, perform, QueueLink, Search, State } from "../lib/ui.js";

const rhythm = (one) => (one.cron ? html`<code>${one.cron}</code> <small>${one.timezone}</small>` : `every ${duration(one.every)}`);

export function Schedules({ route, about }) {
  const answer = useAsk("schedule.list", {}, 5);
  const wanted = (route.query.text || "").toLowerCase();
  const forget = (name) => confirm({
    title: `Forget ${name}?`, body: html`<p>It has no more ticks. A worker that declares it brings it back.</p>`, verb: "Forget it", danger: true,
    run: () => perform("schedule.forget", { name }, `${name} is forgotten`).then(answer.again),
  });
  return html`<div class="head"><h1>Schedules</h1></div>
    <${Panel}><div class="filters"><${Search} main label="Search name, job, queue" name="text" value=${route.query.text} placeholder="nightly" /></div>
    <${Loaded} answer=${answer}>${(all) => {
      const rows = all.filter((one) => !wanted || [one.name, one.job, one.queue].some((part) => part && part.toLowerCase().includes(wanted))).sort((a, b) => a.next_at - b.next_at);
      return rows.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Schedules"><table><thead><tr><th>Schedule</th><th>Job</th><th>Rhythm</th><th class="optional">Missed ticks</th><th class="num">Last</th><th class="num">Next</th>${about.may_act && html`<th><span class="sr">Actions</span></th>`}</tr></thead>
        <tbody>${rows.map((one) => html`<tr key=${one.name} data-row tabindex="-1"><td>${one.name}${!one.declared && html`<br /><small>no worker declares it any more</small>`}</td>
          <td>${one.job}${one.queue && html`<br /><small>on <${QueueLink} name=${one.queue} /></small>`}</td><td>${rhythm(one)}</td><td class="optional">${one.missed}</td>
          <td class="num nowrap"><${Ago} at=${one.last_at} /></td><td class="num nowrap">${one.paused ? html`<${State} of="paused" />` : html`<${Ago} at=${one.next_at} />`}</td>
          ${about.may_act && html`<td class="num nowrap"><button class="quiet" onClick=${() => perform("schedule.run", { name: one.name }, `${one.job} runs now`).then(answer.again)}>Run now</button>
            <button class="quiet" onClick=${() => perform(one.paused ? "schedule.resume" : "schedule.pause", { name: one.name }, one.paused ? `${one.name} goes on` : `${one.name} is paused`).then(answer.again)}>${one.paused ? "Resume" : "Pause"}</button>
            <button class="quiet" onClick=${() => forget(one.name)}>Forget…</button></td>`}</tr>`)}</tbody></table></div>`
        : html`<${Empty} title=${wanted ? "No schedule matches" : "No schedule"}>Give a job class every = … or cron = … and start its worker.</${Empty}>`;
    }}</${Loaded}></${Panel}>`;
}
