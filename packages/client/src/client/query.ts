/**
 * Queries over documents in view: what fits, in which order. Null and absent are the same, and come first.
 */

import { own } from "../core/records.js";
import { equal } from "../core/values.js";
import type { Body, Value } from "../protocol.js";

/** What has to hold of a field's value. */
export interface Filter {
  readonly eq?: Value;
  readonly ne?: Value;
  readonly in?: readonly Value[];
  readonly lt?: Value;
  readonly lte?: Value;
  readonly gt?: Value;
  readonly gte?: Value;
  readonly startsWith?: string;
  readonly isNull?: boolean;
}

/** All of it holds. */
export interface Where {
  readonly and?: readonly Where[];
  readonly or?: readonly Where[];
  readonly not?: Where;
  readonly [field: string]: Filter | Where | readonly Where[] | undefined;
}

export interface Query {
  readonly where?: Where;
  /** `due_ASC`, `title_DESC`; ties by id. */
  readonly orderBy?: readonly string[];
  readonly limit?: number;
}

/** The documents that a query finds, in its order. */
export function found(documents: readonly Body[], { where, orderBy = [], limit }: Query): readonly Body[] {
  const fitting = where ? documents.filter((it) => fits(it, where)) : [...documents];
  const orders = [...orderBy.map(orderOf), orderOf("id_ASC")];
  const sorted = fitting.sort((a, b) => {
    const decisive = orders.find(({ field }) => compare(own(a, field), own(b, field)) !== 0);
    return decisive ? decisive.sign * compare(own(a, decisive.field), own(b, decisive.field)) : 0;
  });
  return limit === undefined ? sorted : sorted.slice(0, limit);
}

function orderOf(text: string): { field: string; sign: 1 | -1 } {
  const [, field = text, direction] = /^(.*)_(ASC|DESC)$/.exec(text) ?? [];
  return { field, sign: direction === "DESC" ? -1 : 1 };
}

function fits(document: Body, where: Where): boolean {
  return Object.entries(where).every(([name, condition]) => {
    if (condition === undefined) return true;
    if (name === "and") return (condition as readonly Where[]).every((it) => fits(document, it));
    if (name === "or") return (condition as readonly Where[]).some((it) => fits(document, it));
    if (name === "not") return !fits(document, condition as Where);
    return passes(own(document, name) ?? null, condition as Filter);
  });
}

function passes(value: Value, filter: Filter): boolean {
  const { eq, ne, lt, lte, gt, gte, startsWith, isNull } = filter;
  if (eq !== undefined && !equal(value, eq)) return false;
  if (ne !== undefined && equal(value, ne)) return false;
  if (filter.in && !filter.in.some((it) => equal(value, it))) return false;
  if (isNull !== undefined && isNull !== (value === null)) return false;
  if (startsWith !== undefined && !(typeof value === "string" && value.startsWith(startsWith))) return false;
  const within = (bound: Value | undefined, holds: (order: number) => boolean): boolean => {
    return bound === undefined || (value !== null && holds(compare(value, bound)));
  };
  return (
    within(lt, (it) => it < 0) &&
    within(lte, (it) => it <= 0) &&
    within(gt, (it) => it > 0) &&
    within(gte, (it) => it >= 0)
  );
}

function compare(left: Value | undefined, right: Value | undefined): number {
  const [a, b] = [left ?? null, right ?? null];
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  if (typeof a === "string" && typeof b === "string") return byCodePoints(a, b);
  if (typeof a === "object" || typeof b === "object") return byCodePoints(JSON.stringify(a), JSON.stringify(b));
  return Number(a > b) - Number(a < b);
}

/** The order of code points, which is that of the gateway. That of code units differs above U+FFFF. */
function byCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const [left, right] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (left !== right) return rank(left) - rank(right);
  }
  return a.length - b.length;
}

/** Surrogates stand for what is above all other code units. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}
