// The address: "#/failed?queue=mail". Every filter is in it, so that a link shows what you see.
import { useEffect, useState } from "./html.js";

export function current() {
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decode);
  return { page: parts[0] || "overview", rest: parts.slice(1), query: Object.fromEntries(new URLSearchParams(query || "")) };
}

function decode(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

export function link(parts, query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== "" && value != null && value !== false);
  const path = [].concat(parts).map((part) => encodeURIComponent(part)).join("/");
  return `#/${path}${kept.length ? `?${new URLSearchParams(kept)}` : ""}`;
}

export function go(parts, query) { location.hash = link(parts, query); }

// Change filters where we are; typing does not fill the history.
export function filter(changes, { replace = false } = {}) {
  const { page, rest, query } = current();
  const next = link([page, ...rest], { ...query, ...changes });
  if (!replace) { location.hash = next; return; }
  history.replaceState(null, "", next);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useRoute() {
  const [route, set] = useState(current);
  useEffect(() => {
    const changed = () => set(current());
    addEventListener("hashchange", changed);
    changed(); // the address may have changed since the first drawing, before anything listened
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}
