/**
 * What the adapters see of a client beside its API. It is no part of the API.
 */

import type { EditOptions as CoreOptions, Intent } from "../core/edits.js";
import type { Body } from "../protocol.js";
import type { Engine } from "./engine.js";
import type { Live } from "./live.js";
import type { Query } from "./query.js";
import type { EditOptions, ModelValue } from "./types.js";

/** @internal */
export const INSIDE: unique symbol = Symbol("inside");

/**
 * A client as its adapters see it.
 *
 * @internal
 */
export interface Inside {
  readonly model: ModelValue;
  readonly engine: Pick<Engine, "storage" | "listen" | "hear">;
  /** When the storage can be read. */
  readonly opened: Promise<void>;
  /** Whether the client was closed, or its user has signed out. */
  isClosed(): boolean;
  /** Whether what is stored is another user's, or not yet known to be this one's. */
  hides(): boolean;
  get(type: string, id: string): Promise<Body | undefined>;
  live(type: string, query: Query): Live<readonly Body[]>;
  /** Edits in one step, with notes that are stored in the place of those before. */
  edit(intents: readonly Intent[], options?: EditOptions & Pick<CoreOptions, "notes">): Promise<void>;
}

/** A client of any model. */
export interface AnyClient {
  /** @internal */
  readonly [INSIDE]: Inside;
}
