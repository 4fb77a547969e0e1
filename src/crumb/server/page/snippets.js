// The same from a shell and from Python: programs that run as they are. Knows nothing of the page.

const LONG = 100_000; // bytes: what Linux takes as one argument is 131,072

/** A word for a POSIX shell. */
export const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** curl for POST `url` with `body`; `guarded` puts in the key, from the environment. */
export function curl(url, body, guarded) {
  const json = JSON.stringify(body, null, 2);
  const lines = [`curl -sS ${quoted(url)}`, `-H 'content-type: application/json'`];
  if (guarded) lines.push(`-H "authorization: Bearer $CRUMB_API_KEY"`);
  if (new TextEncoder().encode(json).length < LONG) return `${[...lines, `-d ${quoted(json)}`].join(" \\\n  ")}\n`;
  // too long for an argument; no line of JSON is the end mark
  return `${[...lines, "--data-binary @- <<'END_OF_JSON'"].join(" \\\n  ")}\n${json}\nEND_OF_JSON\n`;
}

// what JSON writes for a string, Python reads as the same string
const literal = (texts) => `[\n${texts.map((text) => `    ${JSON.stringify(text)},\n`).join("")}]`;

/**
 * Python with the openai client: `lists` are the named texts, each with a prompt or null; the last is what the first
 * is compared with. `fields` are dimensions, layers and code, where they are not the full model's.
 */
export function python({ base, model, lists, fields, guarded, tail }) {
  const { code = "float", ...form } = fields;
  const key = guarded ? 'os.environ["CRUMB_API_KEY"]' : '"none"';
  const head = [
    "# pip install openai numpy",
    ...(guarded ? ["import os", ""] : []),
    "import numpy as np",
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${JSON.stringify(`${base}v1`)}, api_key=${key})`,
    ...lists.map(({ name, texts }) => `${name} = ${literal(texts)}`),
    "",
  ];
  const body = code === "int8" ? scored(model, lists, fields) : embedded(model, lists, form, code);
  return [...head, ...body, ...tail, ""].join("\n");
}

function embedded(model, lists, { dimensions, layers }, code) {
  const prompted = lists.some((list) => list.prompt);
  const extra = [layers ? `"layers": ${layers}` : "", prompted ? '"prompt": prompt' : ""].filter(Boolean).join(", ");
  const fields = [
    `model=${JSON.stringify(model)}`, "input=texts",
    dimensions ? `dimensions=${dimensions}` : "", extra ? `extra_body={${extra}}` : "",
  ].filter(Boolean).join(", ");
  const vectors = ({ name, prompt }) => `embed(${name}${prompt ? `, prompt=${JSON.stringify(prompt)}` : ""})`;
  const lines = [
    "",
    `def embed(texts${prompted ? ", prompt=None" : ""}):`,
    `    answer = client.embeddings.create(${fields})`,
    "    return np.array([item.embedding for item in answer.data])",
    "",
    "",
    `vectors = ${vectors(lists[0])}`,
  ];
  const stored = lists.length > 1 ? vectors(lists.at(-1)) : "vectors";
  if (code === "float") return [...lines, `scores = vectors @ ${stored}.T`];
  return [
    ...lines,
    `bits = np.packbits(${stored} > 0, axis=1)  # what is stored: a bit a dimension`,
    "signs = np.unpackbits(bits, axis=1, count=vectors.shape[1]) * 2.0 - 1",
    "scores = vectors @ signs.T / np.sqrt(vectors.shape[1])",
  ];
}

// bytes need the model's ranges, which stay on the server: it scores
function scored(model, lists, { dimensions, layers, code }) {
  const against = lists.length > 1 ? lists.at(-1).name : null;
  const fields = [
    `"model": ${JSON.stringify(model)}`,
    `"input": ${lists[0].name}`,
    against ? `"against": ${against}` : "",
    lists[0].prompt ? `"prompt": ${JSON.stringify(lists[0].prompt)}` : "",
    dimensions ? `"dimensions": ${dimensions}` : "",
    layers ? `"layers": ${layers}` : "",
    `"code": ${JSON.stringify(code)}`,
  ].filter(Boolean);
  return [
    "body = {", ...fields.map((field) => `    ${field},`), "}",
    'answer = client.post("/similarity", cast_to=object, body=body)',
    'scores = np.array(answer["scores"])',
  ];
}
