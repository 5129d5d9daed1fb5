/**
 * Carries out steps of the core on a storage, and says what they have changed.
 */

import type { Effect, Slice } from "../core/draft.js";
import { keyOf, unsentOf, type CoreModel, type Key } from "../core/records.js";
import { need, step, type Event, type Step } from "../core/step.js";
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
export class Deposed extends Error {}

export class Engine {
  readonly #listeners = new Set<Listener>();

  /** `post` takes what each step has touched to the other tabs. */
  constructor(
    readonly model: CoreModel,
    readonly storage: Storage,
    readonly post: Listener = () => undefined,
  ) {}

  /** Makes this tab the leader, of a new term. */
  async lead(): Promise<number> {
    const { writes } = await this.#step({ is: "lead" });
    return writes.meta.term;
  }

  /**
   * One transaction. Rejects with the core's {@link ClientError}, and with what the storage throws. The step of a leader is
   * not stored, and rejects with {@link Deposed}, when its term is over.
   */
  async do(event: Event, term?: number): Promise<readonly Effect[]> {
    const { effects } = await this.#step(event, term);
    return effects;
  }

  async #step(event: Event, term?: number): Promise<Step> {
    let made: readonly [Step, Touched] | undefined;
    await this.storage.step(
      (meta, flight) => need(event, meta, flight),
      (slice) => {
        if (term !== undefined && slice.meta.term !== term) throw new Deposed();
        const it = step(this.model, slice, event);
        made = [it, touchedBy(it, slice)];
        return it.writes;
      },
      { strict: isStrict(event) },
    );
    const [it, touched] = made as unknown as readonly [Step, Touched];
    this.hear(touched);
    this.post(touched);
    return it;
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

function touchedBy({ writes, touched }: Step, { meta: before, flight }: Slice): Touched {
  const { meta, types, outcomes, queue } = writes;
  // What leaves the flight may show otherwise, though its document stays as it is.
  const left = writes.flight === flight ? [] : (flight?.edits ?? []);
  return {
    all: meta.sealed !== before.sealed || types.length > 0 || meta.gone !== before.gone || meta.floor !== before.floor,
    keys: new Set([...touched, ...left.map(keyOf)]),
    outcomes: outcomes.length > 0,
    queued: queue.some(([, edit]) => edit !== null),
    stand: standOf(writes),
  };
}
