// Where messages of devices become jobs, and jobs wait on machines that are offline.
import { useAsk } from "../lib/api.js";
import { bytes, count } from "../lib/format.js";
import { html } from "../lib/html.js";
import { list } from "../lib/live.js";
import { Ago } from "../lib/time.js";
import { Empty, Loaded, Panel, QueueLink } from "../lib/ui.js";

export function Edge() {
  const triggers = useAsk("trigger.list", {}, 10);
  const away = list("alert/").filter((alert) => alert.kind === "outbox");
  const waiting = list("outbox/").sort((a, b) => (a.oldest_at || Infinity) - (b.oldest_at || Infinity));
  return html`<div class="head"><h1>Edge</h1></div>
    ${away.map((alert) => html`<div class="alert" key=${alert.key}><strong>▲ Outbox</strong><p>${alert.text}</p></div>`)}
    <${Panel} id="triggers" title="Triggers"><${Loaded} answer=${triggers}>${(rows) => (rows.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Triggers"><table><thead><tr><th>Messages to</th><th>become</th><th>on</th><th>Payload</th></tr></thead>
      <tbody>${rows.map((one) => html`<tr key=${one.pattern + one.job} data-row tabindex="-1"><td class="mono">${one.pattern}</td><td>${one.job}</td><td><${QueueLink} name=${one.queue} /></td><td>${one.payload || "JSON or msgpack map"}</td></tr>`)}</tbody></table></div>`
      : html`<${Empty} title="No trigger">A trigger makes jobs of sensor messages: routeq-mqtt worker --trigger 'sensors/+/temp=Store'</${Empty}>`)}</${Loaded}></${Panel}>
    <${Panel} id="outboxes" title="Outboxes">${waiting.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Outboxes"><table><thead><tr><th>Outbox</th><th class="num">Jobs</th><th class="num">Size</th><th class="num">Oldest</th><th class="num">Refused</th><th class="num">Reported</th></tr></thead>
      <tbody>${waiting.map((one) => html`<tr key=${one.id} data-row tabindex="-1"><td class="mono">${one.place}</td><td class="num">${count(one.jobs)}</td><td class="num">${bytes(one.size)}</td><td class="num"><${Ago} at=${one.oldest_at} suffix=${false} /></td><td class=${`num ${one.refused ? "s-failed" : "zero"}`}>${count(one.refused)}</td><td class="num nowrap"><${Ago} at=${one.at} /></td></tr>`)}</tbody></table></div>`
      : html`<${Empty} title="No job waits in an outbox">Jobs of a producer that is offline wait in a file on its machine. It reports here while it reaches the broker; there: routeq-mqtt outbox status</${Empty}>`}</${Panel}>`;
}
