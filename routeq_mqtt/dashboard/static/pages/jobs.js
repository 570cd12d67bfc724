// Jobs by state. Pages come from an index, with a cursor: a million rows are no slower than ten.
import { useAsk } from "../lib/api.js";
import { bytes, plural, text } from "../lib/format.js";
import { html } from "../lib/html.js";
import { list } from "../lib/live.js";
import { filter, link } from "../lib/route.js";
import { Ago } from "../lib/time.js";
import { Choice, confirm, Empty, JobLink, Loaded, More, Panel, perform, Problem, QueueLink, Search, State, Tabs } from "../lib/ui.js";
import { Selection, useSelection } from "../lib/selection.js";

const STATES = [["running", "Running"], ["parked", "Waiting"], ["released", "With workers"], ["delayed", "Delayed"], ["held", "Held"], ["limited", "Limited"], ["failed", "Failed"], ["done", "Done"]];
const WHEN = { delayed: "Due", done: "Ended", failed: "Failed", parked: "Due", released: "Due", held: "Due", limited: "Due" };
const EMPTY = {
  running: ["Nothing runs", "Workers report what they run within a second."],
  parked: ["Nothing waits", "Jobs wait here when they are due and no worker has a free slot."],
  released: ["Workers hold nothing from the scheduler", "Jobs that the scheduler gave to workers, and that are not over."],
  delayed: ["Nothing is delayed", "Jobs with delay or run_at, and retries before their next attempt."],
  held: ["Nothing is held", "Later steps of chains, and callbacks of batches, wait here."],
  limited: ["Nothing waits for its turn", "Jobs over a rate or a concurrency limit wait here."],
  failed: ["Nothing has failed", "A job that runs out of attempts appears here."],
  done: ["Nothing is done yet", "The scheduler remembers jobs that went through it for a while."],
};

export const queueOptions = () => [["", "All queues"], ...list("queue/").map((queue) => [queue.queue, queue.queue]).sort()];

// "data.user.id=7 text": conditions on data, and the rest is searched as text.
export function readSearch(words) {
  const where = {}, rest = [];
  for (const word of (words || "").match(/(?:data\.[^\s=]+=(?:"[^"]*"|\S*))|\S+/g) || []) {
    const found = word.match(/^(data\.[^\s=]+)=(.*)$/s);
    if (!found) { rest.push(word); continue; }
    try { where[found[1]] = JSON.parse(found[2]); } catch { where[found[1]] = found[2]; }
  }
  return { ...(Object.keys(where).length ? { where } : {}), ...(rest.length ? { text: rest.join(" ") } : {}) };
}

export function Jobs({ route, about }) {
  const { query } = route;
  const state = STATES.some(([name]) => name === query.state) ? query.state : "running";
  return html`
    <div class="head"><h1>Jobs</h1></div>
    <${Panel}>
      <div class="filters"><${Tabs} label="State" items=${STATES.map(([name, words]) => [words, link(["jobs"], { ...query, state: name, cursor: "" }), name === state])} /></div>
      <div class="filters">
        <${Choice} label="Queue" name="queue" value=${query.queue} options=${queueOptions()} />
        <${Search} label="Job class" name="job" value=${query.job} placeholder="exact name" />
        ${!about.hide_data && html`<${Search} main label="Search in id, data and error" name="q" value=${query.q} placeholder="ada@example.org or data.user.id=7" />`}
        ${state !== "running" && html`<${Choice} label="Age" name="age" value=${query.age} options=${[["", "Any"], ["60", "over 1 min"], ["3600", "over 1 h"], ["86400", "over 1 d"]]} />`}
      </div>
      ${state === "running" ? html`<${Running} query=${query} about=${about} />` : html`<${Stored} route=${route} state=${state} about=${about} />`}
    </${Panel}>`;
}

function Stored({ route, state, about }) {
  const { query } = route;
  const until = query.age ? { until: Math.floor(Date.now() / 10000) * 10 - Number(query.age) } : {};
  const args = { state, queue: query.queue, job: query.job, cursor: query.cursor, limit: 50, with_data: !about.hide_data, ...until, ...readSearch(query.q) };
  const answer = useAsk("jobs.list", args, query.cursor ? 0 : 5);
  const page = answer.data || answer.stale;
  const chosen = useSelection(page ? page.rows.map((row) => row.id) : []);
  const can = about.may_act && state !== "done" && state !== "failed";
  return html`
    ${can && html`<${Selection} chosen=${chosen}>
      ${state === "delayed" && html`<button disabled=${!chosen.ids.length} data-key-r onClick=${() => perform("jobs.run", { ids: chosen.ids }, (reply) => `${plural(reply.changed.length, "job")} runs now`).then(answer.again)}>Run now</button>`}
      <button class="danger" disabled=${!chosen.ids.length} onClick=${() => cancel(chosen.ids, answer.again)}>Cancel…</button>
    </${Selection}>`}
    <${Loaded} answer=${answer}>${(found) => (found.rows.length || found.next ? html`
      <div class="scroll" tabindex="0" role="group" aria-label="Jobs"><table><thead><tr>
        ${can && html`<th class="check"><input type="checkbox" aria-label="Select all" checked=${chosen.all} onChange=${chosen.toggleAll} /></th>`}
        <th>Job</th><th>Queue</th><th class="optional">Data</th><th class="num optional">Attempt</th><th class="num">${WHEN[state]}</th></tr></thead>
        <tbody>${found.rows.map((row) => html`<tr key=${row.id} data-row tabindex="-1">
          ${can && html`<td class="check"><input type="checkbox" aria-label=${`Select ${row.id}`} checked=${chosen.has(row.id)} onChange=${() => chosen.toggle(row.id)} /></td>`}
          <td>${row.job || "unreadable"}<br /><${JobLink} id=${row.id} />${row.error && html`<br /><small class="s-failed">${row.error.split("\n")[0].slice(0, 160)}</small>`}</td>
          <td><${QueueLink} name=${row.queue} /></td>
          <td class="optional"><div class="clip mono" title=${brief(row)}>${brief(row)}</div></td>
          <td class="num optional">${row.attempt}</td><td class="num nowrap"><${Ago} at=${row.at} /></td></tr>`)}</tbody></table></div>
      <${More} page=${found} query=${query} route=${route} />`
    : html`<${Empty} title=${query.q || query.job || query.queue || query.age ? "No job matches" : EMPTY[state][0]}>${query.q || query.job || query.queue || query.age ? html`<a href=${link(["jobs"], { state })}>Clear the filters</a>` : EMPTY[state][1]}</${Empty}>`)}</${Loaded}>`;
}

const brief = (row) => (row.sealed ? "sealed" : row.data == null ? bytes(row.size) : text(row.data).slice(0, 300));

export function cancel(ids, then) {
  confirm({
    title: `Cancel ${plural(ids.length, "job")}?`,
    body: html`<p>Jobs that wait will not start. Jobs that run are stopped where that is possible.</p>`,
    verb: `Cancel ${plural(ids.length, "job")}`, danger: true,
    run: () => perform("cancel", { ids }, (fates) => {
      const over = Object.values(fates).filter((fate) => fate === "over").length;
      return `${plural(ids.length - over, "job")} cancelled${over ? `; ${over} had ended before` : ""}`;
    }).then(then),
  });
}

function Running({ query, about }) {
  const rows = list("worker/").flatMap((worker) => worker.running.map((job) => ({ ...job, worker })))
    .filter((row) => (!query.queue || (row.queue ? row.queue === query.queue : row.worker.queues.includes(query.queue))) && (!query.job || row.job === query.job) && (!query.q || row.id.includes(query.q)));
  const chosen = useSelection(rows.map((row) => row.id));
  if (!rows.length) return html`<${Empty} title=${EMPTY.running[0]}>${EMPTY.running[1]}</${Empty}>`;
  return html`
    ${about.may_act && html`<${Selection} chosen=${chosen}><button class="danger" disabled=${!chosen.ids.length} onClick=${() => cancel(chosen.ids, () => {})}>Cancel…</button></${Selection}>`}
    <div class="scroll" tabindex="0" role="group" aria-label="Running jobs"><table><thead><tr>${about.may_act && html`<th class="check"><input type="checkbox" aria-label="Select all" checked=${chosen.all} onChange=${chosen.toggleAll} /></th>`}<th>Job</th><th>Worker</th><th>Progress</th><th class="num">Attempt</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.id} data-row tabindex="-1">
      ${about.may_act && html`<td class="check"><input type="checkbox" aria-label=${`Select ${row.id}`} checked=${chosen.has(row.id)} onChange=${() => chosen.toggle(row.id)} /></td>`}
      <td><${JobLink} id=${row.id} /></td><td><a href=${link(["workers"], { text: row.worker.id })}>${row.worker.name || row.worker.id}</a></td><td><${Progress} of=${row.progress} /></td><td class="num">${row.attempt}</td></tr>`)}</tbody></table></div>`;
}

export function Progress({ of }) {
  if (!of) return html`<span class="faint">–</span>`;
  const [done, total, note] = of;
  return html`${total ? html`<progress max=${total} value=${done} aria-label="Progress"></progress> <small>${done} of ${total}</small>` : html`<small>${done}</small>`} <small>${text(note)}</small>`;
}
