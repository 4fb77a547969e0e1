// What the scripts of the clients share: calls come in as JSON on stdin, and what became of each goes out on stdout.
//
// In: {url, key, calls: [{method, params}]}. Out: a list of {value} or {error: {name, status, message}}, each with
// `requests`, how many times the client asked (null where the client lets nobody count).

import { text } from "node:stream/consumers";

export async function run(connect, methods) {
  const { url, key, calls } = JSON.parse(await text(process.stdin));
  let requests = 0;
  const counting = (...words) => {
    requests += 1;
    return fetch(...words);
  };
  const { client, counts } = connect(url, key, counting);
  const outcomes = [];
  for (const { method, params } of calls) {
    requests = 0;
    let outcome;
    try {
      outcome = { value: await methods[method](client, params) };
    } catch (error) {
      const { status, statusCode, message, body } = error;
      outcome = { error: { name: error.constructor.name, status: status ?? statusCode, message, body } };
    }
    outcomes.push({ ...outcome, requests: counts ? requests : null });
  }
  process.stdout.write(JSON.stringify(outcomes));
}
