/**
 * What every storage promises, on each of them.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import "fake-indexeddb/auto";
import type { Slice, Writes } from "../../src/core/draft.js";
import { freshMeta, type Doc, type Edit } from "../../src/core/records.js";
import { indexedDBStorage } from "../../src/storage/indexeddb.js";
import { memoryStorage } from "../../src/storage/memory.js";
import type { Storage } from "../../src/storage/storage.js";

let databases = 0;
const STORAGES: Readonly<Record<string, () => Storage>> = {
  memory: memoryStorage,
  IndexedDB: () => indexedDBStorage(`test-${++databases}`),
};

const STRICT = { strict: true };

function doc(id: string, more: Partial<Doc> = {}): Doc {
  return { type: "Task", id, v: 1, scope: "s", body: { id }, ep: 1, seen: 1, at: 1, ...more };
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
  return put(storage, { docs: docs.map((it) => [[it.type, it.id], it]) });
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
          docs: [
            ["Task", "a"],
            ["Task", "a"],
            ["Task", "x"],
            ["Note", "c"],
          ],
        }),
      ),
      "a",
    );
    assert.equal(ids(await storage.read({ unconfirmed: true })), "b");
    assert.equal(ids(await storage.read({ queue: 1, docsOfQueue: true })), "b");
    const queue = async (
      which: number | "all" | readonly (readonly [string, string])[],
    ): Promise<readonly number[]> => {
      return (await storage.read({ queue: which })).queue.map((it) => it.n);
    };
    assert.deepEqual(await queue("all"), [1, 2, 3]);
    assert.deepEqual(await queue(2), [1, 2]);
    assert.deepEqual(await queue(0), []);
    assert.deepEqual(
      await queue([
        ["Task", "b"],
        ["Task", "b"],
      ]),
      [1, 3],
    );
  });

  promise("a step that throws writes nothing, and rejects with what it threw", async (storage) => {
    await putDocs(storage, doc("a"));
    const failure = new Error("refused");
    const step = storage.step(
      () => ({ docs: [["Task", "a"]] }),
      () => {
        throw failure;
      },
      STRICT,
    );
    await assert.rejects(step, failure);
    assert.equal((await storage.read({ docs: [["Task", "a"]] })).docs.length, 1);
  });

  promise("a record that is removed is gone, and so is a flight", async (storage) => {
    const { meta } = await storage.read({});
    const flight = { to: { id: "c1", firstMutationId: 1 }, epoch: "e", atomic: false, edits: [], changes: [] };
    await put(storage, { flight: { ...flight, crossed: false, deleted: {}, left: {}, revoked: [], behind: 0 } });
    assert.deepEqual((await storage.read({})).flight?.to, flight.to);
    await putDocs(storage, doc("a"));
    await put(storage, { meta, flight: null, docs: [[["Task", "a"], null]] });
    assert.deepEqual([(await storage.read({})).flight, await storage.scan("Task", null, 9)], [null, []]);
  });

  promise("the documents of a type go at once, before what the step writes", async (storage) => {
    await putDocs(storage, doc("a"), doc("b", { type: "Note" }));
    await put(storage, { types: ["Task"], docs: [[["Task", "c"], doc("c")]] });
    assert.deepEqual(
      (await storage.scan("Task", null, 9)).map((it) => it.id),
      ["c"],
    );
    assert.equal((await storage.scan("Note", null, 9)).length, 1);
  });

  promise("a scan gives the documents of a type in order, part by part", async (storage) => {
    const ids = Array.from({ length: 250 }, (_, at) => `${at}`);
    await putDocs(storage, ...ids.map((id) => doc(id)), doc("x", { type: "Note" }));
    const found: string[] = [];
    for (let after: string | null = null; ;) {
      const part: readonly Doc[] = await storage.scan("Task", after, 100);
      found.push(...part.map((it) => it.id));
      if (part.length < 100) break;
      after = part.at(-1)?.id ?? null;
    }
    assert.deepEqual(found, ids.sort());
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
