/** What a closed client leaves behind, and one that has no database: nothing. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, indexedDBStorage } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
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

test("where there is no IndexedDB a client says so, refuses edits and asks the gateway nothing", async () => {
  let requests = 0;
  const client = createClient<Model>({
    url: "http://127.0.0.1:1/graphql",
    token: () => "a token",
    model,
    storage: indexedDBStorage("nowhere"),
    fetch: () => {
      requests += 1;
      return Promise.reject(new TypeError("there is no network"));
    },
  });
  for await (const { phase, error } of client.status) {
    if (phase !== "halted") continue;
    assert.equal(error?.code, "STORAGE");
    break;
  }
  await assert.rejects(client.tasks.create({ title: "lost?", audience: "team:demo" }), /indexedDB/);
  await client.close();
  assert.equal(requests, 0);
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
