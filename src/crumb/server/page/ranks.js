// Rankings as numbers: order, places moved, how much of the top is the same. Knows nothing of the page.

/** Indices by falling score; equal scores keep their order. */
export const order = (scores) => scores.map((_, i) => i).sort((a, b) => scores[b] - scores[a] || a - b);

/** How many of the top are compared: a top that holds most of the passages would always be the same. */
export const depth = (passages) => [10, 5, 3].find((k) => passages >= 2 * k) ?? 1;

/** One query's ranking beside that of the full model: places from 0, `moved` is positive for up. */
export function compare(scores, whole) {
  const before = [];
  order(whole).forEach((index, place) => (before[index] = place));
  return order(scores).map((index, place) => ({
    index, place, score: scores[index], before: before[index], moved: before[index] - place,
  }));
}

/** Of the first `k`: how many were among the full model's first `k`, and how many stayed at their place. */
export function agreement(ranking, k) {
  const top = ranking.slice(0, k);
  return { same: top.filter((one) => one.before < k).length, still: top.filter((one) => one.moved === 0).length };
}
