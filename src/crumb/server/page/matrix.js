// A heat map that is a table: headers, numbers, and a cell to walk with the arrow keys.

import { el, numbered, score, unseen } from "./dom.js";

export const STEPS = 10;

/** The step of the colour scale for a cosine: 0 for up to 0.1 and for what is negative, 9 from 0.9. */
export const step = (value) => Math.min(STEPS - 1, Math.max(0, Math.floor(value * STEPS)));

/**
 * Draws `scores` [n][n] of `texts` into `into`. `shown(i, j)` is called for the cell under the pointer or with focus.
 */
export function matrix(into, texts, scores, shown) {
  const columns = texts.map((text, j) => el("th", { scope: "col" }, unseen(`${text} `), String(j + 1)));
  const cell = (value, i, j) => {
    const className = `heat s${step(value)}${i === j ? " self" : ""}`;
    return el("td", { className, tabIndex: -1, "data-row": i, "data-column": j }, score(value));
  };
  const rows = scores.map((row, i) => {
    const name = el("th", { scope: "row", title: texts[i] }, ...numbered(i, texts[i]));
    return el("tr", {}, name, ...row.map((value, j) => cell(value, i, j)));
  });
  const table = el(
    "table",
    { role: "grid", "aria-readonly": "true" },
    el("caption", { className: "unseen" }, "Cosine similarity of every two texts. Arrow keys move between cells."),
    el("thead", {}, el("tr", {}, el("td"), ...columns)),
    el("tbody", {}, ...rows),
  );
  const before = into.querySelector("td[tabindex='0']");
  const focused = before && before === document.activeElement;
  into.replaceChildren(table);
  walk(table, texts.length, before ? place(before) : [0, 0], shown, focused);
}

const place = (cell) => [Number(cell.dataset.row), Number(cell.dataset.column)];

function walk(table, n, [row, column], shown, focused) {
  const cell = (i, j) => table.tBodies[0].rows[i].cells[j + 1];
  const at = (event) => event.target.closest("td.heat");
  let current = cell(Math.min(row, n - 1), Math.min(column, n - 1));
  current.tabIndex = 0;

  function enter(next) {
    current.tabIndex = -1;
    current = next;
    current.tabIndex = 0;
    shown(...place(next));
  }
  table.addEventListener("focusin", (event) => at(event) && enter(at(event)));
  table.addEventListener("pointerover", (event) => at(event) && shown(...place(at(event))));
  table.addEventListener("keydown", (event) => {
    if (!at(event)) return;
    const [i, j] = place(current);
    const to = {
      ArrowUp: [i - 1, j],
      ArrowDown: [i + 1, j],
      ArrowLeft: [i, j - 1],
      ArrowRight: [i, j + 1],
      Home: [event.ctrlKey ? 0 : i, 0],
      End: [event.ctrlKey ? n - 1 : i, n - 1],
    }[event.key];
    if (!to) return;
    event.preventDefault();
    const inside = (x) => Math.min(n - 1, Math.max(0, x));
    cell(inside(to[0]), inside(to[1])).focus();
  });
  if (focused) current.focus();
}
