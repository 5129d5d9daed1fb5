/**
 * A step while it is made: the slice that was read, with the writes on top. It decides nothing.
 */

import type { Body } from "../protocol.js";
import { isAlive, keyText } from "./records.js";
import type { CoreModel, Doc, Edit, Flight, Key, Lingering, Meta, Outcome } from "./records.js";
import { view } from "./view.js";

/** The records that a step reads, beside `meta` and `flight`. */
export interface Need {
  readonly docs?: readonly Key[];
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
  lingering: readonly Edit[],
): readonly Key[] {
  const edits = [...queue, ...lingering, ...(flight?.edits ?? [])].filter(({ type }) => type === edited);
  return [...docs, ...[...edits, ...(docsOfQueue ? queue : [])].map(({ type, id }) => [type, id] as const)];
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

/** What a step writes: a record by its key, or null where it is removed. */
export interface Writes {
  readonly meta: Meta;
  readonly flight: Flight | null;
  readonly docs: readonly (readonly [Key, Doc | null])[];
  readonly queue: readonly (readonly [number, Edit | null])[];
  readonly lingering: readonly (readonly [number, Lingering | null])[];
  readonly outcomes: readonly (readonly [number, Outcome | null])[];
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
    }
  | { readonly do: "push"; readonly flight: Flight }
  /** `viewer(clientId: …) { lastMutationId }`. */
  | { readonly do: "ask"; readonly client: string; readonly question: number }
  /** A new pull has to read the store. */
  | { readonly do: "reread" }
  /** The same request again, after a pause of at least so many seconds. */
  | { readonly do: "again"; readonly after: number }
  | { readonly do: "token" }
  | { readonly do: "halt"; readonly code: string; readonly message: string };

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class Draft {
  readonly meta: Mutable<Meta>;
  flight: Flight | null;
  /** What the shell does after this step. */
  readonly effects: Effect[] = [];
  readonly #docs: Map<string, Doc>;
  readonly #queue: Map<number, Edit>;
  /** The queue by number, until it changes. */
  #sorted: readonly Edit[] | undefined;
  #lingering: readonly Lingering[];
  readonly #outcomes: Map<number, Outcome>;
  readonly #putDocs = new Map<string, readonly [Key, Doc | null]>();
  readonly #putQueue = new Map<number, Edit | null>();
  readonly #putLingering = new Map<number, Lingering | null>();
  readonly #putOutcomes = new Map<number, Outcome | null>();
  readonly #types: string[] = [];

  constructor(
    readonly model: CoreModel,
    slice: Slice,
  ) {
    this.meta = { ...slice.meta, step: slice.meta.step + 1 };
    this.flight = slice.flight;
    this.#docs = new Map(slice.docs.map((doc) => [keyText(doc.type, doc.id), doc]));
    this.#queue = new Map(slice.queue.map((edit) => [edit.n, edit]));
    this.#lingering = slice.lingering;
    this.#outcomes = new Map(slice.outcomes.map((outcome) => [outcome.n, outcome]));
  }

  /** A document, unless it is dead. */
  doc(type: string, id: string): Doc | undefined {
    const doc = this.#docs.get(keyText(type, id));
    return doc && isAlive(this.meta, doc) ? doc : undefined;
  }

  /** All documents that were read, the dead ones too. */
  docs(): readonly Doc[] {
    return [...this.#docs.values()];
  }

  putDoc(doc: Doc): void {
    const key = keyText(doc.type, doc.id);
    this.#docs.set(key, doc);
    this.#putDocs.set(key, [[doc.type, doc.id], doc]);
  }

  removeDoc(type: string, id: string): void {
    const key = keyText(type, id);
    this.#docs.delete(key);
    this.#putDocs.set(key, [[type, id], null]);
  }

  removeType(type: string): void {
    this.#types.push(type);
    for (const doc of this.docs()) if (doc.type === type) this.removeDoc(doc.type, doc.id);
  }

  /** The queued edits, by number. */
  queue(): readonly Edit[] {
    this.#sorted ??= [...this.#queue.values()].sort((a, b) => a.n - b.n);
    return this.#sorted;
  }

  putEdit(edit: Edit): void {
    if (!this.#queue.has(edit.n)) this.meta.queued += 1;
    this.#queue.set(edit.n, edit);
    this.#sorted = undefined;
    this.#putQueue.set(edit.n, edit);
  }

  takeEdit(n: number): void {
    this.#queue.delete(n);
    this.#sorted = undefined;
    this.#putQueue.set(n, null);
    this.meta.queued -= 1;
  }

  lingering(): readonly Lingering[] {
    return this.#lingering;
  }

  linger(edit: Lingering): void {
    this.#lingering = [...this.#lingering, edit];
    this.#putLingering.set(edit.n, edit);
  }

  endLingering(n: number): void {
    this.#lingering = this.#lingering.filter((it) => it.n !== n);
    this.#putLingering.set(n, null);
  }

  outcome(n: number): Outcome | undefined {
    return this.#outcomes.get(n);
  }

  outcomes(): readonly Outcome[] {
    return [...this.#outcomes.values()];
  }

  putOutcome(outcome: Outcome): void {
    this.#outcomes.set(outcome.n, outcome);
    this.#putOutcomes.set(outcome.n, outcome);
  }

  removeOutcome(n: number): void {
    this.#outcomes.delete(n);
    this.#putOutcomes.set(n, null);
  }

  /** The edits without an answer, in their order. */
  unanswered(): readonly Edit[] {
    return [...(this.flight?.edits ?? []), ...this.queue()];
  }

  /** The edits on top of a document, in their order. */
  editsOf(type: string, id: string): readonly Edit[] {
    return [...this.#lingering, ...this.unanswered()].filter((edit) => edit.type === type && edit.id === id);
  }

  view(type: string, id: string): Body | undefined {
    return this.viewAt(type, id, Infinity);
  }

  /** The view with no queued edits after this number. */
  viewAt(type: string, id: string, n: number): Body | undefined {
    const edits = this.editsOf(type, id).filter((edit) => edit.n <= n);
    return view(this.model, this.doc(type, id)?.body, edits);
  }

  writes(): Writes {
    return {
      meta: this.meta,
      flight: this.flight,
      docs: [...this.#putDocs.values()],
      queue: [...this.#putQueue],
      lingering: [...this.#putLingering],
      outcomes: [...this.#putOutcomes],
      types: this.#types,
    };
  }
}
