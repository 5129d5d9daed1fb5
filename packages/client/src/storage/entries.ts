/**
 * Entries of indexes: keys that IndexedDB orders as the model orders values (docs/model.md, `@index`).
 */

import { own } from "../core/records.js";
import type { Body, Value } from "../protocol.js";

/** An `@index` of a type: its fields, each with its scalar if that is a text in JSON and not ordered as one, else "". */
export interface Index {
  readonly type: string;
  readonly fields: readonly (readonly [name: string, scalar: string])[];
}

/** What a value is ordered by. Numbers come before strings. */
export type SortKey = number | string;

/** Null and absent are the same, and come first. */
export const NULL_KEY = -Infinity;

/** The part of a bound that comes behind all that an entry can have in its place. */
export const BEHIND = [] as const;

/** A place between entries: the beginning of some, and perhaps {@link BEHIND}. */
export type Bound = readonly (SortKey | typeof BEHIND)[];

export function sortKey(value: Value | undefined, scalar?: string): SortKey {
  if (value === undefined || value === null) return NULL_KEY;
  // What is no instant has been edited on this device, and the gateway refuses it.
  if (scalar === "DateTime") return new Date(value as string).getTime() || 0;
  if (scalar) return ofNumber(value as string);
  return typeof value === "string" ? ofText(value) : Number(value);
}

/** IndexedDB orders by code units. Surrogates stand for what is above all other code units, so they change places. */
function ofText(text: string): string {
  return text.replace(/[\ud800-\uffff]/g, (it) => {
    const unit = it.charCodeAt(0);
    return String.fromCharCode(unit < 0xe000 ? unit + 0x2000 : unit - 0x800);
  });
}

/** A Long or a Decimal as a text: its sign, its magnitude in five digits, its digits. Those of a negative one count down. */
function ofNumber(text: string): string {
  const [, sign, whole = "", fraction = "", exponent = "0"] =
    /^([+-]?)(\d*)\.?(\d*)(?:e([+-]?\d+))?$/i.exec(text) ?? [];
  const digits = (whole + fraction).replace(/^0+/, "");
  if (digits === "") return "1";
  const magnitude = digits.length - fraction.length + Number(exponent) + 10_000;
  const size = `${magnitude}`.padStart(5, "0") + digits.replace(/0+$/, "");
  return sign === "-" ? `0${size.replace(/\d/g, (it) => `${9 - Number(it)}`)}~` : `2${size}`;
}

export function compareKey(left: SortKey, right: SortKey): number {
  if (left === right) return 0;
  if (typeof left !== typeof right) return typeof left === "number" ? -1 : 1;
  return left < right ? -1 : 1;
}

/** The name of an index. Another list of fields, and another scalar, is another index. */
export function nameOf({ type, fields }: Index): string {
  return JSON.stringify([type, ...fields]);
}

/** Where a document stands in an index. */
export function entryOf(index: Index, id: string, body: Body): readonly SortKey[] {
  const keys = index.fields.map(([name, scalar]) => sortKey(own(body, name), scalar));
  return [nameOf(index), ...keys, sortKey(id)];
}
