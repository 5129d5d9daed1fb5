/**
 * The client of Tidegate.
 */

export { createClient } from "./client/client.js";
export { ClientError } from "./core/errors.js";
export type { ClientErrorCode } from "./core/errors.js";
export type { Live } from "./client/live.js";
export type { PauseOptions } from "./client/pause.js";
export type { Halt, Phase } from "./client/sync.js";
export type * from "./client/types.js";
export type { OutcomeStatus } from "./core/records.js";
export type { Unsent } from "./core/step.js";
export { add, increment, remove } from "./core/values.js";
export type { Increment, Intention, SetChange } from "./core/values.js";
export type { FieldConflict, Policy, Value } from "./protocol.js";
export { indexedDBStorage } from "./storage/indexeddb.js";
export type { Storage } from "./storage/storage.js";
export type { Stream } from "./transport/transport.js";
