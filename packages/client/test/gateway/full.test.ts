import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Gateway } from "@tidegate/conformance";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import { WebSocket as NodeWebSocket } from "ws";
import { createClient, increment, indexedDBStorage } from "../../src/index.js";
import type { Client, ClientOptions, Live, Status, Storage } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { model, type Model } from "../models/example.js";
import { startGateway } from "./gateway.js";

let gateway: Gateway;

before(async () => {
  gateway = await startGateway();
});

after(() => gateway.stop());

function device(options: Partial<ClientOptions> = {}): Client<Model> {
  return createClient<Model>({
    url: gateway.url,
    token: () => gateway.token("alice"),
    model,
    storage: memoryStorage(),
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

/** A storage whose transactions fail as long as `fails` says so: nothing of them is written. */
function failing(storage: Storage, fails: () => string | undefined): Storage {
  return {
    durable: storage.durable,
    open: (...how) => storage.open(...how),
    read: (need) => storage.read(need),
    close: () => storage.close(),
    destroy: () => storage.destroy(),
    step: (need, run, options) => {
      const checked: typeof run = (slice) => {
        const writes = run(slice);
        const name = fails();
        if (name !== undefined) throw new DOMException("the disk says no", name);
        return writes;
      };
      return storage.step(need, checked, options);
    },
  };
}

test("on a full disk edits are refused whole, pulls pause, and both go on when there is room", async () => {
  let full = false;
  const client = device({ storage: failing(memoryStorage(), () => (full ? "QuotaExceededError" : undefined)) });
  await until(client.status, isQuiet);
  full = true;
  await assert.rejects(client.tasks.create({ id: "mine", title: "No room" }), { code: "STORAGE_FULL" });
  assert.equal(await client.tasks.get("mine"), undefined);
  assert.equal(client.status.value?.unsent, 0);
  const other = device();
  const ids = await Promise.all(Array.from({ length: 30 }, (_, at) => other.tasks.create({ title: `${at}` })));
  await until(client.status, ({ error }) => error?.code === "STORAGE_FULL");
  full = false;
  await until(client.tasks.live(), (found) => ids.every((id) => found.some((it) => it.id === id)));
  const { error } = await until(client.status, isQuiet);
  assert.equal(error, undefined);
  await client.tasks.create({ title: "Room again" });
  await Promise.all([client.close(), other.close()]);
});

test("a storage that fails at any step, of the push or the page too, loses and doubles nothing", async () => {
  let random = 7;
  const fails = (): string | undefined => {
    random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
    return ["QuotaExceededError", "UnknownError"][Math.floor((random / 2 ** 31) * 5)];
  };
  const client = device({ storage: failing(memoryStorage(), fails) });
  const again = async (edit: () => Promise<unknown>): Promise<void> => {
    for (;;) {
      try {
        await edit();
        return;
      } catch (failure) {
        assert.match(String(failure), /no room left|the disk says no/);
      }
    }
  };
  await again(() => client.tasks.create({ id: "counted", title: "Counted", audience: "team:demo" }));
  for (let times = 0; times < 25; times++) {
    await again(() => client.tasks.update("counted", { minutesSpent: increment(1) }));
    if (times % 5 === 0) await until(client.status, ({ unsent }) => unsent === 0);
  }
  await until(client.status, isQuiet);
  const other = device();
  await until(other.status, isQuiet);
  assert.equal((await other.tasks.get("counted"))?.minutesSpent, 25);
  assert.equal((await client.tasks.get("counted"))?.minutesSpent, 25);
  await Promise.all([client.close(), other.close()]);
});

test("a database that the browser has removed is noticed, with the number of edits that are lost", async () => {
  const kept = new Map<string, string>();
  const browser = {
    indexedDB: new IDBFactory(),
    IDBKeyRange,
    localStorage: {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
      removeItem: (key: string) => void kept.delete(key),
    },
  };
  Object.assign(globalThis, browser);
  const offline = { fetch: () => Promise.reject(new TypeError("offline")) };
  const open = (more: Partial<ClientOptions> = {}): Client<Model> => {
    return device({ storage: indexedDBStorage("evicted"), ...more });
  };
  const opened = (client: Client<Model>): Promise<unknown> => until(client.tasks.live(), () => true);

  const client = open(offline);
  for (const title of ["a", "b", "c"]) await client.tasks.create({ title });
  await client.close();
  const again = open(offline);
  await opened(again);
  assert.deepEqual([again.status.value?.lost, again.status.value?.unsent], [0, 3]);
  await again.close();

  browser.indexedDB.deleteDatabase("evicted");
  const after = open();
  await opened(after);
  assert.deepEqual([after.status.value?.lost, after.status.value?.unsent], [3, 0]);
  await until(after.status, isQuiet);
  await after.close();

  const once = open(offline);
  await opened(once);
  assert.equal(once.status.value?.lost, 0);
  await once.tasks.create({ title: "d" });
  await once.signOut({ unsent: "discard" });
  assert.equal(kept.size, 0);
});

test("a database that the browser removes while it is open halts the client", async (t) => {
  let database: IDBDatabase | undefined;
  const open = indexedDB.open.bind(indexedDB);
  t.mock.method(indexedDB, "open", (name: string, version: number) => {
    const request = open(name, version);
    request.addEventListener("success", () => (database = request.result));
    return request;
  });
  const client = device({ storage: indexedDBStorage("open") });
  await until(client.status, isQuiet);
  database?.onclose?.(new Event("close"));
  const { error } = await until(client.status, ({ phase }) => phase === "halted");
  assert.equal(error?.code, "EVICTED");
  await client.close();
});

test("the browser is asked to keep the database, once and with the first edit", async () => {
  let asked = 0;
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  const storage = {
    persisted: () => Promise.resolve(false),
    persist: () => {
      asked += 1;
      return Promise.resolve(true);
    },
  };
  Object.defineProperty(globalThis, "navigator", { value: { storage }, configurable: true });
  const client = device({ storage: indexedDBStorage("kept") });
  await until(client.status, isQuiet);
  assert.equal(asked, 0);
  for (const title of ["a", "b"]) await client.tasks.create({ title });
  assert.equal(asked, 1);
  await client.close();
  if (before) Object.defineProperty(globalThis, "navigator", before);
  else delete (globalThis as { navigator?: unknown }).navigator;
});
