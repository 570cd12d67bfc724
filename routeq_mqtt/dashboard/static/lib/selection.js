// Rows that somebody has ticked; what is not on the page any more is not selected any more.
import { html, useState } from "./html.js";
import { count } from "./format.js";

export function useSelection(shown) {
  const [ticked, set] = useState(() => new Set());
  const ids = shown.filter((id) => ticked.has(id));
  return {
    ids,
    all: ids.length > 0 && ids.length === shown.length,
    has: (id) => ticked.has(id),
    toggle: (id) => set((before) => { const next = new Set(before); if (!next.delete(id)) next.add(id); return next; }),
    toggleAll: () => set(ids.length === shown.length ? new Set() : new Set(shown)),
    clear: () => set(new Set()),
  };
}

export const Selection = ({ chosen, children }) => html`<div class="selected"><span aria-live="polite">${chosen.ids.length ? `${count(chosen.ids.length)} selected` : html`<span class="faint">None selected</span>`}</span>${children}</div>`;
