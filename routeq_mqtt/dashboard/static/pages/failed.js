// What failed: groups first, then records. Retry or forget what is selected, a group, or all that match.
import { ask, useAsk } from "../lib/api.js";
import { count, plural } from "../lib/format.js";
import { html } from "../lib/html.js";
import { failureNews } from "../lib/live.js";
import { link } from "../lib/route.js";
import { Throughput } from "../lib/throughput.js";
import { Ago } from "../lib/time.js";
import { Choice, confirm, Empty, JobLink, Loaded, More, Panel, perform, QueueLink, RateField, readRate, say, Search, Tabs } from "../lib/ui.js";
import { Selection, useSelection } from "../lib/selection.js";
import { queueOptions } from "./jobs.js";
import { groupLink, Why } from "./overview.js";

const NAMES = ["queue", "job", "reason", "exception", "text"];
const filtersOf = (query) => Object.fromEntries(NAMES.filter((name) => query[name] != null && query[name] !== "").map((name) => [name, query[name]]));

export function Failed({ route, about }) {
  const { query } = route;
  const records = query.view === "records" || query.reason || query.exception || query.text || query.job;
  const filters = filtersOf(query);
  return html`
    <div class="head"><h1>Failed</h1><${Tabs} label="View" items=${[["Groups", link(["failed"], { queue: query.queue }), !records], ["Records", link(["failed"], { ...query, view: "records" }), Boolean(records)]]} />
      ${about.may_act && html`<div class="actions"><button onClick=${() => bulk("retry", filters)}>Retry all that match…</button><button class="danger" onClick=${() => bulk("forget", filters)}>Forget all that match…</button></div>`}</div>
    <${Running} about=${about} />
    <${Panel}>
      <div class="filters">
        <${Choice} label="Queue" name="queue" value=${query.queue} options=${queueOptions()} />
        ${records && html`<${Search} label="Job class" name="job" value=${query.job} placeholder="exact name" />
          <${Search} label="Reason" name="reason" value=${query.reason} placeholder="exhausted, timeout, …" /><${Search} label="Exception" name="exception" value=${query.exception} placeholder="ValueError" />`}
        ${!about.hide_data && html`<${Search} main label="Search in errors and data" name="text" value=${query.text} placeholder="connection refused" />`}
      </div>
      ${records ? html`<${Records} route=${route} filters=${filters} about=${about} />` : html`<${Groups} filters=${filters} about=${about} />`}
    </${Panel}>
    <${Throughput} id="throughput" queue=${query.queue} />`;
}

// The number first: then somebody decides.
export async function bulk(action, filters, then = () => {}) {
  let found;
  try { found = await ask("failed.count", filters); } catch (error) { say(error.message, "bad"); return; }
  if (!found.count) { say("No failed record matches"); return; }
  const number = `${found.exact ? "" : "at least "}${plural(found.count, "record")}`;
  const listed = Object.entries(filters);
  confirm({
    title: action === "retry" ? `Retry ${number}?` : `Forget ${number}?`,
    body: html`<p>${listed.length ? listed.map(([name, value]) => html`<span key=${name}>${name} <b>${value}</b> </span>`) : "All queues, all jobs."}</p>
      <p class="faint">${action === "retry" ? "They run again from their first attempt." : "Their records are deleted and cannot be retried after that."} What fails from now on is not touched.</p>`,
    fields: html`<${RateField} />`,
    verb: action === "retry" ? `Retry ${number}` : `Forget ${number}`, danger: action === "forget",
    run: (values) => perform("failed.bulk", { action, ...filters, until: found.until, ...readRate(values) }, (reply) => (action === "retry" ? `${plural(reply.total, "job")} will run again` : `${plural(reply.total, "record")} will be deleted`)).then(then),
  });
}

function Groups({ filters, about }) {
  const answer = useAsk("failed.groups", { queue: filters.queue, limit: 100 }, 5, failureNews());
  return html`<${Loaded} answer=${answer}>${(groups) => (groups.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Failure groups"><table>
    <thead><tr><th>Job</th><th>Why</th><th class="optional">Queue</th><th class="num">Records</th><th class="num optional">First</th><th class="num optional">Last</th>${about.may_act && html`<th><span class="sr">Actions</span></th>`}</tr></thead>
    <tbody>${groups.map((group) => html`<tr key=${[group.queue, group.job, group.reason, group.exception].join()} data-row tabindex="-1">
      <td><a href=${groupLink(group)}>${group.job || "unreadable"}</a></td>
      <td class="wide"><${Why} group=${group} /></td><td class="optional"><${QueueLink} name=${group.queue} /></td>
      <td class="num s-failed">${count(group.count)}</td><td class="num nowrap optional"><${Ago} at=${group.first_at} /></td><td class="num nowrap optional"><${Ago} at=${group.last_at} /></td>
      ${about.may_act && html`<td class="num"><button class="quiet" onClick=${() => bulk("retry", filtersOf(group), answer.again)}>Retry…</button><button class="quiet" onClick=${() => bulk("forget", filtersOf(group), answer.again)}>Forget…</button></td>`}
    </tr>`)}</tbody></table></div>`
    : html`<${Empty} title="Nothing has failed">A job that runs out of attempts appears here, with the error of each attempt.</${Empty}>`)}</${Loaded}>`;
}

function Records({ route, filters, about }) {
  const { query } = route;
  const answer = useAsk("jobs.list", { state: "failed", ...filters, cursor: query.cursor, limit: 50 }, query.cursor ? 0 : 5, query.cursor ? "" : failureNews());
  const page = answer.data || answer.stale;
  const chosen = useSelection(page ? page.rows.map((row) => row.id) : []);
  const after = () => { chosen.clear(); answer.again(); };
  const retry = () => perform("failed.retry", { ids: chosen.ids }, (reply) => `${plural(reply.retried.length, "job")} will run again${reply.skipped.length ? `; ${reply.skipped.length} cannot: ${reply.skipped[0].error}` : ""}`).then(after);
  const forget = () => confirm({
    title: `Forget ${plural(chosen.ids.length, "record")}?`, body: html`<p>They are deleted and cannot be retried after that.</p>`, verb: "Forget", danger: true,
    run: () => perform("failed.forget", { ids: chosen.ids }, (reply) => `${plural(reply.forgotten, "record")} deleted`).then(after),
  });
  return html`
    ${about.may_act && html`<${Selection} chosen=${chosen}><button data-key-r disabled=${!chosen.ids.length} onClick=${retry}>Retry selected</button><button class="danger" disabled=${!chosen.ids.length} onClick=${forget}>Forget selected…</button></${Selection}>`}
    <${Loaded} answer=${answer}>${(found) => (found.rows.length || found.next ? html`<div class="scroll" tabindex="0" role="group" aria-label="Failed records"><table><thead><tr>
      ${about.may_act && html`<th class="check"><input type="checkbox" aria-label="Select all" checked=${chosen.all} onChange=${chosen.toggleAll} /></th>`}<th>Job</th><th>Error</th><th class="optional">Queue</th><th class="num">Failed</th></tr></thead>
      <tbody>${found.rows.map((row) => html`<tr key=${row.id} data-row tabindex="-1">
        ${about.may_act && html`<td class="check"><input type="checkbox" aria-label=${`Select ${row.id}`} checked=${chosen.has(row.id)} onChange=${() => chosen.toggle(row.id)} /></td>`}
        <td>${row.job || "unreadable"}<br /><${JobLink} id=${row.id} /></td>
        <td class="text"><div>${(row.error || "").split("\n")[0].slice(0, 200)}</div>${row.reason !== "exception" && html`<small>${row.reason}</small>`}</td>
        <td class="optional"><${QueueLink} name=${row.queue} /></td><td class="num nowrap"><${Ago} at=${row.at} /></td></tr>`)}</tbody></table></div>
      <${More} page=${found} query=${query} route=${route} />`
    : html`<${Empty} title=${Object.keys(filters).length ? "No record matches" : "Nothing has failed"}>${Object.keys(filters).length ? html`<a href=${link(["failed"], { view: "records" })}>Clear the filters</a>` : "A job that runs out of attempts appears here."}</${Empty}>`)}</${Loaded}>`;
}

function Running({ about }) {
  const answer = useAsk("bulk.list", {}, 3);
  const running = (answer.data || []).filter((one) => one.state === "running");
  return html`${running.map((one) => html`<div class="panel pad" key=${one.id}>
    <b>${one.action === "retry" ? "Retrying" : "Forgetting"}</b> ${count(one.done)} of ${plural(one.total, "record")} ${one.skipped > 0 && html`<span class="s-failed">${count(one.skipped)} skipped: ${one.error}</span>`}
    <progress max=${one.total} value=${one.done + one.skipped} aria-label="Progress"></progress>
    ${about.may_act && html`<button class="quiet" onClick=${() => perform("bulk.stop", { id: one.id }, "Stopped").then(answer.again)}>Stop</button>`}</div>`)}`;
}
