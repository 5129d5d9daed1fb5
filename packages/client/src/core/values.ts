/**
 * Values of fields: when they are equal, and how an edit shows on a document. The gateway alone decides what they become.
 */

import type { Body, Value } from "../protocol.js";
import { own } from "./records.js";

/** Adds to a number, whatever it is by then. */
export interface Increment {
  readonly intent: "increment";
  readonly by: number | string;
}

/** Adds and removes items of a set, whatever else it holds by then. */
export interface SetChange<T = Value> {
  readonly intent: "change";
  readonly add: readonly T[];
  readonly remove: readonly T[];
}

/** A change of a field by what the user means: the difference is applied to whatever is there. */
export type Intention = Increment | SetChange;

const intentions = new WeakSet<object>();

/** Adds to a COUNTER. A Long takes its number as a string. */
export function increment(by: number | string): Increment {
  return mark({ intent: "increment", by });
}

/** Adds items to a SET. */
export function add<T extends Value>(...items: readonly T[]): SetChange<T> {
  return mark({ intent: "change", add: items, remove: [] });
}

/** Removes items from a SET. */
export function remove<T extends Value>(...items: readonly T[]): SetChange<T> {
  return mark({ intent: "change", add: [], remove: items });
}

/** Adds items to a SET and removes others. */
export function change(added: readonly Value[], removed: readonly Value[]): SetChange {
  return mark({ intent: "change", add: added, remove: removed });
}

/** An intention is recognised by its identity: a document may hold an object that looks like one. */
function mark<T extends Intention>(intention: T): T {
  intentions.add(intention);
  return intention;
}

export function isIntention(value: unknown): value is Intention {
  return typeof value === "object" && value !== null && intentions.has(value);
}

/** Whether JSON carries it as it is. Halves of characters are none of a text. */
export function isValue(value: unknown): boolean {
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value === "string") return !/\p{Surrogate}/u.test(value);
  if (typeof value !== "object" || value === null) return value === null || typeof value === "boolean";
  if (Array.isArray(value)) return value.every(isValue);
  return Object.getPrototypeOf(value) === Object.prototype && Object.entries(value).flat().every(isValue);
}

/** The value that an intention makes of the one in view. */
export function resolve(value: Value | Intention, seen: Value | undefined): Value {
  if (!isIntention(value)) return value;
  return value.intent === "increment" ? plus(seen ?? 0, value.by, 1) : joined(items(seen), value.add, value.remove);
}

/** The intention between two values, by which an edit is made again on another document. */
export function difference(merge: string | undefined, base: Value | undefined, value: Value): Value | Intention {
  if (merge === "COUNTER") return increment(plus(value, base ?? 0, -1));
  if (merge === "SET" && value !== null) {
    const [before, after] = [items(base), items(value)];
    return change(without(after, before), without(before, after));
  }
  return value;
}

/** A field in view: an edit of a COUNTER or a SET shows as its difference to what the user saw. */
export function shown(
  merge: string | undefined,
  held: Value | undefined,
  base: Value | undefined,
  value: Value,
): Value {
  return resolve(difference(merge, base, value), held);
}

/** Whether two values say the same. An absent field counts as null, and the order of an object's fields does not count. */
export function equal(a: Value | undefined, b: Value | undefined): boolean {
  const [left, right] = [a ?? null, b ?? null];
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return left === right;
  if (isList(left) || isList(right)) {
    return (
      isList(left) && isList(right) && left.length === right.length && left.every((it, at) => equal(it, right[at]))
    );
  }
  const fields = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...fields].every((field) => equal(own(left, field), own(right, field)));
}

/** The items before the first one for which it does not hold. */
export function leading<T>(items: readonly T[], holds: (item: T, at: number) => boolean): readonly T[] {
  const end = items.findIndex((item, at) => !holds(item, at));
  return end < 0 ? items : items.slice(0, end);
}

/** The values of some fields; an absent one is null. */
export function pick(body: Body, fields: readonly string[]): Body {
  return Object.fromEntries(fields.map((field) => [field, own(body, field) ?? null]));
}

/** Longs are strings, and may be beyond what a number holds. */
function plus(left: Value, right: Value, sign: 1 | -1): number | string {
  const [a, b] = [amount(left), amount(right)];
  if (typeof a === "number" && typeof b === "number") return a + sign * b;
  return (BigInt(a) + BigInt(sign) * BigInt(b)).toString();
}

function amount(value: Value): number | string {
  return typeof value === "number" || typeof value === "string" ? value : 0;
}

/** What stays, in its order, then what is new. */
function joined(held: readonly Value[], added: readonly Value[], removed: readonly Value[]): readonly Value[] {
  const stay = without(held, without(removed, added));
  return [...stay, ...without(added, stay)];
}

function without(some: readonly Value[], others: readonly Value[]): readonly Value[] {
  return some.filter((it) => !others.some((other) => equal(it, other)));
}

function items(value: Value | undefined): readonly Value[] {
  return value !== undefined && isList(value) ? value : [];
}

function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}
