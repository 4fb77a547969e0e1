// The view of one list of texts, each compared with each.

import * as api from "./api.js";
import { code } from "./code.js";
import { byId, count, el, numbered, score, span } from "./dom.js";
import { TEXTS, TEXTS_NOTE } from "./examples.js";
import { latest, remembering } from "./latest.js";
import { matrix } from "./matrix.js";
import { curl, python } from "./snippets.js";
import { split } from "./texts.js";
import { showTokens } from "./tokens.js";

const MOST = 60; // texts in the heat map: more cells than 3,600 nobody reads

/** The view; `refresh(wait)` asks again. */
export function similarityView({ settings, guarded, told }) {
  const field = byId("texts");
  const showCode = code(byId("similarity-code"));
  const fields = { input: "Texts" };
  const tokenize = remembering(api.tokenize(fields));
  const compare = api.similarity(fields);
  let asLines = false;
  field.value = TEXTS;

  async function job(signal) {
    const { texts, parted } = split(field.value, asLines);
    if (!texts.length) return nothing();
    const { id: model, default_prompt: prompt } = settings.chosen();
    const reduced = settings.reduced();
    const body = { model, input: texts.slice(0, MOST), ...reduced };
    const [read, answer] = await Promise.all([
      tokenize({ model, input: texts }, signal),
      told.timed(compare(body, signal)),
    ]);
    if (signal.aborted) return;
    showTokens(byId("texts-read"), {
      texts, parted, asLines, answer: read, prompt,
      onLines: (on) => { asLines = on; refresh(0); },
    });
    settings.cost(answer.bytes);
    summarise(texts, answer);
    matrix(byId("matrix"), body.input, answer.scores, (i, j) => showPair(body.input, answer.scores, i, j));
    showCode({
      curl: curl(`${api.BASE}v1/similarity`, { ...body, input: texts }, guarded),
      python: python({
        base: api.BASE, model, fields: reduced, guarded,
        lists: [{ name: "texts", texts }],
        tail: ["print(scores.round(4))"],
      }),
    });
  }

  function nothing() {
    for (const id of ["texts-read", "matrix", "pair"]) byId(id).replaceChildren();
    byId("similarity-summary").textContent = "Paste some texts to see how alike they are.";
  }

  const refresh = latest(job, told.of(byId("similarity-result")));
  field.addEventListener("input", () => refresh());
  return { refresh };
}

function summarise(texts, { scores, code }) {
  const summary = byId("similarity-summary");
  const n = scores.length;
  const pairs = [];
  for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) pairs.push([scores[i][j], i, j]);
  if (!pairs.length) {
    summary.textContent = "One text is like itself: paste a second one.";
    byId("pair").replaceChildren();
    return;
  }
  pairs.sort((a, b) => b[0] - a[0]);
  const name = ([value, i, j]) => `${i + 1} and ${j + 1} (${score(value)})`;
  const shown = n < texts.length ? `The first ${n} of ${count(texts.length, "text")}. ` : "";
  summary.textContent = `${shown}Most alike: ${name(pairs[0])}. Least: ${name(pairs.at(-1))}.`;
  if (code !== "float") summary.append(span("note", `Rows are exact, columns ${code}: so the halves differ.`));
  if (texts.join("\n") === TEXTS) summary.append(span("note", TEXTS_NOTE));
  showPair(texts, scores, pairs[0][1], pairs[0][2]);
}

function showPair(texts, scores, i, j) {
  const side = (index) => el("p", {}, ...numbered(index, texts[index]));
  byId("pair").replaceChildren(el("strong", {}, score(scores[i][j], 4)), el("div", {}, side(i), side(j)));
}
