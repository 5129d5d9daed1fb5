/**
 * The client of Tidegate.
 */

export { add, increment, remove } from "./core/values.js";
export type { Intention } from "./core/values.js";
export type * from "./protocol.js";
