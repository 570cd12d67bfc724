// Jobs that ended, over time: live from the stream, else from the scheduler's statistics.
import { useAsk } from "./api.js";
import { Chart } from "./chart.js";
import { duration, rate, short } from "./format.js";
import { html, useMemo } from "./html.js";
import { live } from "./live.js";
import { current, link } from "./route.js";
import { Loaded, Panel, Tabs } from "./ui.js";

const RANGES = { __proto__: null, "8h": 8 * 3600, "72h": 72 * 3600, "90d": 90 * 86400 };
const STEPS = { 60: "minute", 600: "10 minutes", 3600: "hour" };
const stepOf = (range) => ({ "72h": 600, "90d": 3600 })[range] || 60;
const ENDED = [{ label: "Done", colour: "--done", fill: true }, { label: "Failed", colour: "--failed", dash: [5, 3] }];

export const useRange = () => { const chosen = current().query.range; return RANGES[chosen] || chosen === "live" ? chosen : "8h"; };

export function RangeTabs({ withLive = true }) {
  const { page, rest, query } = current();
  const range = useRange();
  const names = withLive ? ["live", ...Object.keys(RANGES)] : Object.keys(RANGES);
  const words = { live: "Live", "8h": "8 h", "72h": "72 h", "90d": "90 d" };
  return html`<${Tabs} label="Time range" items=${names.map((name) => [words[name], link([page, ...rest], { ...query, range: name === "8h" ? "" : name }), name === range])} />`;
}

// Every step has a point: a time in which nothing ended is a zero, not a gap.
export function filled(history, range, read) {
  const length = RANGES[range] || RANGES["8h"], step = history.step;
  const points = history.series.length ? history.series[0].points : [];
  const byTime = new Map(points.map((point) => [Math.round(point.at / step), point]));
  // The minute that is not over yet would look like a fall.
  const end = Math.floor((history.until || live.at) / step) - (step === 60 ? 1 : 0), begin = end - Math.floor(length / step) + 1;
  const times = [], columns = read(null).map(() => []);
  for (let n = begin; n <= end; n += 1) {
    times.push(n * step);
    read(byTime.get(n) || null).forEach((value, column) => columns[column].push(value));
  }
  return [times, ...columns];
}

export function useHistory(args = {}) {
  const range = useRange();
  const length = RANGES[range] || RANGES["8h"], step = stepOf(range);
  // Rounded, so that the address of the request stays the same for one step; rounded up, since
  // before that only coarser steps are kept.
  const since = Math.ceil(((live.at || Date.now() / 1000) - length) / step + 1) * step;
  return [useAsk("stats.history", { ...args, since }, 60), range];
}

export function Throughput({ id, queue }) {
  const range = useRange();
  return html`<${Panel} id=${id} title="Throughput" side=${html`<${RangeTabs} withLive=${!queue} />`}>
    ${range === "live" && !queue ? html`<${Live} />` : html`<${Past} queue=${queue} />`}</${Panel}>`;
}

function Live() {
  const data = useMemo(() => [0, 1, 2].map((column) => live.rates.map((point) => point[column])), [live.version]);
  return html`<${Chart} label="Throughput" data=${data} lines=${ENDED} unit="jobs per second" format=${rate} />`;
}

function Past({ queue }) {
  const [answer, range] = useHistory(queue ? { queue } : {});
  return html`<${Loaded} answer=${answer}>${(history) => html`<${PastChart} history=${history} range=${range} />`}</${Loaded}>`;
}

function PastChart({ history, range }) {
  const data = useMemo(() => filled(history, range, (point) => [point ? point.done : 0, point ? point.failed : 0]), [history]);
  return html`<${Chart} label="Throughput" data=${data} lines=${ENDED} unit=${`jobs per ${STEPS[history.step] || `${history.step} s`}`} format=${short} />`;
}

const PERCENTILES = [{ label: "p50", colour: "--done" }, { label: "p95", colour: "--running", dash: [6, 3] }, { label: "p99", colour: "--delayed", dash: [2, 3] }];

// Run times or waiting times; where nothing ran there is a gap.
export function Times({ id, title, queue, kind }) {
  const [answer, range] = useHistory({ queue });
  const read = (point) => ["p50", "p95", "p99"].map((part) => (point ? point[`${kind}_${part}`] : null));
  return html`<${Panel} id=${id} title=${title}><${Loaded} answer=${answer}>${(history) => html`<${TimesChart} history=${history} range=${range} read=${read} title=${title} />`}</${Loaded}></${Panel}>`;
}

function TimesChart({ history, range, read, title }) {
  const data = useMemo(() => filled(history, range, read), [history]);
  return html`<${Chart} label=${title} data=${data} lines=${PERCENTILES} unit="seconds" format=${duration} height=${150} dots />`;
}
