// Rankings drawn: a list for each query, with what moved against the full model.

import { count, el, score, span, unseen } from "./dom.js";
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
const short = (text) => (text.length > 48 ? `${Array.from(text).slice(0, 45).join("").trimEnd()}…` : text);

function lost(gone, passages, k) {
  const name = ({ index, before, place }) => `“${short(passages[index])}” (${before + 1} to ${place + 1})`;
  const named = gone.slice(0, 2).map(name);
  const others = gone.length > 2 ? ` and ${gone.length - 2} more` : "";
  return `No longer in the top ${k}: ${named.join(", ")}${others}`;
}

function item(one, passages, full, k) {
  const meter = span("meter", "", { "aria-hidden": "true" });
  meter.style.setProperty("--share", Math.max(0, Math.min(1, one.score)));
  const risen = !full && one.place < k && one.before >= k;
  return el(
    "li",
    { value: one.place + 1, "data-passage": one.index, className: risen ? "new" : "" },
    span("place", String(one.place + 1)),
    full ? null : move(one),
    span("text", passages[one.index]),
    el("span", { className: "figure" }, meter, score(one.score, 3)),
  );
}

function move({ moved, before }) {
  const way = ["down", "", "up"][Math.sign(moved) + 1];
  const seen = moved === 0 ? "=" : `${moved > 0 ? "▲" : "▼"}${Math.abs(moved)}`;
  return el(
    "span",
    { className: `move ${way}`, title: `${before + 1} with the full model` },
    span("", seen, { "aria-hidden": "true" }),
    unseen(moved === 0 ? "same place" : `${way} ${count(Math.abs(moved), "place")}`),
  );
}

const ALONE = ["Another passage is the best", "The best passage is the same"];

/** One line over all queries. */
export function summary(rankings, k) {
  const n = rankings.length;
  const mean = rankings.reduce((sum, ranking) => sum + agreement(ranking, k).same, 0) / n;
  const kept = rankings.filter((ranking) => ranking[0].moved === 0).length;
  const same = `${n > 1 ? "on average " : ""}${Number.isInteger(mean) ? mean : mean.toFixed(1)} of ${k} the same`;
  const best = n > 1 ? `The best passage is the same for ${kept} of ${n} queries` : ALONE[kept];
  return `${k > 1 ? `Top ${k}: ${same} as the full model finds. ` : ""}${best}.`;
}
