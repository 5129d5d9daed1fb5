/**
 * Queries by index, by id and by scan against a plain filter and sort, over random documents, edits, answers, resets,
 * revocations and restarts.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import "fake-indexeddb/auto";
import fc from "fast-check";
import { Engine } from "../../src/client/engine.js";
import { Finder, indexesOf } from "../../src/client/find.js";
import { liveQuery } from "../../src/client/livequery.js";
import type { Query, Where } from "../../src/client/query.js";
import type { ModelValue } from "../../src/client/types.js";
import type { Intent } from "../../src/core/edits.js";
import { ClientError } from "../../src/core/errors.js";
import { freshMeta, isAlive } from "../../src/core/records.js";
import { view } from "../../src/core/view.js";
import type { Body, Change, Value } from "../../src/protocol.js";
import { indexedDBStorage } from "../../src/storage/indexeddb.js";
import { memoryStorage } from "../../src/storage/memory.js";
import type { Storage } from "../../src/storage/storage.js";
import { expected } from "./oracle.js";
import { documentsOf } from "../core/documents.js";

const SCALARS = { due: "DateTime", big: "Long", price: "Decimal" };

/** Each field with its values. Texts cover what code units and code points order differently, and prefixes. */
const VALUES = {
  done: [true, false],
  rank: [-1, 0, 1, 2.5],
  title: ["", "a", "ab", "b", "\u{1F600}", "\u{1F600}a", "\uFF5E", "\uFFFF", "\uD7FF"],
  due: ["2026-02-28T12:30:00.000Z", "2026-02-28T13:30:00+02:00", "2026-02-28T12:30:00Z", "0001-01-01T00:00:00.000Z"],
  big: ["9", "10", "-9223372036854775808", "9223372036854775807", "9007199254740993", "9007199254740992", 9],
  price: ["1.0", "1.00", "-0.5", "-0.51", "1E+3", "999.99", "0", "1E-30", "-10"],
} as const;

type Field = keyof typeof VALUES;

const FIELDS = Object.keys(VALUES) as Field[];

function modelWith(indexes: readonly (readonly Field[])[]): ModelValue {
  const task = { root: "task", collection: "tasks", merges: { rank: "COUNTER" }, defaults: {}, aliases: {} };
  return {
    hash: "",
    operations: {
      changes: "",
      changesSince: "",
      pushChanges: "",
      viewer: "",
      conflicts: "",
      followConflicts: "",
      resolveConflict: "",
    },
    types: {
      Task: { ...task, scalars: SCALARS, indexes },
      Note: { root: "note", collection: "notes", merges: {}, defaults: {}, aliases: {} },
    },
  };
}

const INDEXES: readonly (readonly (readonly Field[])[])[] = [
  [["done", "due"], ["title"], ["rank", "big"], ["price", "title"], ["due"]],
  [["done", "rank", "title"], ["big"], ["title"], ["price", "done"]],
  [],
];

const IDS = ["a", "b", "c", "d", "\u{1F600}", "\uFF5E"];
const SCOPES = ["s", "t"];

const id = fc.constantFrom(...IDS);
const scope = fc.constantFrom(...SCOPES);
const fieldsOf = fc.record(
  Object.fromEntries(FIELDS.map((field) => [field, fc.constantFrom<Value[]>(null, ...VALUES[field])])),
  { requiredKeys: [] },
) as fc.Arbitrary<Body>;

const change = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("UPSERT" as const), id, scope, fields: fieldsOf }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("DELETE" as const, "REVOKE" as const), id, scope }) },
);

const action = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("page" as const),
      changes: fc.array(change, { maxLength: 6 }),
      reset: fc.constantFrom(false, false, false, true),
      hasMore: fc.boolean(),
      revoked: fc.constantFrom<string[][]>([], [], [], ["s"], ["t"]),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("edit" as const),
      op: fc.constantFrom("create" as const, "update" as const, "update" as const, "delete" as const),
      id,
      fields: fieldsOf,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("send" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("answer" as const), applied: fc.boolean(), fields: fieldsOf }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("sweep" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const), indexes: fc.constantFrom(...INDEXES) }) },
);

type Of<A> = A extends fc.Arbitrary<infer T> ? T : never;
type Action = Of<typeof action>;

const filterOf = (field: Field): fc.Arbitrary<Where> => {
  const value = fc.constantFrom<Value[]>(...VALUES[field]);
  const filter = fc.oneof(
    fc.record({ eq: value }),
    fc.record({ ne: value }),
    fc.record({ in: fc.array(value, { maxLength: 3 }) }),
    fc.record({ isNull: fc.boolean() }),
    fc.record({ gte: value, lt: value }, { requiredKeys: ["gte"] }),
    fc.record({ gt: value, lte: value }, { requiredKeys: ["lte"] }),
    ...(field === "title" ? [fc.record({ startsWith: fc.constantFrom("a", "\u{1F600}", "\uFFFF", "") })] : []),
  );
  return filter.map((it) => ({ [field]: it }));
};

const condition: fc.Arbitrary<Where> = fc.oneof(
  ...FIELDS.map(filterOf),
  fc.array(id, { maxLength: 3 }).map((some): Where => ({ id: { in: some } })),
  id.map((it): Where => ({ id: { gt: it } })),
);

const where: fc.Arbitrary<Where> = fc.oneof(
  { weight: 3, arbitrary: fc.array(condition, { maxLength: 3 }).map((parts) => Object.assign({}, ...parts) as Where) },
  { weight: 1, arbitrary: fc.array(condition, { maxLength: 2 }).map((or): Where => ({ or })) },
  { weight: 1, arbitrary: condition.map((not): Where => ({ not })) },
  { weight: 1, arbitrary: fc.tuple(condition, condition).map((and): Where => ({ and })) },
);

const direction = fc.constantFrom("ASC", "DESC");
const query: fc.Arbitrary<Query> = fc.record(
  {
    where,
    orderBy: fc.array(
      fc.tuple(fc.constantFrom(...FIELDS), direction).map((it) => it.join("_")),
      { maxLength: 2 },
    ),
    limit: fc.integer({ min: 0, max: 4 }),
  },
  { requiredKeys: [] },
);

/** A device whose gateway says what the actions say. */
class Device {
  engine: Engine;
  model = modelWith(INDEXES[0] ?? []);
  #version = 0;
  #epoch = "e";
  #ids = 0;

  constructor(readonly storage: Storage) {
    this.engine = new Engine(this.model, storage);
  }

  open(): Promise<void> {
    return this.storage.open(freshMeta("c"), undefined, indexesOf(this.model));
  }

  async act(action: Action): Promise<void> {
    switch (action.do) {
      case "page":
        return this.#page(action);
      case "edit": {
        const fields = action.op === "create" ? { document: action.fields } : { changes: action.fields };
        const intent = { op: action.op, type: "Task", id: action.id, ...fields } as Intent;
        const edit = { intents: [intent], at: "2026-02-28T12:30:00Z", atomic: false, folds: true };
        await this.engine.do({ is: "edit", ...edit }).catch((failure: unknown) => {
          if (!(failure instanceof ClientError)) throw failure;
        });
        return;
      }
      case "send":
        await this.engine.do({ is: "send" });
        return;
      case "answer":
        return this.#answer(action.applied, action.fields);
      case "sweep": {
        while ((await this.engine.do({ is: "sweep" })).some((it) => it.do === "sweep"));
        return;
      }
      case "restart":
        this.model = modelWith(action.indexes);
        await this.storage.close();
        await this.open();
    }
  }

  async #page({ changes, reset, hasMore, revoked }: Action & { do: "page" }): Promise<void> {
    const { meta } = await this.storage.read({});
    await this.engine.do({ is: "begin" });
    const first = meta.checkpoint === null;
    const page = {
      changes: changes.map((it) => this.#change(it)),
      checkpoint: `${(this.#version += 1)}`,
      hasMore,
      reset: reset || first,
      revokedScopes: first ? [] : revoked,
      epoch: this.#epoch,
    };
    const arrival = { page, from: meta.checkpoint, types: ["Task", "Note"], refresh: [], round: meta.round + 1 };
    await this.engine.do({ is: "page", ...arrival, newId: `c${(this.#ids += 1)}` });
  }

  #change(it: Of<typeof change>): Change {
    const { kind, id, scope } = it;
    const version = (this.#version += 1);
    const document = kind === "UPSERT" ? { ...it.fields, id, syncVersion: version, syncScope: scope } : null;
    return { type: "Task", documentId: id, kind, version, scope, document };
  }

  async #answer(applied: boolean, fields: Body): Promise<void> {
    const { flight } = await this.storage.read({});
    if (!flight) return;
    const results = flight.edits.map(({ id, op }) => {
      const version = (this.#version += 1);
      const document = op === "delete" ? null : { ...fields, id, syncVersion: version, syncScope: "s" };
      if (applied) return { status: "APPLIED" as const, version, document };
      const error = { code: "INVALID_VALUE", message: "", field: null };
      return { status: "REJECTED" as const, version: null, document: null, error };
    });
    await this.engine.do({ is: "answer", to: flight, results });
  }

  /** All documents in view. */
  async all(): Promise<readonly Body[]> {
    const docs = await documentsOf(this.storage, "Task");
    const { meta, flight, queue, lingering } = await this.storage.read({ queue: "all", lingering: true });
    const edits = [...lingering, ...(flight?.edits ?? []), ...queue];
    const bodies = IDS.map((id) => {
      const held = docs.find((doc) => doc.id === id && isAlive(meta, doc));
      return view(
        this.model,
        held?.body,
        edits.filter((edit) => edit.id === id),
      );
    });
    return bodies.filter((it) => it !== undefined);
  }

  /** What a query finds is what it must find, by whichever way. */
  async check(query: Query): Promise<void> {
    const found = await new Finder(this.model, this.storage, "Task", query).find();
    assert.deepEqual(plain(found), plain(expected(await this.all(), query, SCALARS)));
  }
}

function plain(documents: readonly Body[]): unknown {
  return JSON.parse(JSON.stringify(documents));
}

let databases = 0;
const STORAGES: Readonly<Record<string, () => Storage>> = {
  memory: memoryStorage,
  IndexedDB: () => indexedDBStorage(`queries-${++databases}`),
};

console.warn = () => undefined;

for (const [name, make] of Object.entries(STORAGES)) {
  test(`${name}: queries find what a plain filter and sort finds, whatever has happened`, async () => {
    let searched = 0;
    const counted = fc.asyncProperty(
      fc.array(action, { maxLength: 25 }),
      fc.array(query, { maxLength: 12 }),
      async (actions, queries) => {
        const storage = make();
        const search = storage.search?.bind(storage);
        if (search) {
          storage.search = async (it) => {
            const done = await search(it);
            searched += Number(done);
            return done;
          };
        }
        const device = new Device(storage);
        await device.open();
        for (const [at, action] of actions.entries()) {
          await device.act(action);
          if (at % 5 === 0) for (const query of queries) await device.check(query);
        }
        for (const query of queries) await device.check(query);
        await storage.destroy();
      },
    );
    await fc.assert(counted, { numRuns: 60 });
    if (name === "IndexedDB") assert.ok(searched > 200, `${searched} searches of an index`);
  });

  test(`${name}: live queries show in the end what a plain filter and sort finds`, async () => {
    const shown = fc.asyncProperty(
      fc.array(action, { maxLength: 20 }),
      fc.array(query, { minLength: 1, maxLength: 6 }),
      async (actions, queries) => {
        const device = new Device(make());
        const { engine, storage, model } = device;
        const opened = device.open();
        const lives = queries.map((query) => {
          const finder = new Finder(model, storage, "Task", query);
          const live = liveQuery(finder, { opened, hides: () => false, engine });
          return { query, live, end: live.subscribe(() => undefined) };
        });
        await opened;
        for (const action of actions.filter((it) => it.do !== "restart")) await device.act(action);
        const all = await device.all();
        for (const { query, live, end } of lives) {
          const must = JSON.stringify(plain(expected(all, query, SCALARS)));
          for (let left = 200; JSON.stringify(live.value) !== must; left--) {
            assert.ok(left > 0, `${JSON.stringify(query)}: ${JSON.stringify(live.value)} and not ${must}`);
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
          end();
        }
        await storage.destroy();
      },
    );
    await fc.assert(shown, { numRuns: 40 });
  });
}
