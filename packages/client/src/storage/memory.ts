/**
 * A storage of maps, for tests and for places without a database. It is gone with the process.
 */

import { keysOf, type Need, type Slice, type Writes } from "../core/draft.js";
import { keyText } from "../core/records.js";
import type { Doc, Edit, Flight, Lingering, Meta, Outcome } from "../core/records.js";
import type { Storage } from "./storage.js";

/** A storage that several clients after one another may open, as a database. */
export function memoryStorage(): Storage {
  return new MemoryStorage();
}

class MemoryStorage implements Storage {
  readonly durable = false;
  #meta: Meta | undefined;
  #flight: Flight | null = null;
  readonly #docs = new Map<string, Doc>();
  readonly #queue = new Map<number, Edit>();
  readonly #lingering = new Map<number, Lingering>();
  readonly #outcomes = new Map<number, Outcome>();

  open(fresh: Meta): Promise<void> {
    this.#meta ??= fresh;
    return Promise.resolve();
  }

  // The promises reject where these functions throw.
  // eslint-disable-next-line @typescript-eslint/require-await
  async read(need: Need): Promise<Slice> {
    return this.#slice(need);
  }

  // eslint-disable-next-line @typescript-eslint/require-await
  async step(need: (meta: Meta, flight: Flight | null) => Need, run: (slice: Slice) => Writes): Promise<void> {
    this.#write(run(this.#slice(need(this.#opened(), this.#flight))));
  }

  scan(type: string, after: string | null, limit: number): Promise<readonly Doc[]> {
    const docs = [...this.#docs.values()].filter((doc) => doc.type === type && (after === null || doc.id > after));
    return Promise.resolve(docs.sort((a, b) => (a.id < b.id ? -1 : 1)).slice(0, limit));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  destroy(): Promise<void> {
    this.#meta = undefined;
    this.#flight = null;
    for (const records of [this.#docs, this.#queue, this.#lingering, this.#outcomes]) records.clear();
    return Promise.resolve();
  }

  #opened(): Meta {
    if (!this.#meta) throw new Error("the storage is not open");
    return this.#meta;
  }

  #slice(need: Need): Slice {
    const { edited } = need;
    const ofType = sorted(this.#queue).filter(({ type }) => type === edited);
    const queue = edited === undefined ? this.#queued(need.queue ?? []) : ofType;
    const lingering = need.lingering || edited !== undefined ? sorted(this.#lingering) : [];
    const keys = keysOf(need, this.#flight, queue, lingering).map((key) => keyText(...key));
    const docs = new Map(keys.map((key) => [key, this.#docs.get(key)]));
    if (need.unconfirmed) {
      for (const [key, doc] of this.#docs) if (doc.u !== undefined) docs.set(key, doc);
    }
    return {
      meta: this.#opened(),
      flight: this.#flight,
      docs: [...docs.values()].filter((doc) => doc !== undefined),
      queue,
      lingering,
      outcomes: need.outcomes ? sorted(this.#outcomes) : [],
    };
  }

  #queued(which: NonNullable<Need["queue"]>): readonly Edit[] {
    const queue = sorted(this.#queue);
    if (which === "all") return queue;
    if (typeof which === "number") return queue.slice(0, which);
    const keys = new Set(which.map((key) => keyText(...key)));
    return queue.filter((edit) => keys.has(keyText(edit.type, edit.id)));
  }

  #write(writes: Writes): void {
    this.#meta = writes.meta;
    this.#flight = writes.flight;
    for (const [key, doc] of this.#docs) if (writes.types.includes(doc.type)) this.#docs.delete(key);
    for (const [key, doc] of writes.docs) put(this.#docs, keyText(...key), doc);
    for (const [n, edit] of writes.queue) put(this.#queue, n, edit);
    for (const [n, edit] of writes.lingering) put(this.#lingering, n, edit);
    for (const [n, outcome] of writes.outcomes) put(this.#outcomes, n, outcome);
  }
}

function put<K, V>(records: Map<K, V>, key: K, record: V | null): void {
  if (record === null) records.delete(key);
  else records.set(key, record);
}

function sorted<T extends { readonly n: number }>(records: ReadonlyMap<number, T>): readonly T[] {
  return [...records.values()].sort((a, b) => a.n - b.n);
}
