/**
 * A storage in IndexedDB: what it has stored outlasts the page, the browser and the machine's restart.
 */

import { keysOf, type Need, type Slice, type Writes } from "../core/draft.js";
import type { Doc, Edit, Flight, Key, Lingering, Meta, Outcome } from "../core/records.js";
import { entryOf, nameOf, type Index, type SortKey } from "./entries.js";
import { PART, parts } from "./parts.js";
import type { Closed, Search, StepOptions, Storage } from "./storage.js";

/** Requests at a time. More would block the page's thread while their results arrive. */
const RUN = 100;

/** Documents of an index at a time, and how many are read at least if fewer are wanted. */
const FOUND = 200;
const FOUND_MIN = 20;

/** There is none outside of pages. */
const page = (globalThis as { document?: Document }).document;

/** Rises with each layout of the records. 1 had no entries of indexes. */
const VERSION = 2;

const OUTDATED: Closed = { code: "OUTDATED", message: "another tab has a newer app: reload this one" };
const EVICTED: Closed = { code: "EVICTED", message: "the browser has removed the database" };
const REMOVED: Closed = { code: "REMOVED", message: "another tab has signed out" };

const STORES = ["meta", "docs", "queue", "lingering", "outcomes"] as const;

/** The indexes that the documents of this database are in, whichever app has asked for them. */
interface Indexes {
  /** Counts the changes of the list. */
  readonly changes: number;
  readonly kept: readonly { readonly index: Index; readonly complete: boolean }[];
}

/** A document with its entries, which are those of {@link Indexes}. */
interface StoredDoc extends Doc {
  readonly x?: readonly (readonly SortKey[])[];
}

/**
 * A storage in the database of this name. The client halts with `STORAGE` where the platform has no IndexedDB, or keeps
 * nothing for the page.
 */
export function indexedDBStorage(name: string): Storage {
  return new IndexedDBStorage(name);
}

class IndexedDBStorage implements Storage {
  readonly durable = true;
  #database: IDBDatabase | undefined;
  readonly #running = new Set<IDBTransaction>();
  /** Resolves when the page is not frozen. */
  #awake = Promise.resolve();

  constructor(readonly name: string) {}

  async open(
    fresh: Meta,
    closed: (why: Closed) => void = () => undefined,
    indexes: readonly Index[] = [],
  ): Promise<void> {
    const opening = indexedDB.open(this.name, VERSION);
    opening.onupgradeneeded = ({ oldVersion }) => {
      if (oldVersion < 1) create(opening.result);
      opening.transaction?.objectStore("docs").createIndex("entries", "x", { multiEntry: true });
    };
    try {
      await done(opening);
    } catch (failure) {
      if (failure instanceof DOMException && failure.name === "VersionError") closed(OUTDATED);
      throw failure;
    }
    const database = opening.result;
    this.#database = database;
    database.onversionchange = ({ newVersion }) => {
      void this.close();
      closed(newVersion === null ? REMOVED : OUTDATED);
    };
    database.onclose = () => {
      closed(EVICTED);
    };
    page?.addEventListener("freeze", this.#freeze);
    await this.#write(true, async (stores) => {
      const known = await done(stores.meta.get("meta"));
      if (known === undefined) await done(stores.meta.put(fresh, "meta"));
      await turnTo(stores, indexes);
    });
    // A database that is closed meanwhile goes on at the next opening.
    this.#complete().catch(() => undefined);
  }

  /** Puts documents of before into new indexes, part by part. Meanwhile steps do so with those that they write. */
  async #complete(): Promise<void> {
    const { changes, kept } = await this.#read(indexesOf);
    const types = new Set(kept.filter((it) => !it.complete).map(({ index }) => index.type));
    if (types.size === 0) return;
    for (const type of types) {
      for await (const docs of parts(this, type)) {
        await this.#write(false, async (stores) => {
          const indexes = await indexesOf(stores);
          await inRuns(docs, async ({ id }) => {
            const doc = (await done(stores.docs.get([type, id]))) as Doc | undefined;
            if (doc) await done(stores.docs.put(stored(doc, indexes)));
          });
        });
      }
    }
    await this.#write(false, async (stores) => {
      const now = await indexesOf(stores);
      // Another tab with another list completes its own.
      if (now.changes !== changes) return;
      const complete = kept.map(({ index }) => ({ index, complete: true }));
      await done(stores.meta.put({ changes, kept: complete }, "indexes"));
    });
  }

  read(need: Need): Promise<Slice> {
    return this.#read(async (stores) => {
      const [meta, flight] = await head(stores);
      return slice(stores, need, meta, flight);
    });
  }

  step(
    need: (meta: Meta, flight: Flight | null) => Need,
    run: (slice: Slice) => Writes,
    { strict }: StepOptions,
  ): Promise<void> {
    return this.#write(strict, async (stores) => {
      const [meta, flight] = await head(stores);
      await write(stores, run(await slice(stores, need(meta, flight), meta, flight)));
    });
  }

  search({ need, index, ranges, descending, limit, begin }: Search): Promise<boolean> {
    return this.#read(async (stores) => {
      const name = nameOf(index);
      const { kept } = await indexesOf(stores);
      if (!kept.some((it) => it.complete && nameOf(it.index) === name)) return false;
      const [meta, flight] = await head(stores);
      const take = begin(await slice(stores, need, meta, flight));
      const entries = stores.docs.index("entries");
      for (const [at, [lower, upper]] of ranges.entries()) {
        // Conditions that exclude each other are no range of IndexedDB.
        if (indexedDB.cmp(lower, upper) >= 0) continue;
        const wants = (doc: Doc): boolean => take(doc, at);
        const range = IDBKeyRange.bound(lower, upper, true, true);
        // Parts are read faster than single documents. Who takes all of them needs no order.
        if (descending && limit !== Infinity) await walkBack(entries, range, wants);
        else await walk(entries, index, range, Math.min(Math.max(limit, FOUND_MIN), FOUND), wants);
      }
      return true;
    });
  }

  close(): Promise<void> {
    page?.removeEventListener("freeze", this.#freeze);
    this.#database?.close();
    this.#database = undefined;
    return Promise.resolve();
  }

  async destroy(): Promise<void> {
    await this.close();
    await done(indexedDB.deleteDatabase(this.name));
  }

  /** The transaction of a frozen page would block all other tabs. */
  readonly #freeze = (): void => {
    this.#awake = new Promise((resolve) => {
      page?.addEventListener("resume", () => resolve(), { once: true });
    });
    for (const transaction of this.#running) abort(transaction);
  };

  #read<T>(work: (stores: Stores) => Promise<T>): Promise<T> {
    return this.#transact("readonly", false, work);
  }

  #write<T>(strict: boolean, work: (stores: Stores) => Promise<T>): Promise<T> {
    return this.#transact("readwrite", strict, work);
  }

  /** One transaction, or another one if the page was frozen meanwhile. If `work` throws, it is undone. */
  async #transact<T>(mode: IDBTransactionMode, strict: boolean, work: (stores: Stores) => Promise<T>): Promise<T> {
    for (;;) {
      const awake = this.#awake;
      await awake;
      try {
        return await this.#once(mode, strict, work);
      } catch (failure) {
        if (this.#awake === awake) throw failure;
      }
    }
  }

  async #once<T>(mode: IDBTransactionMode, strict: boolean, work: (stores: Stores) => Promise<T>): Promise<T> {
    if (!this.#database) throw new Error("the storage is not open");
    const transaction = this.#database.transaction(STORES, mode, { durability: strict ? "strict" : "relaxed" });
    this.#running.add(transaction);
    const ended = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => {
        resolve();
      };
      transaction.onabort = () => {
        reject(transaction.error ?? new Error("the storage is not open"));
      };
    });
    try {
      const result = await work(storesOf(transaction));
      await ended;
      return result;
    } catch (failure) {
      ended.catch(() => undefined);
      abort(transaction);
      throw failure;
    } finally {
      this.#running.delete(transaction);
    }
  }
}

type Stores = Readonly<Record<(typeof STORES)[number], IDBObjectStore>>;

function create(database: IDBDatabase): void {
  database.createObjectStore("meta");
  const docs = database.createObjectStore("docs", { keyPath: ["type", "id"] });
  // Documents without `u` are not in it.
  docs.createIndex("unconfirmed", "u");
  const queue = database.createObjectStore("queue", { keyPath: "n" });
  queue.createIndex("key", ["type", "id"]);
  database.createObjectStore("lingering", { keyPath: "n" });
  database.createObjectStore("outcomes", { keyPath: "n" });
}

function storesOf(transaction: IDBTransaction): Stores {
  return Object.fromEntries(STORES.map((name) => [name, transaction.objectStore(name)])) as Stores;
}

/** One that has ended cannot be aborted, and need not be. */
function abort(transaction: IDBTransaction): void {
  try {
    transaction.abort();
  } catch (failure) {
    if (!(failure instanceof DOMException)) throw failure;
  }
}

async function head(stores: Stores): Promise<readonly [Meta, Flight | null]> {
  const [meta, flight] = await Promise.all([done(stores.meta.get("meta")), done(stores.meta.get("flight"))]);
  if (meta === undefined) throw new Error("the storage is not open");
  return [meta as Meta, (flight as Flight | undefined) ?? null];
}

async function indexesOf(stores: Stores): Promise<Indexes> {
  return ((await done(stores.meta.get("indexes"))) as Indexes | undefined) ?? { changes: 0, kept: [] };
}

/** Keeps these indexes. New ones lack the documents that are there. */
async function turnTo(stores: Stores, indexes: readonly Index[]): Promise<void> {
  const { changes, kept } = await indexesOf(stores);
  const before = new Map(kept.map(({ index, complete }) => [nameOf(index), complete]));
  if (before.size === indexes.length && indexes.every((index) => before.has(nameOf(index)))) return;
  const now = indexes.map((index) => ({ index, complete: before.get(nameOf(index)) === true }));
  await done(stores.meta.put({ changes: changes + 1, kept: now }, "indexes"));
}

function stored(doc: Doc, { kept }: Indexes): StoredDoc {
  const own = kept.filter(({ index }) => index.type === doc.type);
  return { ...doc, x: own.map(({ index }) => entryOf(index, doc.id, doc.body)) };
}

/** Takes documents in the order of an index, part by part. */
async function walk(
  entries: IDBIndex,
  index: Index,
  range: IDBKeyRange,
  size: number,
  take: (doc: Doc) => boolean,
): Promise<void> {
  for (let rest = range, more = true; more;) {
    const docs: readonly Doc[] = await all(entries.getAll(rest, size));
    const last = docs.at(-1);
    more = docs.every(take) && docs.length === size && last !== undefined;
    if (last) rest = IDBKeyRange.bound(entryOf(index, last.id, last.body), range.upper, true, true);
  }
}

/** Takes them from the end. */
async function walkBack(entries: IDBIndex, range: IDBKeyRange, take: (doc: Doc) => boolean): Promise<void> {
  const request = entries.openCursor(range, "prev");
  for (;;) {
    await done(request);
    const cursor = request.result;
    if (!cursor || !take(cursor.value as Doc)) return;
    cursor.continue();
  }
}

async function slice(stores: Stores, need: Need, meta: Meta, flight: Flight | null): Promise<Slice> {
  const { edited } = need;
  const queue = await queued(stores.queue, need.queue ?? [], edited);
  const lingering = need.lingering || edited !== undefined ? await all<Lingering>(stores.lingering.getAll()) : [];
  const docs = need.unconfirmed ? [...(await all<Doc>(stores.docs.index("unconfirmed").getAll()))] : [];
  await inRuns([...keysOf(need, flight, queue, lingering)], async (key) => {
    const doc = (await done(stores.docs.get(partsOf(key)))) as Doc | undefined;
    if (doc) docs.push(doc);
  });
  if (need.after !== undefined) {
    docs.push(...(await all<Doc>(stores.docs.getAll(IDBKeyRange.lowerBound(partsOf(need.after), true), PART))));
  }
  return {
    meta,
    flight,
    docs,
    queue,
    lingering,
    outcomes: need.outcomes ? await all<Outcome>(stores.outcomes.getAll()) : [],
  };
}

async function queued(
  store: IDBObjectStore,
  which: NonNullable<Need["queue"]>,
  type: string | undefined,
): Promise<readonly Edit[]> {
  if (which === "all") return all(store.getAll());
  // A count of 0 would ask for all.
  if (typeof which === "number") return which > 0 ? all(store.getAll(null, which)) : [];
  const index = store.index("key");
  const edits = type === undefined ? [] : [...(await all<Edit>(index.getAll(allOf(type))))];
  await inRuns([...new Set(which)], async (key) => {
    edits.push(...(await all<Edit>(index.getAll(partsOf(key)))));
  });
  return edits.sort((a, b) => a.n - b.n);
}

async function write(stores: Stores, writes: Writes): Promise<void> {
  for (const type of writes.types) await done(stores.docs.delete(allOf(type)));
  const indexes = writes.docs.length > 0 ? await indexesOf(stores) : undefined;
  await inRuns(writes.docs, ([key, doc]) => {
    return done(doc && indexes ? stores.docs.put(stored(doc, indexes)) : stores.docs.delete(partsOf(key)));
  });
  for (const name of ["queue", "lingering", "outcomes"] as const) {
    const store = stores[name];
    await inRuns<readonly [number, object | null]>(writes[name], ([n, record]) => {
      return done(record ? store.put(record) : store.delete(n));
    });
  }
  const { meta, flight } = writes;
  await Promise.all([
    done(stores.meta.put(meta, "meta")),
    done(flight ? stores.meta.put(flight, "flight") : stores.meta.delete("flight")),
  ]);
}

/** A key as the database orders it. */
function partsOf(key: Key): string[] {
  return key.split("\u0000");
}

function allOf(type: string): IDBKeyRange {
  return IDBKeyRange.bound([type], [type, []]);
}

async function inRuns<T>(items: readonly T[], request: (item: T) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < items.length; at += RUN) await Promise.all(items.slice(at, at + RUN).map(request));
}

/** Any request; `IDBRequest` is not covariant. */
type Request = Pick<IDBRequest<unknown>, "result" | "error"> & Record<"onsuccess" | "onerror", unknown>;

function done(request: Request): Promise<unknown> {
  return new Promise((resolve, reject) => {
    // A cursor succeeds once for each document.
    request.onsuccess = () => {
      resolve(request.result);
    };
    request.onerror = () => {
      // A request that has failed has an error.
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      reject(request.error);
    };
  });
}

/** What a store holds is what this module has put there. */
function all<T>(request: Request): Promise<readonly T[]> {
  return done(request) as Promise<readonly T[]>;
}
