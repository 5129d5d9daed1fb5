/**
 * The states of RxDB's documents that the client knows: what it has given, and what the app made of it and is an edit.
 *
 * RxDB names the state that a write began with only after it has noted that state, and notes it after it shows it. A write
 * in between would seem to have made what others have made.
 */

import { LOCAL, type RxDoc } from "./rows.js";

/** How many states of a document are known. One is given with each change of others until RxDB is at rest. */
const STATES_MAX = 8;

export class Lineage {
  readonly #states = new Map<string, readonly RxDoc[]>();

  /** A state given, or in the place of the one that it was made of, one that is an edit. */
  know(state: RxDoc): void {
    const id = state.id as string;
    const others = (this.#states.get(id) ?? []).filter((it) => it[LOCAL] !== state[LOCAL]);
    this.#states.set(id, [...others, state].slice(-STATES_MAX));
  }

  /** What the app has made this state of. The number of {@link LOCAL} stays what it was when the client gave it. */
  originOf(state: RxDoc): RxDoc | undefined {
    return this.#states.get(state.id as string)?.find((it) => it[LOCAL] === state[LOCAL]);
  }

  /** RxDB has noted what it shows of all documents but these. */
  forget(but: ReadonlyMap<string, unknown>): void {
    for (const id of this.#states.keys()) if (!but.has(id)) this.#states.delete(id);
  }
}
