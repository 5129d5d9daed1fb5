/**
 * What the client needs of a database. A step of the core is one transaction of it.
 */

import type { Need, Slice, Writes } from "../core/draft.js";
import type { Doc, Flight, Meta } from "../core/records.js";

export interface StepOptions {
  /** Whether the step is on disk when the promise resolves. One that repeats itself after a loss need not be. */
  readonly strict: boolean;
}

/** Why a storage was closed from outside. */
export interface Closed {
  readonly code: "OUTDATED" | "REMOVED" | "EVICTED";
  readonly message: string;
}

/** A database of records. Its parts are the core's; an app only passes one on. */
export interface Storage {
  /** Whether what it holds outlasts the process. */
  readonly durable: boolean;
  /** The database's name, if other tabs of the browser can open it. */
  readonly name?: string;
  /**
   * Opens the database, and begins it with this record if it is empty. `closed` hears of it when the database is taken
   * away later.
   */
  open(fresh: Meta, closed?: (why: Closed) => void): Promise<void>;
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
  /** Documents of a type in the order of their ids, after an id; dead ones too. */
  scan(type: string, after: string | null, limit: number): Promise<readonly Doc[]>;
  /** Ends its use. Everything stays. */
  close(): Promise<void>;
  /** Removes all of it. */
  destroy(): Promise<void>;
}
