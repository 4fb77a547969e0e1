// Rankings drawn: a list for each query, with what moved against the full model.

import { count, el, score, unseen } from "./dom.js";
import { agreement } from "./ranks.js";

export const SHOWN = 5;

/** Draws one list a query. `full`: this is the full model, so there is nothing to compare. */
export function drawRankings(into, { queries, passages, rankings, k, full, all }) {
  into.replaceChildren(
    ...queries.map((query, i) => {
      const shown = all ? rankings[i] : rankings[i].slice(0, SHOWN);
      const gone = full ? [] : rankings[i].slice(k).filter((one) => one.before < k);
      return el(
        "article",
        { className: "found" },
        el("h3", { className: "text" }, query),
        full ? null : el("p", { className: "note" }, said(agreement(rankings[i], k), k)),
        el("ol", {}, ...shown.map((one) => item(one, passages, full, k))),
        gone.length && !all ? el("p", { className: "note" }, lost(gone, passages, k)) : null,
      );
    }),
  );
}

const said = ({ same, still }, k) => `Top ${k}: ${same} of ${k} the same, ${still} in the same place`;
const short = (text) => (text.length > 48 ? `${Array.from(text).slice(0, 45).join("").trimEnd()}\u2026` : text);

function lost(gone, passages, k) {
  const named = gone.slice(0, 2).map((one) => `\u201c${short(passages[one.index])}\u201d (${one.before + 1} to ${one.place + 1})`);
  const others = gone.length > 2 ? ` and ${gone.length - 2} more` : "";
  return `No longer in the top ${k}: ${named.join(", ")}${others}`;
}

function item(one, passages, full, k) {
  const meter = el("span", { className: "meter", "aria-hidden": "true" });
  meter.style.setProperty("--share", Math.max(0, Math.min(1, one.score)));
  return el(
    "li",
    { value: one.place + 1, "data-passage": one.index, className: !full && one.place < k && one.before >= k ? "new" : "" },
    el("span", { className: "place" }, String(one.place + 1)),
    full ? null : move(one),
    el("span", { className: "text" }, passages[one.index]),
    el("span", { className: "figure" }, meter, score(one.score, 3)),
  );
}

function move({ moved, before }) {
  if (moved === 0) return el("span", { className: "move" }, el("span", { "aria-hidden": "true" }, "="), unseen("same place"));
  const [way, sign, name] = moved > 0 ? ["up", "\u25b2", "up"] : ["down", "\u25bc", "down"];
  return el(
    "span",
    { className: `move ${name}`, title: `${before + 1} with the full model` },
    el("span", { "aria-hidden": "true" }, `${sign}${Math.abs(moved)}`),
    unseen(`${way} ${count(Math.abs(moved), "place")}`),
  );
}

/** One line over all queries. */
export function summary(rankings, k) {
  const parts = rankings.map((ranking) => agreement(ranking, k));
  const mean = parts.reduce((sum, one) => sum + one.same, 0) / parts.length;
  const best = rankings.filter((ranking) => ranking[0].moved === 0).length;
  const of = Number.isInteger(mean) ? mean : mean.toFixed(1);
  const queries = parts.length === 1 ? "" : ` for ${best} of ${count(parts.length, "query", "queries")}`;
  const first = parts.length === 1 ? (best ? "the best passage is the same" : "another passage is the best") : "the best passage is the same";
  const top = k === 1 ? "" : `Top ${k}: ${parts.length > 1 ? "on average " : ""}${of} of ${k} the same as the full model finds; `;
  const line = `${top}${first}${queries}.`;
  return line.charAt(0).toUpperCase() + line.slice(1);
}
