/** What a closed client leaves behind: nothing. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, memoryStorage } from "../../src/index.js";
import { model, type Model } from "../models/example.js";

test("a closed client whose database never opens asks the gateway nothing more", async () => {
  let requests = 0;
  const client = createClient<Model>({
    url: "http://127.0.0.1:1/graphql",
    token: () => "a token",
    model,
    storage: Object.assign(memoryStorage(), { open: () => new Promise<void>(() => undefined) }),
    fetch: () => {
      requests += 1;
      return Promise.reject(new TypeError("there is no network"));
    },
    pauses: { minMs: 1, maxMs: 5 },
  });
  client.conflicts.subscribe(() => undefined);
  while (requests === 0) await pause(1);
  void client.close();
  await pause(20);
  const before = requests;
  await pause(100);
  assert.equal(requests, before);
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
