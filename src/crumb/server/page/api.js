// The server, as any client sees it. Leaves: answers, or a Problem in plain words. Knows nothing of the page.

// the page may lie behind a proxy under some other path: the API is found from where this file is
export const BASE = new URL("../", import.meta.url).href;

/** What went wrong in words for a reader; `after` says in how many seconds asking again makes sense, if ever. */
export class Problem extends Error {
  constructor(message, after = null) {
    super(message);
    this.after = after;
  }
}

/** `fields` says how the reader calls the request's fields, for what the server has to say of them. */
export const similarity = (fields) => (body, signal) => ask("v1/similarity", { body, signal, fields });
export const tokenize = (fields) => (body, signal) => ask("v1/tokenize", { body, signal, fields });
export const about = () => ask("", {});

/** The models, and whether the server wants a key: asked without the browser's credentials first. */
export async function models() {
  try {
    return { guarded: false, models: (await ask("v1/models", { credentials: "omit" })).data };
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    return { guarded: true, models: (await ask("v1/models", {})).data };
  }
}

async function ask(path, { body, signal, fields = {}, credentials = "same-origin" }) {
  const init = { signal, credentials };
  if (body) {
    init.method = "POST";
    init.headers = { "content-type": "application/json" };
    init.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(BASE + path, init);
    if (response.ok) return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(`No answer from ${new URL(BASE).host}. Is crumb serve still running?`, 2);
  }
  throw await refusal(response, fields);
}

async function refusal(response, fields) {
  let said = "";
  try {
    said = (await response.json()).message ?? "";
  } catch {
    // not an answer of crumb's: a proxy's page, or none
  }
  const wait = Number(response.headers.get("retry-after")) || 1;
  const problem = {
    401: () => new Problem("The server wants a key: load the page again and give the key as the password."),
    429: () => new Problem("The server is busy; this asks again by itself.", wait),
    503: () => new Problem("The server is not ready yet; this asks again by itself.", wait),
  }[response.status]?.();
  const plain = said ? sentence(inOurWords(said, fields)) : `The server answered ${response.status} and gave no reason.`;
  const refused = problem ?? new Problem(plain);
  refused.status = response.status;
  return refused;
}

/** The server names a request's fields, and counts texts from 0. */
function inOurWords(said, fields) {
  const named = said.replace(/^(\w+)(?=[: ])/, (word) => (fields[word] ? `“${fields[word]}”` : word));
  return named.replace(/\btext (\d+)\b/, (_, index) => `text ${Number(index) + 1}`);
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
