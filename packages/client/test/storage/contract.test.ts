/**
 * What every storage promises, on each of them.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import "fake-indexeddb/auto";
import type { Slice, Writes } from "../../src/core/draft.js";
import { freshMeta, keyOf, type Doc, type Edit, type Key } from "../../src/core/records.js";
import { BEHIND, nameOf, type Bound, type Index } from "../../src/storage/entries.js";
import { indexedDBStorage } from "../../src/storage/indexeddb.js";
import { memoryStorage } from "../../src/storage/memory.js";
import type { Storage } from "../../src/storage/storage.js";
import { PART } from "../../src/storage/parts.js";
import { documentsOf } from "../core/documents.js";

let databases = 0;
const STORAGES: Readonly<Record<string, () => Storage>> = {
  memory: memoryStorage,
  IndexedDB: () => indexedDBStorage(`test-${++databases}`),
};

const STRICT = { strict: true };

function doc(id: string, more: Partial<Doc> = {}): Doc {
  return { type: "Task", id, v: 1, scope: "s", body: { id }, ep: 1, seen: 1, at: 1, ...more };
}

function key(id: string, type = "Task"): Key {
  return keyOf({ type, id });
}

function edit(n: number, id: string): Edit {
  return { n, type: "Task", id, op: "update", set: {}, base: {}, bv: 1, at: "" };
}

function writes({ meta, flight }: Slice, more: Partial<Writes>): Writes {
  return { meta, flight, docs: [], queue: [], lingering: [], outcomes: [], types: [], ...more };
}

async function put(storage: Storage, more: Partial<Writes>): Promise<void> {
  await storage.step(
    () => ({}),
    (slice) => writes(slice, more),
    STRICT,
  );
}

function putDocs(storage: Storage, ...docs: Doc[]): Promise<void> {
  return put(storage, { docs: docs.map((it) => [keyOf(it), it]) });
}

const BY_RANK: Index = { type: "Task", fields: [["rank", ""]] };
const RANKS: readonly (readonly [Bound, Bound])[] = [[[nameOf(BY_RANK)], [nameOf(BY_RANK), BEHIND]]];

/** The ids that an index has, as many as the limit; undefined if the storage does not read it. */
async function ranked(storage: Storage, limit = Infinity, descending = false): Promise<string | undefined> {
  const ids: string[] = [];
  const begin = () => (doc: Doc) => ids.push(doc.id) < limit;
  const searched = await storage.search?.({ need: {}, index: BY_RANK, ranges: RANKS, descending, limit, begin });
  return searched ? ids.join("") : undefined;
}

/** The same, once the index is complete. */
async function complete(storage: Storage): Promise<string> {
  for (;;) {
    const ids = await ranked(storage);
    if (ids !== undefined) return ids;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function withDatabase(holds: (storage: Storage) => Promise<void>): Promise<void> {
  const storage = indexedDBStorage(`test-${++databases}`);
  await storage.open(freshMeta("c1"));
  await holds(storage);
  await storage.destroy();
}

function withRank(id: string, rank: number): Doc {
  return doc(id, { body: { id, rank } });
}

for (const [name, make] of Object.entries(STORAGES)) {
  const promise = (text: string, holds: (storage: Storage) => Promise<void>): void => {
    test(`${name}: ${text}`, async () => {
      const storage = make();
      await storage.open(freshMeta("c1"));
      await holds(storage);
      await storage.destroy();
    });
  };

  promise("a database begins once", async (storage) => {
    await put(storage, { meta: { ...freshMeta("c1"), step: 7 } });
    await storage.close();
    await storage.open(freshMeta("c2"));
    const { meta, flight } = await storage.read({});
    assert.deepEqual([meta.client, meta.step, flight], ["c1", 7, null]);
  });

  promise("a step reads what it needs", async (storage) => {
    await putDocs(storage, doc("a"), doc("b", { u: 3 }), doc("c"));
    await put(storage, { queue: [3, 1, 2].map((n) => [n, edit(n, n === 2 ? "a" : "b")]) });
    const ids = (slice: Slice): string => slice.docs.map((it) => it.id).join("");
    assert.equal(
      ids(
        await storage.read({
          docs: [key("a"), key("a"), key("x"), key("c", "Note")],
        }),
      ),
      "a",
    );
    assert.equal(ids(await storage.read({ unconfirmed: true })), "b");
    assert.equal(ids(await storage.read({ queue: 1, docsOfQueue: true })), "b");
    const queue = async (which: number | "all" | readonly string[]): Promise<readonly number[]> => {
      return (await storage.read({ queue: which })).queue.map((it) => it.n);
    };
    assert.deepEqual(await queue("all"), [1, 2, 3]);
    assert.deepEqual(await queue(2), [1, 2]);
    assert.deepEqual(await queue(0), []);
    assert.deepEqual(await queue([key("b"), key("b")]), [1, 3]);
  });

  promise("a step that throws writes nothing, and rejects with what it threw", async (storage) => {
    await putDocs(storage, doc("a"));
    const failure = new Error("refused");
    const step = storage.step(
      () => ({ docs: [key("a")] }),
      () => {
        throw failure;
      },
      STRICT,
    );
    await assert.rejects(step, failure);
    assert.equal((await storage.read({ docs: [key("a")] })).docs.length, 1);
  });

  promise("a record that is removed is gone, and so is a flight", async (storage) => {
    const { meta } = await storage.read({});
    const flight = { to: { id: "c1", firstMutationId: 1 }, epoch: "e", atomic: false, edits: [], changes: [] };
    await put(storage, { flight: { ...flight, crossed: false, deleted: {}, left: {}, revoked: [], behind: 0 } });
    assert.deepEqual((await storage.read({})).flight?.to, flight.to);
    await putDocs(storage, doc("a"));
    await put(storage, { meta, flight: null, docs: [[key("a"), null]] });
    assert.deepEqual([(await storage.read({})).flight, await documentsOf(storage, "Task")], [null, []]);
  });

  promise("the documents of a type go at once, before what the step writes", async (storage) => {
    await putDocs(storage, doc("a"), doc("b", { type: "Note" }));
    await put(storage, { types: ["Task"], docs: [[key("c"), doc("c")]] });
    assert.deepEqual(
      (await documentsOf(storage, "Task")).map((it) => it.id),
      ["c"],
    );
    assert.equal((await documentsOf(storage, "Note")).length, 1);
  });

  promise("all documents come in the order of their keys, part by part", async (storage) => {
    const ids = Array.from({ length: 2 * PART + 1 }, (_, at) => `${at}`);
    await putDocs(storage, ...ids.map((id) => doc(id)), doc("x", { type: "Note" }), doc("y", { type: "TaskList" }));
    const found: Key[] = [];
    for (let after = ""; ;) {
      const part: readonly Doc[] = (await storage.read({ after })).docs;
      assert.ok(part.length <= PART);
      const last = part.at(-1);
      if (!last) break;
      found.push(...part.map(keyOf));
      after = keyOf(last);
    }
    assert.deepEqual(found, [key("x", "Note"), ...ids.sort().map((id) => key(id)), key("y", "TaskList")]);
    assert.deepEqual((await documentsOf(storage, "Task")).length, ids.length);
  });

  promise("steps at the same time follow one another", async (storage) => {
    const raise = (): Promise<void> =>
      storage.step(
        () => ({}),
        (slice) => writes(slice, { meta: { ...slice.meta, step: slice.meta.step + 1 } }),
        STRICT,
      );
    await Promise.all(Array.from({ length: 20 }, raise));
    assert.equal((await storage.read({})).meta.step, 20);
  });
}

test("IndexedDB: an older app in another tab keeps the indexes of the newer one", async () => {
  const [older, newer] = [indexedDBStorage("tabs"), indexedDBStorage("tabs")];
  await older.open(freshMeta("c1"));
  await putDocs(older, withRank("b", 2));
  await newer.open(freshMeta("c1"), undefined, [BY_RANK]);
  await putDocs(older, withRank("a", 1));
  assert.equal(await complete(newer), "ab");
  await putDocs(older, withRank("c", 0));
  assert.equal(await ranked(newer), "cab");
  await older.close();
  await newer.destroy();
});

test("IndexedDB: what a database of the first layout holds is found by index", async () => {
  const opening = indexedDB.open("layout", 1);
  opening.onupgradeneeded = () => {
    const database = opening.result;
    database.createObjectStore("meta").put(freshMeta("old"), "meta");
    const docs = database.createObjectStore("docs", { keyPath: ["type", "id"] });
    docs.createIndex("unconfirmed", "u");
    docs.put(withRank("b", 2));
    docs.put(withRank("a", 3));
    database.createObjectStore("queue", { keyPath: "n" }).createIndex("key", ["type", "id"]);
    database.createObjectStore("lingering", { keyPath: "n" });
    database.createObjectStore("outcomes", { keyPath: "n" });
  };
  await new Promise((resolve) => (opening.onsuccess = resolve));
  opening.result.close();
  const storage = indexedDBStorage("layout");
  await storage.open(freshMeta("new"), undefined, [BY_RANK]);
  assert.equal((await storage.read({})).meta.client, "old");
  assert.equal(await complete(storage), "ba");
  await storage.destroy();
});

test("IndexedDB: an index has each document once, where its newest version is", () =>
  withDatabase(async (storage) => {
    assert.equal(await ranked(storage), undefined);
    await storage.close();
    await storage.open(freshMeta("c1"), undefined, [BY_RANK]);
    assert.equal(await complete(storage), "");
    await putDocs(storage, withRank("a", 1), withRank("b", 3), withRank("c", 2), doc("d"));
    assert.equal(await ranked(storage), "dacb");
    await putDocs(storage, withRank("a", 4));
    await put(storage, { docs: [[key("c"), null]] });
    assert.deepEqual(
      [await ranked(storage), await ranked(storage, 2), await ranked(storage, 2, true)],
      ["dba", "db", "ab"],
    );
    await put(storage, { types: ["Task"] });
    assert.equal(await ranked(storage), "");
  }));

test("IndexedDB: a range goes on as long as it is wanted, in parts", () =>
  withDatabase(async (storage) => {
    await storage.close();
    await storage.open(freshMeta("c1"), undefined, [BY_RANK]);
    await complete(storage);
    await putDocs(storage, ...Array.from({ length: 450 }, (_, at) => withRank(`${1000 + at}`, at)));
    for (const descending of [false, true]) {
      const all = await ranked(storage, 450, descending);
      const ids = all?.match(/..../g) ?? [];
      assert.deepEqual(ids, descending ? [...ids].sort().reverse() : [...ids].sort());
      assert.equal(ids.length, 450);
    }
  }));

test("IndexedDB: a new index is read once the documents of before are in it, with those that came meanwhile", () =>
  withDatabase(async (storage) => {
    await putDocs(storage, ...["c", "a", "b"].map((id, at) => withRank(id, at)));
    await storage.close();
    await storage.open(freshMeta("c1"), undefined, [BY_RANK]);
    await putDocs(storage, withRank("x", 9), withRank("a", 8));
    assert.equal(await complete(storage), "cbax");
  }));
