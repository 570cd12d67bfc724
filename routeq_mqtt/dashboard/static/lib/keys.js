// The keyboard: / search, g then a letter, j k through rows, x select, r retry, ? help.
import { go } from "./route.js";

export const PLACES = { o: "overview", j: "jobs", f: "failed", w: "workers", s: "schedules", b: "batches", l: "limits", e: "edge", t: "bus" };
let waiting = 0;

const rows = () => [...document.querySelectorAll("main [data-row]")];

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement && document.activeElement.closest("[data-row]"));
  const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

function inRow(selector) {
  const row = document.activeElement && document.activeElement.closest("[data-row]");
  const found = row && row.querySelector(selector);
  if (found) found.click();
}

export function listen(help) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox") {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (waiting && performance.now() - waiting < 1500) {
      waiting = 0;
      if (PLACES[event.key]) { event.preventDefault(); go([PLACES[event.key]]); return; }
    }
    const does = {
      g: () => { waiting = performance.now(); },
      "/": () => { const box = document.querySelector("[data-main-search]"); if (box) box.focus(); else go(["jobs"], { focus: 1 }); },
      j: () => move(1),
      k: () => move(-1),
      x: () => inRow("input[type=checkbox]"),
      r: () => { const button = document.querySelector("[data-key-r]"); if (button) button.click(); },
      "?": help,
    }[event.key];
    if (does) { event.preventDefault(); does(); return; }
    if (event.key === "Enter" && event.target.matches && event.target.matches("[data-row]")) inRow("a");
  });
}

export const HELP = [
  ["/", "Search"], ["g o", "Overview"], ["g j", "Jobs"], ["g f", "Failed"], ["g w", "Workers"],
  ["g s", "Schedules"], ["g b", "Batches"], ["g l", "Limits"], ["g e", "Edge"], ["g t", "Bus"],
  ["j k", "Next and previous row"], ["Enter", "Open the row"], ["x", "Select the row"],
  ["r", "Retry what is selected"], ["?", "This list"],
];
