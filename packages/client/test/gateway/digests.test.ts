import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import type { Gateway } from "@tidegate/conformance";
import { WebSocket as NodeWebSocket } from "ws";
import { createClient, indexedDBStorage } from "../../src/index.js";
import type { Client, ClientOptions, Live, Status, Storage } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { model, type Model } from "../models/example.js";
import { withoutDigests } from "./breaks.js";
import { serveGateway, startGateway } from "./gateway.js";
import { HARMS, harmOne } from "./harm.js";

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

const STORAGES: Readonly<Record<string, () => Storage>> = {
  memory: memoryStorage,
  IndexedDB: () => indexedDBStorage(crypto.randomUUID()),
};

for (const [name, newStorage] of Object.entries(STORAGES)) {
  for (const [what, by] of Object.entries(HARMS)) {
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
      await harmOne(storage, id, by);
      const second = device(storage);
      assert.ok((await differences(second)).includes("team:demo"));
      assert.equal((await second.tasks.get(id))?.title, "right");
      await second.close();
    });
  }
}

test("a start costs one pull, which is compared; what differs is read again, counted and compared", async () => {
  const storage = memoryStorage();
  const first = device(storage);
  const id = await first.tasks.create({ title: "made", audience: "team:demo" });
  await until(first.status, isQuiet);
  while ((await storage.read({ unconfirmed: true })).docs.length > 0) await setTimeout(5);
  await first.close();
  for (const [pulls, harm] of [
    [1, undefined],
    [3, HARMS["is lost"]],
  ] as const) {
    await storage.open({} as never);
    if (harm) await harmOne(storage, id, harm);
    let pulled = 0;
    const counted: typeof fetch = (url, init) => {
      if (typeof init?.body === "string" && init.body.includes("changesSince")) pulled += 1;
      return fetch(url, init);
    };
    const client = device(storage, { fetch: counted });
    assert.deepEqual(new Set(await differences(client)), new Set(harm && ["team:demo"]));
    assert.equal(pulled, pulls);
    await client.close();
  }
});

test("a gateway that keeps no digests, and one that knows none, are followed all the same", async () => {
  const [silent, stop] = await serveGateway({ TIDEGATE_STORE__DIGESTS: "false" });
  const older = withoutDigests(model.operations);
  assert.ok(older.changes.length < model.operations.changes.length);
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
      await until(client.status, ({ differing }) => differing === undefined);
      await client.close();
    }
  } finally {
    await stop();
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
