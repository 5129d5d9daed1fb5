/**
 * A storage of maps, for tests and for places without a database. It is gone with the process.
 */

import { keysOf, type Need, type Slice, type Writes, type Written } from "../core/draft.js";
import { keyOf } from "../core/records.js";
import type { Doc, Edit, Flight, Key, Lingering, Meta, Outcome } from "../core/records.js";
import { PART } from "./parts.js";
import type { Storage } from "./storage.js";

/** A storage that several clients after one another may open, as a database. */
export function memoryStorage(): Storage {
  return new MemoryStorage();
}

class MemoryStorage implements Storage {
  readonly durable = false;
  #meta: Meta | undefined;
  #flight: Flight | null = null;
  readonly #docs = new Map<Key, Doc>();
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
    const keys = keysOf(need, this.#flight, queue, lingering);
    const unconfirmed = need.unconfirmed ? [...this.#docs.values()].filter(({ u }) => u !== undefined) : [];
    const docs = [...keys].flatMap((key) => this.#docs.get(key) ?? []);
    return {
      meta: this.#opened(),
      flight: this.#flight,
      docs: [...docs, ...unconfirmed, ...this.#part(need)],
      queue,
      lingering,
      outcomes: need.outcomes ? sorted(this.#outcomes) : [],
    };
  }

  #part({ after }: Need): readonly Doc[] {
    if (after === undefined) return [];
    const behind = [...this.#docs].filter(([key]) => key > after).sort(([a], [b]) => (a < b ? -1 : 1));
    return behind.slice(0, PART).map(([, doc]) => doc);
  }

  #queued(which: NonNullable<Need["queue"]>): readonly Edit[] {
    const queue = sorted(this.#queue);
    if (which === "all") return queue;
    if (typeof which === "number") return queue.slice(0, which);
    const keys = new Set(which);
    return queue.filter((edit) => keys.has(keyOf(edit)));
  }

  #write(writes: Writes): void {
    this.#meta = writes.meta;
    this.#flight = writes.flight;
    for (const [key, doc] of this.#docs) if (writes.types.includes(doc.type)) this.#docs.delete(key);
    put(this.#docs, writes.docs);
    put(this.#queue, writes.queue);
    put(this.#lingering, writes.lingering);
    put(this.#outcomes, writes.outcomes);
  }
}

function put<K, R>(records: Map<K, R>, writes: Written<K, R>): void {
  for (const [key, record] of writes) {
    if (record === null) records.delete(key);
    else records.set(key, record);
  }
}

function sorted<T extends { readonly n: number }>(records: ReadonlyMap<number, T>): readonly T[] {
  return [...records.values()].sort((a, b) => a.n - b.n);
}
