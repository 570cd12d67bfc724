// Requests. All URLs are relative: the page works under any prefix.
import { useEffect, useRef, useState } from "./html.js";

export class ApiError extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function send(url, options) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "the dashboard does not answer; is it still running?");
  }
  if (answer.status === 401) { location.reload(); throw new ApiError(401, "log in again"); }
  const body = await answer.json().catch(() => ({ error: `unexpected answer ${answer.status}` }));
  if (!answer.ok) throw new ApiError(answer.status, String(body.error || answer.status));
  return body;
}

export function get(path, params = {}, signal) {
  const kept = Object.entries(params).filter(([, value]) => value !== "" && value != null);
  return send(`api/${path}${kept.length ? `?${new URLSearchParams(kept)}` : ""}`, { signal });
}

export function act(method, args) {
  const headers = { "content-type": "application/json" };
  return send(`api/act/${method}`, { method: "POST", headers, body: JSON.stringify(args) });
}


const SOON = 1; // seconds between two requests, at least, where news would have them sooner

// What a GET answers: {data, error, again}. Asked again every `every` seconds while the tab shows,
// and soon after `news` has changed.
export function useGet(path, params = {}, every = 0, news = "") {
  const key = path === null ? null : `${path}?${JSON.stringify(params)}`;
  const [answer, set] = useState({ key: null, data: null, error: null });
  const [turn, again] = useState(0);
  const latest = useRef(null);
  latest.current = key;
  const hurry = useRef(() => {});
  useEffect(() => {
    if (key === null) return undefined;
    const stop = new AbortController();
    let timer = 0, asked = 0, asking = false, overtaken = false;
    const ask = async () => {
      if (document.hidden) { timer = setTimeout(ask, 1000); return; }
      asked = performance.now(); asking = true; overtaken = false;
      try {
        const data = await get(path, params, stop.signal);
        if (!stop.signal.aborted) set({ key, data, error: null });
      } catch (error) {
        if (stop.signal.aborted) return;
        set((before) => ({ key, data: before.key === key ? before.data : null, error }));
      }
      asking = false;
      if (every && !stop.signal.aborted) timer = setTimeout(ask, (overtaken ? SOON : every) * 1000);
    };
    hurry.current = () => {
      if (asking) { overtaken = true; return; }
      clearTimeout(timer);
      timer = setTimeout(ask, Math.max(0, SOON * 1000 - (performance.now() - asked)));
    };
    ask();
    return () => { stop.abort(); clearTimeout(timer); hurry.current = () => {}; };
  }, [key, turn]);
  const known = useRef(news);
  useEffect(() => {
    if (known.current !== news) { known.current = news; hurry.current(); }
  }, [news]);
  const fits = answer.key === key;
  return {
    data: fits ? answer.data : null,
    stale: fits ? null : answer.data,
    error: fits ? answer.error : null,
    again: () => again((n) => n + 1),
  };
}

// A request to the scheduler that changes nothing. method null: nothing is asked.
const packed = (args) => {
  const kept = Object.entries(args).filter(([, value]) => value !== "" && value != null);
  return kept.length ? { args: JSON.stringify(Object.fromEntries(kept)) } : {};
};
export const ask = (method, args = {}) => get(`ask/${method}`, packed(args));
export const useAsk = (method, args = {}, every = 0, news = "") => useGet(method && `ask/${method}`, packed(args), every, news);
