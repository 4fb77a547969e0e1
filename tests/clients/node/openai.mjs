// openai: asks for base64 unless told otherwise, and decodes it itself.

import OpenAI from "openai";

import { run } from "./run.mjs";

await run(
  (url, key, fetch) => ({ client: new OpenAI({ baseURL: `${url}/v1`, apiKey: key, fetch }), counts: true }),
  {
    create: (client, params) => client.embeddings.create(params),
    retrieve: (client, params) => client.models.retrieve(params.model),
    async list(client) {
      const models = [];
      for await (const model of client.models.list()) models.push(model);
      return models;
    },
  },
);
