// What the model reads of each text: counts, and the part behind the context marked.

import { count, el, span, unseen } from "./dom.js";

/**
 * The runs of a text that are read and not read: [{ text, kept }, …].
 *
 * Tokens come with the characters of `prompt + text` that they stand for, counted as Unicode code points. White space
 * at a seam goes with what is before it.
 */
export function runs(text, tokens, prompt) {
  const points = Array.from(text);
  const before = Array.from(prompt).length;
  const found = [];
  const push = (from, to, kept) => {
    if (from >= to) return;
    const part = points.slice(from, to).join("");
    if (found.at(-1)?.kept === kept) found.at(-1).text += part;
    else found.push({ text: part, kept });
  };
  let done = 0;
  let kept = true;
  for (const token of tokens) {
    if (token.kept === kept) continue;
    const start = Math.min(Math.max(token.start - before, done), points.length);
    push(done, start, kept);
    [done, kept] = [start, token.kept];
  }
  push(done, points.length, kept);
  return found;
}

/** Writes into `into` what the model reads of `texts`, folded up unless something was cut. */
export function showTokens(into, { texts, parted, asLines, answer, prompt, onLines }) {
  const data = answer?.data ?? [];
  const cut = data.filter((one) => one.cut);
  const all = data.reduce((sum, one) => sum + one.count - one.cut, 0);
  const summary = [count(texts.length, "text")];
  if (data.length) summary.push(count(all, "token"));
  const was = into.querySelector("details");
  const open = was && was.dataset.cut === String(cut.length > 0) ? was.open : cut.length > 0;
  const rows = data.map((one) => row(texts[one.index], one, prompt));
  const details = el(
    "details",
    { open, "data-cut": cut.length > 0 },
    el("summary", {}, summary.join(", "), cut.length ? span("warns", `, ${cut.length} cut`) : null),
    cut.length ? el("p", { className: "note" }, lost(cut, answer.context)) : null,
    el("ol", { className: "tokens", tabIndex: 0, "aria-label": "Tokens of each text" }, ...rows),
  );
  into.replaceChildren(details);
  if (open && !was?.open) {
    // the list alone scrolls to where the first text is cut
    const [list, mark] = [".tokens", "del"].map((name) => details.querySelector(name));
    const top = (node) => node.getBoundingClientRect().top;
    if (mark) list.scrollTop = top(mark) - top(list) - list.clientHeight / 2;
  }
  if (parted || asLines) {
    const words = asLines ? "Part them at blank lines" : "Take every line as a text";
    const other = el("button", { type: "button", className: "quiet" }, words);
    other.addEventListener("click", () => onLines(!asLines));
    into.append(el("p", { className: "note" }, asLines ? "Every line is a text. " : "Parted at blank lines. ", other));
  }
}

function lost(cut, context) {
  const tokens = cut.reduce((sum, one) => sum + one.cut, 0);
  const verb = tokens === 1 ? "lies" : "lie";
  const what = `${count(tokens, "token")} of ${count(cut.length, "text")} ${verb} behind that`;
  return `The model reads ${context} tokens of a text. ${what} and had no part in what you see.`;
}

function row(text, one, prompt) {
  const shown = runs(text, one.tokens, prompt).map((run) =>
    run.kept ? run.text : el("del", {}, unseen(" Not read: "), run.text),
  );
  const figure = one.cut ? `${one.count - one.cut} of ${count(one.count, "token")}` : count(one.count, "token");
  return el("li", {}, el("span", { className: "text" }, ...shown), " ", span("figure", figure));
}
