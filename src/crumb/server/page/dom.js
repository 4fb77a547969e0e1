// Elements from plain values. Text stays text: nothing here reads HTML.

/** An element: `props` are properties, or attributes where the name has a dash or is `role` or `for`. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name.includes("-") || name === "role" || name === "for" || name === "scope") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Some words of a class. */
export const span = (className, text, props = {}) => el("span", { className, ...props }, text);

/** A text with its number. */
export const numbered = (index, text) => [span("place", String(index + 1)), " ", span("text", text)];

export const byId = (id) => document.getElementById(id);

/** Text that only a screen reader says. */
export const unseen = (text) => span("unseen", text);

const whole = new Intl.NumberFormat("en");
export const count = (number, one, many = `${one}s`) => `${whole.format(number)} ${number === 1 ? one : many}`;
export const grouped = (number) => whole.format(number);

/** A score with a true minus sign, and without a minus before nought. */
export function score(value, digits = 2) {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? (0).toFixed(digits) : text.replace("-", "\u2212");
}
