// @mixedbread-ai/sdk: the older client, which LangChain.js and LlamaIndex.ts use; its key goes without "Bearer".

import { MixedbreadAIClient } from "@mixedbread-ai/sdk";

import { run } from "./run.mjs";

await run((url, key) => ({ client: new MixedbreadAIClient({ environment: url, apiKey: key }), counts: false }), {
  embeddings: (client, params) => client.embeddings(params),
});
