// What is true now: facts under flat keys, kept up to date by server-sent events.
// Hidden tabs hold no stream. A browser with many tabs is told to poll by its older ones.
import { get } from "./api.js";
import { useEffect, useState } from "./html.js";

const facts = new Map();
const watchers = new Set();
const POLL_EVERY = 5000;
const STREAM_AGAIN_AFTER = 60000;
const AWAY_AFTER = 12000;
const KEPT = 300; // points of the live chart

export const live = { at: 0, heardAt: 0, mode: "connecting", rates: [], version: 0 };
let stream = null;
let timer = 0;
let streamAgain = 0;

function tell() { live.version += 1; for (const watch of watchers) watch(live.version); }

function take(message, whole) {
  if (whole) facts.clear();
  for (const [key, fact] of Object.entries(message.set)) facts.set(key, fact);
  for (const key of message.gone) facts.delete(key);
  live.at = message.at;
  live.heardAt = performance.now();
  measure();
  tell();
}

// Queues are counted every 2 s, each at its own time: over 6 s the rate is smooth.
const sums = [];
function measure() {
  let done = 0, failed = 0;
  for (const queue of list("queue/")) { done += queue.done_total || 0; failed += queue.failed_total || 0; }
  const last = sums[sums.length - 1];
  if (last && live.at - last[0] < 0.5) return;
  if (last && live.at - last[0] > 20) sums.length = 0;
  sums.push([live.at, done, failed]);
  if (sums.length > 7) sums.shift();
  if (sums.length < 4) return;
  const first = sums[0], seconds = live.at - first[0];
  live.rates.push([live.at, Math.max(0, done - first[1]) / seconds, Math.max(0, failed - first[2]) / seconds]);
  if (live.rates.length > KEPT) live.rates.shift();
}

function disconnect() {
  if (stream) stream.close();
  stream = null;
  clearTimeout(timer);
}

function connect() {
  disconnect();
  if (document.hidden) return;
  stream = new EventSource("api/stream");
  const read = (whole) => (event) => { live.mode = "live"; take(JSON.parse(event.data), whole); };
  stream.addEventListener("message", read(false));
  stream.addEventListener("all", read(true));
  stream.addEventListener("poll", () => { streamAgain = performance.now() + STREAM_AGAIN_AFTER; disconnect(); poll(); });
  stream.addEventListener("error", () => {
    if (stream && stream.readyState === EventSource.CLOSED) { streamAgain = performance.now() + POLL_EVERY; poll(); }
  });
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    take(await get("state"), true);
    live.mode = "poll";
  } catch { /* the header says how old everything is */ }
  const next = performance.now() > streamAgain ? connect : poll;
  timer = setTimeout(next, POLL_EVERY);
}

export function start() {
  poll().then(() => connect());
  document.addEventListener("visibilitychange", () => { if (document.hidden) disconnect(); else connect(); });
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
  setInterval(tell, 1000);
}

export const isAway = () => performance.now() - live.heardAt > AWAY_AFTER;
// Server's time: relative times are right although this machine's clock is not.
export const now = () => (live.heardAt ? live.at + (performance.now() - live.heardAt) / 1000 : Date.now() / 1000);

export function list(prefix) {
  const found = [];
  for (const [key, fact] of facts) if (key.startsWith(prefix)) found.push(fact);
  return found;
}

export const fact = (key) => facts.get(key);

// Failed records of all queues: how many there are, and how many there ever were.
export function failures() {
  let now = 0, ever = 0;
  for (const queue of list("queue/")) { now += queue.failed || 0; ever += queue.failed_total || 0; }
  return { now, ever };
}

// Changes with the failed records: pages that list them ask again then.
export const failureNews = () => Object.values(failures()).join();

export function useLive() {
  const [, set] = useState(0);
  useEffect(() => { watchers.add(set); return () => watchers.delete(set); }, []);
  return live.version;
}
