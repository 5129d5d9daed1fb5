/**
 * A step while it is made: the slice that was read, with the writes on top. It decides nothing.
 */

import type { Body } from "../protocol.js";
import { count, forget, TYPE, type Sum } from "./digests.js";
import { isAlive, keyOf, UNCOUNTED } from "./records.js";
import type { CoreModel, Doc, Edit, Flight, Key, Lingering, Meta, Outcome } from "./records.js";
import { view } from "./view.js";

/** The records that a step reads, beside `meta` and `flight`. */
export interface Need {
  readonly docs?: readonly Key[];
  /** A part of all documents, the dead ones too, in the order of their keys: those after this one. */
  readonly after?: Key;
  /** The documents that an answer brought and no page has confirmed. */
  readonly unconfirmed?: boolean;
  /** The queued edits of some documents, the first ones, or all. */
  readonly queue?: readonly Key[] | number | "all";
  /** The documents of the queued edits that are read. */
  readonly docsOfQueue?: boolean;
  /** The lingering edits; they are few. */
  readonly lingering?: boolean;
  readonly outcomes?: boolean;
  /** A type of which all edits are read, with their documents. */
  readonly edited?: string;
}

/** The documents of a need, when its edits are read. */
export function keysOf(
  { docs = [], docsOfQueue, edited }: Need,
  flight: Flight | null,
  queue: readonly Edit[],
  lingering: readonly Lingering[],
): ReadonlySet<Key> {
  const edits = editsOf({ flight, queue, lingering }).filter(({ type }) => type === edited);
  return new Set([...docs, ...[...edits, ...(docsOfQueue ? queue : [])].map(keyOf)]);
}

/** The edits in view, in their order (1.8). */
export function editsOf({ lingering, flight, queue }: Pick<Slice, "lingering" | "flight" | "queue">): readonly Edit[] {
  return [...lingering, ...(flight?.edits ?? []), ...queue];
}

/** The records that were read for a step: those of its need, and no others have to be there. */
export interface Slice {
  readonly meta: Meta;
  readonly flight: Flight | null;
  readonly docs: readonly Doc[];
  /** By number. */
  readonly queue: readonly Edit[];
  readonly lingering: readonly Lingering[];
  readonly outcomes: readonly Outcome[];
}

/** Records by their keys, or null where they are removed. */
export type Written<K, R> = readonly (readonly [K, R | null])[];

/** What a step writes. */
export interface Writes {
  readonly meta: Meta;
  readonly flight: Flight | null;
  readonly docs: Written<Key, Doc>;
  readonly queue: Written<number, Edit>;
  readonly lingering: Written<number, Lingering>;
  readonly outcomes: Written<number, Outcome>;
  /** Types of which all documents go. */
  readonly types: readonly string[];
}

/** What the shell does after the step is stored. */
export type Effect =
  | {
      readonly do: "pull";
      readonly checkpoint: string | null;
      readonly round: number;
      readonly refresh: readonly string[];
      /** Scopes that come again; named in one request alone. */
      readonly reread: readonly string[];
    }
  | { readonly do: "push"; readonly flight: Flight }
  /** `viewer(clientId: …) { lastMutationId }`. */
  | { readonly do: "ask"; readonly client: string; readonly question: number }
  /** There may be more to sweep. */
  | { readonly do: "sweep" }
  /** A new pull has to read the store. */
  | { readonly do: "reread" }
  /** A pull was not compared, since an answer came meanwhile. Another one has to be, later. */
  | { readonly do: "compare" }
  /** The same request again, after a pause of at least so many seconds. */
  | { readonly do: "again"; readonly after: number }
  | { readonly do: "token" }
  | { readonly do: "halt"; readonly code: string; readonly message: string };

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Some records as a step leaves them. */
class Table<K, R> {
  readonly writes = new Map<K, R | null>();
  readonly #records: Map<K, R>;

  constructor(
    records: readonly R[],
    readonly keyOf: (record: R) => K,
    /** Hears which records come and which go. */
    readonly hear: (record: R, sign: 1 | -1) => void = () => undefined,
  ) {
    this.#records = new Map(records.map((record) => [keyOf(record), record]));
  }

  get size(): number {
    return this.#records.size;
  }

  get(key: K): R | undefined {
    return this.#records.get(key);
  }

  /** In the order of their keys. */
  all(): readonly R[] {
    return [...this.#records].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, record]) => record);
  }

  put(...records: readonly R[]): void {
    for (const record of records) {
      const key = this.keyOf(record);
      this.remove(key);
      this.#records.set(key, record);
      this.writes.set(key, record);
      this.hear(record, 1);
    }
  }

  remove(key: K): void {
    const record = this.#records.get(key);
    if (record) this.hear(record, -1);
    this.#records.delete(key);
    this.writes.set(key, null);
  }
}

const numberOf = ({ n }: { readonly n: number }): number => n;

export class Draft {
  readonly meta: Mutable<Meta>;
  flight: Flight | null;
  /** What the shell does after this step. */
  readonly effects: Effect[] = [];
  /** The documents that were written or removed, or whose edits were. */
  readonly touched = new Set<Key>();
  /** What it keeps in each scope, for digests: changed with the documents. */
  readonly sums: Map<string, Sum>;
  /** The documents that were read, the dead ones too. */
  readonly docs: Table<Key, Doc>;
  readonly queue: Table<number, Edit>;
  readonly lingering: Table<number, Lingering>;
  readonly outcomes: Table<number, Outcome>;
  readonly #types: string[] = [];

  constructor(
    readonly model: CoreModel,
    readonly slice: Slice,
  ) {
    this.meta = { ...UNCOUNTED, ...slice.meta, step: slice.meta.step + 1 };
    this.flight = slice.flight;
    this.sums = new Map(Object.entries(this.meta.sums));
    const touch = (of: Doc | Edit): unknown => this.touched.add(keyOf(of));
    this.docs = new Table(slice.docs, keyOf, (doc, sign) => {
      touch(doc);
      count(this, doc, sign);
    });
    this.queue = new Table(slice.queue, numberOf, touch);
    this.lingering = new Table(slice.lingering, numberOf, touch);
    this.outcomes = new Table(slice.outcomes, numberOf);
  }

  /** A document, unless it is dead. */
  doc(key: Key): Doc | undefined {
    const doc = this.docs.get(key);
    return doc && isAlive(this.meta, doc) ? doc : undefined;
  }

  removeType(type: string): void {
    this.#types.push(type);
    for (const doc of this.docs.all()) if (doc.type === type) this.docs.remove(keyOf(doc));
    forget(this, TYPE, [type]);
  }

  /** The edits on top of a document, in their order. */
  editsOf(key: Key): readonly Edit[] {
    const [lingering, queue] = [this.lingering.all(), this.queue.all()];
    return editsOf({ lingering, flight: this.flight, queue }).filter((edit) => keyOf(edit) === key);
  }

  /** The view, with no queued edits after a number. */
  view(key: Key, n = Infinity): Body | undefined {
    const edits = this.editsOf(key).filter((edit) => edit.n <= n);
    return view(this.model, this.doc(key)?.body, edits);
  }

  writes(): Writes {
    const { docs, queue, lingering, outcomes, flight } = this;
    return {
      meta: {
        ...this.meta,
        sums: Object.fromEntries(this.sums),
        queued: this.meta.queued + queue.size - this.slice.queue.length,
      },
      flight,
      docs: [...docs.writes],
      queue: [...queue.writes],
      lingering: [...lingering.writes],
      outcomes: [...outcomes.writes],
      types: this.#types,
    };
  }
}
