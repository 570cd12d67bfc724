// Line charts over time, in SVG: units at the axes, the values under the pointer in a line above.
// Colours are classes, so that they follow the colour scheme without being drawn again.
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { clock, moments } from "./format.js";

const LEFT = 64, RIGHT = 10, TOP = 10, BOTTOM = 22; // pixels around the lines
const DAY = 86400;
const STEPS = [1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 10800, 21600, 43200, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY];

// Even numbers from 0 to what is highest, so far apart that no two labels are the same.
export function heights(high, most, format) {
  const top = high > 0 ? high * 1.1 : 1;
  let power = 10 ** Math.floor(Math.log10(top / most));
  for (;;) {
    for (const times of [1, 2, 5]) {
      const step = power * times;
      const values = Array.from({ length: Math.floor(top / step) + 1 }, (_, n) => n * step);
      const labels = values.map((value) => (value ? format(value) : "0"));
      if (values.length <= most + 1 && new Set(labels).size === labels.length) return { top, ticks: values.map((value, n) => [value, labels[n]]) };
    }
    power *= 10;
  }
}

// Full minutes, hours or days of local time; the first one of a day is its date.
export function dates(first, last, most) {
  const step = STEPS.find((one) => (last - first) / one <= most) || STEPS.at(-1);
  const shift = new Date(first * 1000).getTimezoneOffset() * 60;
  const ticks = [];
  for (let at = Math.ceil((first - shift) / step) * step + shift; at <= last; at += step) ticks.push([at, clock(at, step)]);
  return ticks;
}

function drawn({ data: [times, ...columns], lines, height, width, format, dots }) {
  const wide = Math.max(1, width - LEFT - RIGHT), high = height - TOP - BOTTOM;
  const first = times[0], last = times.at(-1);
  const most = columns.flat().reduce((found, value) => Math.max(found, value || 0), 0);
  const { top, ticks } = heights(most, Math.max(2, Math.floor(high / 28)), format);
  const x = (time) => LEFT + (last > first ? (time - first) / (last - first) : 1) * wide;
  const y = (value) => TOP + high - (value / top) * high;
  const place = (n, value) => `${x(times[n]).toFixed(1)} ${y(value).toFixed(1)}`;
  const paths = columns.map((values, column) => {
    let line = "", lone = "", begun = false;
    values.forEach((value, n) => {
      if (value == null) { begun = begun && !dots; return; }
      line += `${begun ? "L" : "M"}${place(n, value)}`;
      // A point between two gaps would be a line without a length.
      if (dots && (values.length < 60 || (!begun && values[n + 1] == null))) lone += `M${place(n, value)}h0`;
      begun = true;
    });
    const area = lines[column].fill && line && `${line}V${TOP + high}H${x(times[values.findIndex((value) => value != null)]).toFixed(1)}Z`;
    return { line, lone, area };
  });
  return { x, y, paths, bottom: TOP + high, ticks, dates: times.length ? dates(first, last, Math.max(1, Math.floor(wide / 74))) : [] };
}

// data: [[times], [values of line 1], …]; lines: [{label, colour: "--done", dash, fill}]
export function Chart({ data, lines, unit, format, height = 190, label, dots = false }) {
  const box = useRef(null);
  const [width, measured] = useState(0);
  const [at, hover] = useState(null);
  useEffect(() => {
    const size = new ResizeObserver(() => measured(box.current ? box.current.clientWidth : 0));
    size.observe(box.current);
    return () => size.disconnect();
  }, []);
  const plot = useMemo(() => drawn({ data, lines, height, width, format, dots }), [data, width, height, unit]);
  const times = data[0], last = times.length - 1;
  const index = at == null || at > last ? last : at;
  const pointed = (event) => {
    const left = event.clientX - box.current.getBoundingClientRect().left - LEFT;
    const n = Math.round((left / Math.max(1, width - LEFT - RIGHT)) * last);
    hover(last < 0 ? null : Math.min(last, Math.max(0, n)));
  };
  const value = (n, row) => (row >= 0 && data[n + 1][row] != null ? format(data[n + 1][row]) : null);
  const time = index >= 0 ? moments(times[index]).local.slice(5, 19) : "";
  return html`<figure class="chart">
    <figcaption>
      ${lines.map((line, n) => html`<span key=${line.label}><i class=${`key k${line.colour} ${line.dash ? (line.dash[0] < 3 ? "dotted" : "dashed") : ""}`} aria-hidden="true"></i>${line.label} <b>${value(n, index) || "–"}</b></span>`)}
      <span class="faint">${unit}${time && ` at ${time}`}</span>
    </figcaption>
    <div ref=${box} class=${`plot h${height}`} role="img" onPointerMove=${pointed} onPointerLeave=${() => hover(null)}
      aria-label=${`${label}: ${lines.map((line, n) => `${line.label} ${value(n, last) || "nothing"}`).join(", ")} ${unit} now`}>
      ${width > 0 && html`<svg width=${width} height=${height} aria-hidden="true">
        ${plot.ticks.map(([tick, words]) => html`<g key=${words}><path class="grid" d=${`M${LEFT} ${Math.round(plot.y(tick)) + 0.5}H${width - RIGHT}`} /><text class="up" x=${LEFT - 8} y=${plot.y(tick)}>${words}</text></g>`)}
        ${plot.dates.map(([tick, words]) => html`<g key=${tick}><path class="grid" d=${`M${Math.round(plot.x(tick)) + 0.5} ${TOP}V${plot.bottom}`} /><text class="along" x=${plot.x(tick)} y=${plot.bottom + 15}>${words}</text></g>`)}
        ${lines.map((line, n) => html`<g key=${line.label} class=${`k${line.colour}`}>
          ${plot.paths[n].area && html`<path class="area" d=${plot.paths[n].area} />`}
          <path class="curve" d=${plot.paths[n].line} stroke-dasharray=${line.dash && line.dash.join(" ")} /><path class="dots" d=${plot.paths[n].lone} />
          ${at != null && index === at && data[n + 1][at] != null && html`<circle cx=${plot.x(times[at])} cy=${plot.y(data[n + 1][at])} r="3.5" />`}
        </g>`)}
        ${at != null && index === at && html`<path class="pointer" d=${`M${plot.x(times[at])} ${TOP}V${plot.bottom}`} />`}
      </svg>`}
    </div>
  </figure>`;
}
