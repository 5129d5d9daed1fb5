/**
 * What a member of a team may do to the devices of the others: nothing. Documents with odd ids, odd texts and large ones
 * are kept as all others, and prove equal.
 */

import assert from "node:assert/strict";
import { afterEach, before, beforeEach, test } from "node:test";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import type { Gateway } from "@tidegate/conformance";
import { WebSocket as NodeWebSocket } from "ws";
import { createClient, increment, indexedDBStorage, type Client, type Live, type Storage } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { model, type Model } from "../models/example.js";
import { startGateway } from "./gateway.js";

let gateway: Gateway;

before(() => {
  globalThis.indexedDB = new IDBFactory();
  globalThis.IDBKeyRange = IDBKeyRange;
});

// The ids of one test are taken at its gateway.
beforeEach(async () => {
  gateway = await startGateway();
});

afterEach(() => gateway.stop());

/** Names that every object inherits, ends of strings and of orders, characters of several units, and the longest id. */
const ODD = [
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "then",
  " ",
  "\u0001",
  "\u2028",
  "\u202eevil",
  "\ud7ff",
  "\ue000",
  "\uffff",
  "\u{1f600}",
  "\u{10ffff}",
  "e\u0301",
  "\u00e9",
  "<script>alert(1)</script>",
  "Task\u007fx",
  "[object Object]",
  "x".repeat(256),
];

/** More documents than a sweep looks at at a time, with ids on both sides of the surrogates. */
const MANY = Array.from({ length: 620 }, (_, n) => `${["\ue001", "\u{1f601}", "m", "\u0100"][n % 4] ?? ""}${n}`);

function device(user: string, team: string, storage: Storage): Client<Model> {
  return createClient<Model>({
    url: gateway.url,
    token: () => gateway.token(user, [team]),
    model,
    storage,
    webSocket: NodeWebSocket as unknown as typeof WebSocket,
    pauses: { minMs: 5, maxMs: 50 },
  });
}

async function until<T>(live: Live<T>, holds: (value: T) => boolean): Promise<T> {
  for await (const value of live) if (holds(value)) return value;
  throw new Error("a live value does not end");
}

/** Writes the documents as another user of the team. */
async function fill(team: string): Promise<void> {
  const mallory = device("mallory", team, memoryStorage());
  const audience = `team:${team}`;
  for (const id of ODD) {
    const labels = ["__proto__", "constructor", id];
    await mallory.tasks.create({ id, title: id.slice(0, 200), notes: id.repeat(50_000 / id.length), labels, audience });
  }
  for (const id of MANY) await mallory.projects.create({ id, name: id, audience });
  await until(mallory.status, ({ phase, unsent }) => phase === "live" && unsent === 0);
  assert.deepEqual(await until(mallory.outcomes, () => true), []);
  await mallory.close();
}

const STORAGES: Readonly<Record<string, () => Storage>> = {
  memory: () => memoryStorage(),
  IndexedDB: () => indexedDBStorage(crypto.randomUUID()),
};

for (const [name, newStorage] of Object.entries(STORAGES)) {
  test(`odd documents of a member are kept in ${name}, prove equal at each start, and can be edited`, async () => {
    // A scope may be named like what every object inherits, too.
    const team = `__proto__ ${name}`;
    await fill(team);
    const storage = newStorage();
    const differing: string[] = [];
    for (let start = 0; start < 2; start++) {
      const client = device("alice", team, storage);
      const end = client.status.subscribe((status) => void differing.push(...(status.differing ?? [])));
      await until(client.status, (status) => status.phase === "live" && status.differing !== undefined);
      assert.equal((await until(client.tasks.live(), (found) => found.length >= ODD.length)).length, ODD.length);
      assert.equal((await until(client.projects.live(), () => true)).length, MANY.length);
      for (const id of ODD) {
        assert.equal((await client.tasks.get(id))?.title, id.slice(0, 200));
        await client.tasks.update(id, { minutesSpent: increment(1) });
      }
      await until(client.status, ({ phase, unsent }) => phase === "live" && unsent === 0);
      assert.deepEqual(await until(client.outcomes, () => true), []);
      end();
      await client.close();
    }
    assert.deepEqual(differing, []);
    const fresh = device("alice", team, memoryStorage());
    const tasks = await until(fresh.tasks.live(), (found) => found.length === ODD.length);
    assert.deepEqual(new Set(tasks.map(({ minutesSpent }) => minutesSpent)), new Set([2]));
    await fresh.close();
  });
}

test("half a character enters no store, whoever sends it", async () => {
  const team = "halves";
  const alice = device("alice", team, memoryStorage());
  const half = "\ud800";
  await assert.rejects(alice.tasks.create({ title: half, audience: `team:${team}` }), { code: "INVALID_VALUE" });
  await until(alice.status, ({ phase }) => phase === "live");
  for (const body of [
    `{"task":{"create":{"id":"half","document":{"title":"\\ud800","audience":"team:${team}"}}}}`,
    `{"task":{"create":{"id":"\\ud800","document":{"title":"half","audience":"team:${team}"}}}}`,
  ]) {
    const query = "mutation ($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
    const variables = `{"input":{"changes":[${body}]}}`;
    const answer = await fetch(gateway.url, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${gateway.token("mallory", [team])}` },
      body: `{"query":${JSON.stringify(query)},"variables":${variables}}`,
    });
    const { data } = (await answer.json()) as { data?: { pushChanges: { results: readonly { status: string }[] } } };
    assert.ok(!data?.pushChanges.results.some(({ status }) => status === "APPLIED"), JSON.stringify(data));
  }
  assert.deepEqual(await until(alice.tasks.live(), () => true), []);
  await alice.close();
});
