import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import type { Gateway } from "@tidegate/conformance";
import { WebSocket as NodeWebSocket } from "ws";
import { keyOf, type Doc } from "../../src/core/records.js";
import { createClient, indexedDBStorage, memoryStorage } from "../../src/index.js";
import type { Client, ClientOptions, Live, Status, Storage } from "../../src/index.js";
import { model, type Model } from "../models/example.js";
import { startGateway } from "./gateway.js";

let gateway: Gateway;

before(async () => {
  globalThis.indexedDB = new IDBFactory();
  globalThis.IDBKeyRange = IDBKeyRange;
  gateway = await startGateway();
});

after(() => gateway.stop());

function device(storage: Storage, options: Partial<ClientOptions> = {}): Client<Model> {
  return createClient<Model>({
    url: gateway.url,
    token: () => gateway.token("alice", ["demo"]),
    model,
    storage,
    webSocket: NodeWebSocket as unknown as typeof WebSocket,
    pauses: { minMs: 5, maxMs: 50 },
    ...options,
  });
}

async function until<T>(live: Live<T>, holds: (value: T) => boolean): Promise<T> {
  for await (const value of live) if (holds(value)) return value;
  throw new Error("a live value does not end");
}

const isQuiet = ({ phase, unsent }: Status): boolean => phase === "live" && unsent === 0;
const isEqual = (status: Status): boolean => isQuiet(status) && status.differing?.length === 0;

/** Every list of scopes that differ which the client says until it says none. */
async function differences(client: Client<Model>): Promise<readonly string[]> {
  const said: string[] = [];
  const end = client.status.subscribe(({ differing }) => void said.push(...(differing ?? [])));
  await until(client.status, isEqual);
  end();
  return said;
}

/** Writes into the storage as no step of a client does. */
function harm(storage: Storage, id: string, change: (doc: Doc) => Doc | null): Promise<void> {
  const key = keyOf({ type: "Task", id });
  return storage.step(
    () => ({ docs: [key] }),
    ({ meta, flight, docs: [doc] }) => {
      assert.ok(doc);
      return { meta, flight, docs: [[key, change(doc)]], queue: [], lingering: [], outcomes: [], types: [] };
    },
    { strict: true },
  );
}

const STORAGES: Readonly<Record<string, () => Storage>> = {
  memory: memoryStorage,
  IndexedDB: () => indexedDBStorage(crypto.randomUUID()),
};

const HARMS: Readonly<Record<string, (doc: Doc) => Doc | null>> = {
  "is lost": () => null,
  "has an older version": (doc) => ({ ...doc, v: doc.v - 1, body: { ...doc.body, title: "old" } }),
  "has a version that never was": (doc) => ({ ...doc, v: 1000, body: { ...doc.body, title: "wrong" } }),
  "is in another scope": (doc) => ({ ...doc, scope: "user:alice" }),
};

for (const [name, newStorage] of Object.entries(STORAGES)) {
  for (const [what, change] of Object.entries(HARMS)) {
    test(`a document that ${what} in ${name} is found at the next start, reported and mended`, async () => {
      const storage = newStorage();
      const first = device(storage);
      const id = await first.tasks.create({ title: "made", audience: "team:demo" });
      await first.tasks.create({ title: "mine" });
      await until(first.status, isQuiet);
      await first.tasks.update(id, { title: "right" });
      await until(first.status, isQuiet);
      // A page that has yet to come would mend the document before it is looked at.
      while ((await storage.read({ unconfirmed: true })).docs.length > 0) await setTimeout(5);
      assert.deepEqual(await differences(first), []);
      await first.close();
      await storage.open({} as never);
      await harm(storage, id, change);
      const second = device(storage);
      assert.ok((await differences(second)).includes("team:demo"));
      assert.equal((await second.tasks.get(id))?.title, "right");
      await second.close();
    });
  }
}

test("a gateway that keeps no digests, and one that knows none, are followed all the same", async () => {
  const silent = await startGateway({ TIDEGATE_STORE__DIGESTS: "false" });
  const { operations } = model;
  const without = (text: string): string => text.replace(/ {2}digests \{[^}]*\}\n/, "");
  const older = { ...operations, changes: without(operations.changes), changesSince: without(operations.changesSince) };
  assert.ok(older.changes.length < operations.changes.length);
  try {
    const token = (): string => silent.token("alice", ["demo"]);
    const devices = [
      device(memoryStorage(), { url: silent.url, token }),
      device(memoryStorage(), { model: { ...model, operations: older } }),
    ];
    for (const client of devices) {
      const id = await client.tasks.create({ title: "made", audience: "team:demo" });
      await until(client.status, isQuiet);
      await client.refresh();
      await until(client.tasks.live(), (tasks) => tasks.some((task) => task.id === id));
      assert.equal(client.status.value?.differing?.length ?? 0, 0);
      await client.close();
    }
  } finally {
    await silent.stop();
  }
});

test("a scope that is withdrawn and granted again does not differ", async () => {
  const storage = memoryStorage();
  const teams = [["demo", "blue"], ["demo"], ["demo", "blue"]];
  for (const granted of teams) {
    const client = device(storage, { token: () => gateway.token("alice", granted) });
    const inBlue = { title: "blue", audience: "team:blue" };
    if (granted.length > 1) await client.tasks.create(inBlue);
    assert.deepEqual(await differences(client), []);
    await client.close();
  }
});
