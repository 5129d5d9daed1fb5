/**
 * Which index serves a query, and which ranges of it. The query's own conditions sort out what else the ranges hold.
 */

import { own } from "../core/records.js";
import { BEHIND, nameOf, NULL_KEY, sortKey, type Bound, type Index, type SortKey } from "../storage/entries.js";
import type { Compiled, Filter } from "./query.js";

/** The most ranges that a query reads. */
const RANGES_MAX = 200;

/** How an index is read for a query. */
export interface Plan {
  readonly index: Index;
  readonly ranges: readonly (readonly [Bound, Bound])[];
  readonly descending: boolean;
  readonly limit: number;
  /** How many of the query's orders each range is in, from the first one. */
  readonly ordered: number;
  /** How much it helps. */
  readonly score: number;
}

/** What a field may be: some values, or what is between two bounds. */
interface Span {
  readonly points: readonly SortKey[] | undefined;
  readonly from: Bound;
  readonly to: Bound;
}

/** The best index for a query, if one helps. */
export function planOf(query: Compiled, indexes: readonly Index[]): Plan | undefined {
  const plans = indexes.map((index) => planBy(query, spansOf(query), index));
  return plans.filter(({ score }) => score > 0).sort((a, b) => b.score - a.score)[0];
}

/** Points of the first fields, then the span of the next one. */
function planBy(query: Compiled, spans: ReadonlyMap<string, Span>, index: Index): Plan {
  const names = index.fields.map(([name]) => name);
  let prefixes: Bound[] = [[nameOf(index)]];
  let pinned = 0;
  for (const name of names) {
    const points = spans.get(name)?.points;
    if (!points || points.length * prefixes.length > RANGES_MAX) break;
    prefixes = prefixes.flatMap((prefix) => points.map((point) => [...prefix, point]));
    pinned += 1;
  }
  const { from, to } = spans.get(names[pinned] ?? "") ?? ANYTHING;
  const order = orderBy(query, names.slice(0, pinned), [...names.slice(pinned), "id"]);
  const narrows = from.length > 0 || to[0] !== BEHIND;
  const stops = query.limit !== Infinity && order.ordered > 0;
  const exact = order.ordered === query.orders.length;
  return {
    index,
    ranges: prefixes.map((prefix) => [
      [...prefix, ...from],
      [...prefix, ...to],
    ]),
    ...order,
    limit: query.limit,
    score: 4 * pinned + (narrows ? 2 : 0) + (stops ? (exact ? 3 : 1) : 0),
  };
}

/** The orders that a range is in: of fields that have one value there, and of the next ones in one direction. */
function orderBy(
  { orders }: Compiled,
  pinned: readonly string[],
  next: readonly string[],
): Pick<Plan, "descending" | "ordered"> {
  const rest = orders.filter(({ field }) => !pinned.includes(field));
  const descending = rest[0]?.descending ?? false;
  const other = rest.find((order, at) => order.field !== next[at] || order.descending !== descending);
  return { descending, ordered: other ? orders.indexOf(other) : orders.length };
}

const ANYTHING: Span = { points: undefined, from: [], to: [BEHIND] };

function spansOf({ conditions, scalars }: Compiled): ReadonlyMap<string, Span> {
  const filters = new Map<string, Filter>();
  for (const [field, filter] of conditions) filters.set(field, { ...filters.get(field), ...filter });
  return new Map([...filters].map(([field, filter]) => [field, spanOf(filter, own(scalars, field))]));
}

function spanOf({ eq, in: some, lt, lte, gt, gte, startsWith, isNull }: Filter, scalar?: string): Span {
  const key = (value: Filter["eq"]): SortKey => sortKey(value, scalar);
  const from = gt ?? gte ?? startsWith;
  const to = lt ?? lte;
  const points = eq === undefined ? (some ?? (isNull === true ? [null] : undefined)) : [eq];
  // Nothing that is compared is null.
  const lowest = to !== undefined || isNull === false ? [NULL_KEY, BEHIND] : [];
  // U+FFFF stands for the last half of a pair, with which nothing begins.
  const highest = startsWith === undefined ? [BEHIND] : [`${key(startsWith)}\uffff`];
  return {
    points: points && [...new Set(points.map(key))],
    from: from === undefined ? lowest : gt === undefined ? [key(from)] : [key(gt), BEHIND],
    to: to === undefined ? highest : lt === undefined ? [key(to), BEHIND] : [key(lt)],
  };
}
