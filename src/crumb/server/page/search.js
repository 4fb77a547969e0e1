// The view of queries and passages: what each query finds, and how that moves when vectors get smaller.

import * as api from "./api.js";
import { code } from "./code.js";
import { byId, el } from "./dom.js";
import { PASSAGES, QUERIES } from "./examples.js";
import { latest, remembering } from "./latest.js";
import { drawRankings, SHOWN, summary } from "./ranking.js";
import { compare, depth } from "./ranks.js";
import { curl, python } from "./snippets.js";
import { split } from "./texts.js";
import { showTokens } from "./tokens.js";

const TAIL = [
  "for query, row in zip(queries, scores):",
  "    print(query)",
  '    for i in np.argsort(-row, kind="stable")[:10]:',
  '        print(f"  {row[i]:.4f}  {passages[i]}")',
];

/** The view; `refresh(wait)` asks again. */
export function searchView({ settings, guarded, told }) {
  const [queryField, promptField, passageField] = ["queries", "prompt", "passages"].map(byId);
  const showCode = code(byId("search-code"));
  const more = byId("more");
  const readQueries = remembering(api.tokenize({ input: "Queries", prompt: "Prompt" }));
  const readPassages = remembering(api.tokenize({ input: "Passages" }));
  const rank = api.similarity({ input: "Queries", against: "Passages", prompt: "Prompt" });
  const rankWhole = remembering(rank);
  let asLines = false;
  let all = false;
  let draw = () => {};
  queryField.value = QUERIES;
  passageField.value = PASSAGES;

  async function job(signal) {
    const { texts: queries } = split(queryField.value, true);
    const { texts: passages, parted } = split(passageField.value, asLines);
    if (!queries.length || !passages.length) return nothing(queries);
    const model = settings.chosen();
    offer(model);
    const prompt = promptField.value;
    const prompted = prompt ? { prompt } : {};
    const fields = settings.reduced();
    const plain = { model: model.id, input: queries, against: passages, ...prompted };
    const body = { ...plain, ...fields };
    const whole = rankWhole(plain, signal);
    const [answer, full, queryTokens, passageTokens] = await Promise.all([
      told.timed(settings.isFull() ? whole : rank(body, signal)),
      whole,
      readQueries({ model: model.id, input: queries, ...prompted }, signal),
      readPassages({ model: model.id, input: passages }, signal),
    ]);
    if (signal.aborted) return;

    showTokens(byId("queries-read"), { texts: queries, answer: queryTokens, prompt: prompt || model.default_prompt });
    showTokens(byId("passages-read"), {
      texts: passages, parted, asLines, answer: passageTokens, prompt: model.default_prompt,
      onLines: (on) => { asLines = on; refresh(0); },
    });
    settings.cost(answer.bytes);
    const isFull = answer === full;
    const k = depth(passages.length);
    const rankings = answer.scores.map((row, i) => compare(row, full.scores[i]));
    byId("effect").textContent = isFull
      ? "All of the model: move a slider to see what smaller vectors change."
      : summary(rankings, k);
    byId("search-summary").textContent = isFull
      ? ""
      : "Arrows tell how many places a passage moved against the full model.";
    draw = () => {
      drawRankings(byId("ranking"), { queries, passages, rankings, k, full: isFull, all });
      more.hidden = passages.length <= SHOWN;
      more.textContent = all ? `Show the first ${SHOWN}` : `Show all ${passages.length} passages`;
      more.setAttribute("aria-expanded", all);
    };
    draw();
    showCode({
      curl: curl(`${api.BASE}v1/similarity`, body, guarded),
      python: python({
        base: api.BASE, model: model.id, fields, guarded, tail: TAIL,
        lists: [{ name: "queries", texts: queries, prompt: prompt || null }, { name: "passages", texts: passages }],
      }),
    });
  }

  /** The prompts that the model was trained with, to choose from. */
  function offer({ prompts, default_prompt: otherwise }) {
    byId("prompts").replaceChildren(...Object.entries(prompts).map(([name, value]) => el("option", { value }, name)));
    promptField.placeholder = otherwise;
  }

  function nothing(queries) {
    for (const id of ["queries-read", "passages-read", "ranking"]) byId(id).replaceChildren();
    more.hidden = true;
    byId("effect").textContent = "";
    byId("search-summary").textContent = queries.length
      ? "Paste some passages to search in."
      : "Type a query to see what it finds.";
  }

  const refresh = latest(job, told.of(byId("search-result")));
  for (const field of [queryField, promptField, passageField]) field.addEventListener("input", () => refresh());
  more.addEventListener("click", () => {
    all = !all;
    draw();
  });
  return { refresh };
}
