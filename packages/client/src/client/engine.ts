/**
 * Carries out steps of the core on a storage, and says what they have changed.
 */

import type { Effect, Slice, Writes } from "../core/draft.js";
import { keyOf, unsentOf, type CoreModel, type Key } from "../core/records.js";
import { need, step, type Event } from "../core/step.js";
import type { Storage } from "../storage/storage.js";

/** What a step has touched. Dead documents are not named: `all` says that any may be. */
export interface Touched {
  readonly all: boolean;
  readonly keys: ReadonlySet<Key>;
  readonly outcomes: boolean;
  /** Whether there is something new to send. */
  readonly queued: boolean;
  /** How the client stands after it. */
  readonly stand?: Stand;
}

/** How a client stands after a step, apart from its documents and outcomes. */
export interface Stand {
  readonly step: number;
  readonly sealed: boolean;
  readonly unsent: number;
  readonly differing: readonly string[] | undefined;
}

export function standOf({ meta, flight }: Pick<Slice, "meta" | "flight">): Stand {
  const { step, sealed, differing } = meta;
  return { step, sealed, unsent: unsentOf(meta, flight), differing: differing ? Object.keys(differing) : undefined };
}

type Listener = (touched: Touched) => void;

/** Another tab leads by now: a step of this one as the leader was not stored. */
export class Deposed extends Error {
  override readonly name = "Deposed";
}

/** An engine whose steps are stored only while its tab leads. */
export interface Led extends Pick<Engine, "model" | "storage" | "do"> {
  readonly term: number;
}

export class Engine {
  readonly #listeners = new Set<Listener>();

  /** `post` takes what each step has touched to the other tabs. */
  constructor(
    readonly model: CoreModel,
    readonly storage: Storage,
    readonly post: Listener = () => undefined,
  ) {}

  /** Raises the term. Returns the engine for the steps of this leader. */
  async lead(): Promise<Led> {
    let term = 0;
    await this.#step({ is: "lead" }, ({ meta }) => {
      term = meta.term + 1;
    });
    const fence = ({ meta }: Slice): void => {
      if (meta.term !== term) throw new Deposed("another tab leads");
    };
    return { term, model: this.model, storage: this.storage, do: (event) => this.#step(event, fence) };
  }

  /** One transaction. Rejects with the core's {@link ClientError}, and with what the storage throws. */
  do(event: Event): Promise<readonly Effect[]> {
    return this.#step(event, () => undefined);
  }

  async #step(event: Event, check: (slice: Slice) => void): Promise<readonly Effect[]> {
    let effects: readonly Effect[] = [];
    let touched: Touched | undefined;
    await this.storage.step(
      (meta, flight) => need(event, meta, flight),
      (slice) => {
        check(slice);
        const made = step(this.model, slice, event);
        effects = made.effects;
        touched = touchedBy(made.writes, slice);
        return made.writes;
      },
      { strict: isStrict(event) },
    );
    if (touched) {
      this.hear(touched);
      this.post(touched);
    }
    return effects;
  }

  /** A step of this tab or of another one has touched something. */
  hear(touched: Touched): void {
    for (const listener of this.#listeners) listener(touched);
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}

/** A lost page or answer comes again. Edits, the flight, client ids and outcomes do not. */
function isStrict(event: Event): boolean {
  switch (event.is) {
    case "begin":
    case "unread":
    case "sweep":
    case "refresh":
      return false;
    case "page":
      return event.page.reset;
    default:
      return true;
  }
}

/** Anything may have changed. */
export const ANYTHING: Touched = { all: true, keys: new Set(), outcomes: true, queued: true };

function touchedBy(writes: Writes, slice: Slice): Touched {
  const { meta: before, flight } = slice;
  const { meta, docs, queue, lingering } = writes;
  const edits = [
    ...queue.map(([n, edit]) => edit ?? slice.queue.find((it) => it.n === n)),
    ...lingering.map(([n, edit]) => edit ?? slice.lingering.find((it) => it.n === n)),
  ];
  const made = edits.filter((edit) => edit !== undefined);
  // What leaves the flight may show otherwise, though its document stays as it is.
  const left = writes.flight === flight ? [] : (flight?.edits ?? []);
  return {
    all:
      meta.sealed !== before.sealed ||
      made.length < edits.length ||
      writes.types.length > 0 ||
      meta.gone !== before.gone ||
      meta.floor !== before.floor,
    keys: new Set([...docs.map(([key]) => key), ...[...made, ...left, ...(writes.flight?.edits ?? [])].map(keyOf)]),
    outcomes: writes.outcomes.length > 0,
    queued: queue.some(([, edit]) => edit !== null),
    stand: standOf(writes),
  };
}
