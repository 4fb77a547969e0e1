// @mixedbread/sdk: the client that is generated from Mixedbread's OpenAPI.

import Mixedbread from "@mixedbread/sdk";

import { run } from "./run.mjs";

await run((url, key, fetch) => ({ client: new Mixedbread({ baseURL: url, apiKey: key, fetch }), counts: true }), {
  embed: (client, params) => client.embed(params),
  create: (client, params) => client.embeddings.create(params),
  info: (client) => client.info(),
});
