/**
 * Databases that clients of before have left (`test/databases`): each has an outcome, a push without an answer, and edits
 * that wait. The present client opens each, and everything in it takes effect once.
 */

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import type { Gateway } from "@tidegate/conformance";
import { WebSocket as NodeWebSocket } from "ws";
import { createClient, indexedDBStorage, type Client, type Live, type Status, type Storage } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { model, type Model } from "../models/example.js";
import { ROOT, startGateway } from "./gateway.js";

const DATABASES = join(ROOT, "packages/client/test/databases");

/** A database as it is kept: its stores, each with its records, and with their keys where records do not have them. */
interface Kept {
  readonly version: number;
  readonly stores: Readonly<
    Record<
      string,
      {
        readonly keyPath: string | string[] | null;
        readonly indexes: readonly {
          readonly name: string;
          readonly keyPath: string | string[];
          readonly multiEntry: boolean;
        }[];
        readonly records: readonly unknown[];
      }
    >
  >;
}

/** The key of null in an index is no number of JSON. */
function parsed(text: string): Kept {
  return JSON.parse(text, (_, it: unknown) => (it === "-Infinity" ? -Infinity : it)) as Kept;
}

let gateway: Gateway;

beforeEach(async () => {
  globalThis.IDBKeyRange = IDBKeyRange;
  gateway = await startGateway();
});

afterEach(() => gateway.stop());

/** The databases of a browser in which only this one is. */
async function browserWith(name: string, { version, stores }: Kept): Promise<void> {
  globalThis.indexedDB = new IDBFactory();
  const opening = indexedDB.open(name, version);
  opening.onupgradeneeded = () => {
    for (const [store, { keyPath, indexes, records }] of Object.entries(stores)) {
      const made = opening.result.createObjectStore(store, { keyPath });
      for (const { name: index, keyPath: path, multiEntry } of indexes) made.createIndex(index, path, { multiEntry });
      for (const record of records) {
        if (keyPath === null) made.put((record as unknown[])[1], (record as [string])[0]);
        else made.put(record);
      }
    }
  };
  await new Promise((resolve) => (opening.onsuccess = resolve));
  opening.result.close();
}

function device(storage: Storage): Client<Model> {
  return createClient<Model>({
    url: gateway.url,
    token: () => gateway.token("alice"),
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

const isQuiet = ({ phase, unsent }: Status): boolean => phase === "live" && unsent === 0;

const KEPT = await readdir(DATABASES);

test("databases of several clients are kept", () => {
  assert.ok(KEPT.length >= 3);
});

for (const file of KEPT) {
  test(`what ${file} holds takes effect once, and its outcomes are there`, async () => {
    const kept = parsed(await readFile(join(DATABASES, file), "utf8"));
    await browserWith(file, kept);
    // The gateway of then is gone, so its versions say nothing here.
    const audience = "user:alice";
    const other = device(memoryStorage());
    for (const id of ["one", "two", "three", "gone"]) await other.tasks.create({ id, title: id, audience });
    await other.articles.create({ id: "art", title: "theirs", text: "x", audience });
    await until(other.status, isQuiet);

    const client = device(indexedDBStorage(file));
    const outcomes = await until(client.outcomes, (found) => found.length > 0);
    assert.deepEqual(
      outcomes.map(({ status, id, mine }) => [status, id, mine]),
      [["CONFLICT", "art", { title: "mine" }]],
    );
    await until(client.status, isQuiet);
    await outcomes[0]?.retry();
    await until(client.status, isQuiet);
    // It may not delete what this gateway has in a version of which it knows nothing, and says so.
    const left = await until(client.outcomes, (found) => found.some(({ op }) => op === "delete"));
    const open = left.filter(({ status }) => status !== "MERGED");
    assert.deepEqual(
      open.map(({ status, op, id }) => [status, op, id]),
      [["CONFLICT", "delete", "gone"]],
    );

    const fresh = device(memoryStorage());
    await until(fresh.status, isQuiet);
    for (const it of [client, fresh]) {
      const tasks = await until(it.tasks.live({ orderBy: ["id_ASC"] }), (found) => found.length === 6);
      assert.deepEqual(
        tasks.map(({ id, title, minutesSpent, labels }) => [id, title, minutesSpent, labels]),
        [
          ["four", "four", 0, []],
          ["gone", "gone", 0, []],
          ["new", "new", 3, []],
          ["one", "one", 8, ["late"]],
          ["three", "three, in a transaction", 0, []],
          ["two", "two, renamed", 0, []],
        ],
      );
      assert.equal((await it.articles.get("art"))?.title, "mine");
    }
    await until(client.status, ({ differing }) => differing?.length === 0);
    await Promise.all([client, fresh, other].map((it) => it.close()));
  });
}
