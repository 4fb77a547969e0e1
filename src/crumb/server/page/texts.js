// From what was pasted to texts. Knows nothing of tokens.

/**
 * The texts of a field: parts between blank lines if there are any, or else lines.
 *
 * `lines` takes every line as a text whatever is between them. Returns the texts, without white space around them, and
 * whether blank lines parted them.
 */
export function split(pasted, lines = false) {
  const clean = pasted.replace(/\r\n?/g, "\n").trim();
  const parted = !lines && /\n[^\S\n]*\n/.test(clean);
  const parts = clean.split(parted ? /\n(?:[^\S\n]*\n)+/ : "\n").map((part) => part.trim());
  return { texts: parts.filter((part) => part), parted };
}
