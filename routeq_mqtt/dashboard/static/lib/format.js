// Numbers and times as people read them.
const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const day = new Intl.DateTimeFormat("en", { month: "short", day: "numeric" });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (n) => (n == null ? "–" : plain.format(n));
export const short = (n) => (n == null ? "–" : n < 100000 ? plain.format(n) : compact.format(n));
export const rate = (n) => (n == null ? "–" : n >= 100 ? plain.format(n) : n >= 0.05 || n === 0 ? one.format(n) : "<0.1");
export const plural = (n, word, many = `${word}s`) => `${count(n)} ${n === 1 ? word : many}`;

export function bytes(n) {
  if (n == null) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) { n /= 1000; unit += 1; }
  return `${n < 10 && unit ? one.format(n) : plain.format(n)} ${units[unit]}`;
}

// A duration in at most two units: "1.2 s", "3 min 20 s", "2 d 4 h".
export function duration(seconds) {
  if (seconds == null || !isFinite(seconds)) return "–";
  if (seconds < 0) return `-${duration(-seconds)}`;
  if (seconds < 0.001) return "<1 ms";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${one.format(seconds)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const steps = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = steps.findIndex(([, size]) => seconds >= size);
  const [unit, size] = steps[first];
  const whole = Math.floor(seconds / size);
  const next = steps[first + 1];
  const rest = next ? Math.floor((seconds % size) / next[1]) : 0;
  return `${whole} ${unit}${rest ? ` ${rest} ${next[0]}` : ""}`;
}

// One unit only, for columns.
export function age(seconds) {
  if (seconds == null || !isFinite(seconds)) return "–";
  if (seconds < 0) return "0 s";
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return seconds < 1 ? "<1 s" : `${Math.floor(seconds)} s`;
}

export function moments(at) {
  const date = new Date(at * 1000);
  if (Number.isNaN(date.getTime())) return { local: String(at), utc: String(at) };
  const pad = (n) => String(n).padStart(2, "0");
  const local = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return { local, utc: `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`, iso: date.toISOString() };
}

// Local time at an axis whose ticks are so many seconds apart; midnight is a date.
export function clock(at, step) {
  const date = new Date(at * 1000);
  const { local } = moments(at);
  if (step >= 86400 || local.endsWith("00:00:00")) return day.format(date);
  return step < 60 ? local.slice(11) : local.slice(11, 16);
}

// Whatever a job brought, as text.
export function text(value) {
  if (value == null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
