/**
 * What the client needs of a database. A step of the core is one transaction of it.
 */

import type { Need, Slice, Writes } from "../core/draft.js";
import type { Doc, Flight, Meta } from "../core/records.js";
import type { Bound, Index } from "./entries.js";

export interface StepOptions {
  /** Whether the step is on disk when the promise resolves. One that repeats itself after a loss need not be. */
  readonly strict: boolean;
}

/** Why a storage was closed from outside. */
export interface Closed {
  readonly code: "OUTDATED" | "REMOVED" | "EVICTED";
  readonly message: string;
}

/** Documents of an index, with the records of a need, all as of one moment. */
export interface Search {
  readonly need: Need;
  readonly index: Index;
  readonly ranges: readonly (readonly [Bound, Bound])[];
  readonly descending: boolean;
  /** How many documents of each range are probably taken. */
  readonly limit: number;
  /** Gets the records, and returns what takes the documents of each range in order until it wants no more of it. */
  readonly begin: (slice: Slice) => (doc: Doc, range: number) => boolean;
}

/** A database of records. Its parts are the core's; an app only passes one on. */
export interface Storage {
  /** Whether what it holds outlasts the process. */
  readonly durable: boolean;
  /** The database's name, if other tabs of the browser can open it. */
  readonly name?: string;
  /**
   * Opens the database, begins it with this record if it is empty, and keeps these indexes from then on. `closed` hears
   * of it when the database is taken away later.
   */
  open(fresh: Meta, closed?: (why: Closed) => void, indexes?: readonly Index[]): Promise<void>;
  /** The records of a need, as of one moment. */
  read(need: Need): Promise<Slice>;
  /**
   * Reads, decides and writes in one transaction. If `run` throws, nothing is written and the promise rejects with the
   * same error.
   */
  step(
    need: (meta: Meta, flight: Flight | null) => Need,
    run: (slice: Slice) => Writes,
    options: StepOptions,
  ): Promise<void>;
  /** False if it does not keep the index, or does not have all documents in it yet. Then nothing is read. */
  search?(search: Search): Promise<boolean>;
  /** Ends its use. Everything stays. */
  close(): Promise<void>;
  /** Removes all of it. */
  destroy(): Promise<void>;
}
