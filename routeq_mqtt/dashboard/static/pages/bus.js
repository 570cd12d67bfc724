// Broker, scheduler, and who did what.
import { useAsk, useGet } from "../lib/api.js";
import { text } from "../lib/format.js";
import { html } from "../lib/html.js";
import { fact } from "../lib/live.js";
import { Ago, Since } from "../lib/time.js";
import { Empty, Loaded, More, Panel, State } from "../lib/ui.js";
import { Alerts } from "./overview.js";

export function Bus({ route }) {
  const broker = fact("broker") || {}, scheduler = fact("scheduler");
  const doctor = useGet("doctor", {}, 0);
  return html`<div class="head"><h1>Bus</h1></div><${Alerts} />
    <div class="two">
      <${Panel} id="scheduler" title="Scheduler">${scheduler ? html`<dl class="facts"><dt>State</dt><dd><${State} of=${scheduler.state} /></dd><dt>Up</dt><dd>${scheduler.state === "online" ? html`<${Since} at=${scheduler.started_at} />` : "–"}</dd><dt>Host</dt><dd>${scheduler.host} pid ${scheduler.pid}</dd><dt>Version</dt><dd>${scheduler.version}</dd><dt>Database</dt><dd class="mono">${scheduler.db}</dd></dl>` : html`<${Empty} title="No scheduler">Start it: routeq-mqtt scheduler</${Empty}>`}</${Panel}>
      <${Panel} id="broker" title="Broker"><dl class="facts"><dt>State</dt><dd><${State} of=${broker.online ? "online" : "lost"} label=${broker.online ? "connected" : "away"} /></dd><dt>Kind</dt><dd>${broker.embedded ? "embedded broker of routeq-mqtt" : "mosquitto or another one"}</dd>
        ${Object.entries(broker.sys || {}).map(([key, value]) => html`<dt key=${key}>${key}</dt><dd>${text(value)}</dd>`)}</dl></${Panel}>
    </div>
    <${Panel} id="doctor" title="Doctor" side=${html`<button class="quiet" onClick=${doctor.again}>Check again</button>`}><${Loaded} answer=${doctor}>${(checks) => html`<div class="scroll" tabindex="0" role="group" aria-label="Checks"><table><thead><tr><th>Check</th><th>Verdict</th><th>Found</th></tr></thead><tbody>${checks.map((one, n) => html`<tr key=${n}><td class="nowrap">${one.name}</td><td><${State} of=${one.verdict} /></td><td>${one.found}${one.fix && html`<br /><small>${one.fix}</small>`}</td></tr>`)}</tbody></table></div>`}</${Loaded}></${Panel}>
    <${Here} /><${Audit} route=${route} />`;
}

// Who did it is known here: they logged in. Of what the scheduler was asked by others it knows only what they say.
function Here() {
  const answer = useGet("audit", {}, 10);
  return html`<${Panel} id="here" title="Actions of this dashboard, since its start"><${Loaded} answer=${answer}>${(rows) => (rows.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Actions of this dashboard"><table><thead><tr><th class="num">When</th><th>Who</th><th>From</th><th>What</th><th>Outcome</th></tr></thead>
    <tbody>${rows.map((one, n) => html`<tr key=${n}><td class="num nowrap"><${Ago} at=${one.at} /></td><td>${one.user}</td><td class="mono">${one.from}</td><td>${one.action}</td><td>${one.outcome}</td></tr>`)}</tbody></table></div>`
    : html`<${Empty} title="No action yet">What somebody does on these pages leaves a line here, with who was logged in.</${Empty}>`)}</${Loaded}></${Panel}>`;
}

function Audit({ route }) {
  const answer = useAsk("audit.list", { limit: 50, cursor: route.query.cursor }, route.query.cursor ? 0 : 10);
  return html`<${Panel} id="audit" title="What the scheduler was asked to do"><${Loaded} answer=${answer}>${(page) => (page.rows.length ? html`<div class="scroll" tabindex="0" role="group" aria-label="Audit log"><table><thead><tr><th class="num">When</th><th>Who</th><th>What</th><th class="optional">With</th><th>Outcome</th></tr></thead>
    <tbody>${page.rows.map((one) => html`<tr key=${one.number}><td class="num nowrap"><${Ago} at=${one.at} /></td><td>${one.by ? html`${one.by} <small title=${one.how === "claimed" ? "The request says so; nothing proves it" : "Who asked has the signing key of this name"}>${one.how}</small>` : html`<span class="faint">unknown</span>`}</td><td>${one.what}</td><td class="optional"><div class="clip mono" title=${one.args}>${one.args}</div></td><td>${one.outcome}</td></tr>`)}</tbody></table></div>
    <${More} page=${page} query=${route.query} route=${route} />` : html`<${Empty} title="No action yet">Every action that changes something leaves a line here.</${Empty}>`)}</${Loaded}></${Panel}>`;
}
