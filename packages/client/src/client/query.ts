/**
 * Queries over documents in view: what fits, in which order. What each of it means is the same with an index and without.
 */

import { own } from "../core/records.js";
import type { Body, Value } from "../protocol.js";
import { compareKey, NULL_KEY, sortKey, type SortKey } from "../storage/entries.js";
import { ClientError } from "../core/errors.js";

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
  /** `due_ASC`, `title_DESC`. Ties are ordered by id, in the direction of the last one. */
  readonly orderBy?: readonly string[];
  readonly limit?: number;
}

export interface Order {
  readonly field: string;
  readonly descending: boolean;
}

/** The scalars of a type's fields, by the model. */
export type Scalars = Readonly<Record<string, string>>;

/** How a value that passes compares with the operand. */
const ORDERS: Readonly<Record<string, readonly number[]>> = {
  eq: [0],
  ne: [-1, 1],
  lt: [-1],
  lte: [-1, 0],
  gt: [1],
  gte: [0, 1],
};

/** A query that has been read, and holds no mistake. */
export class Compiled {
  /** The fields that order it, the id last. */
  readonly orders: readonly Order[];
  readonly limit: number;
  /** The conditions that have to hold, each on one field. Others may have to hold too. */
  readonly conditions: (readonly [field: string, filter: Filter])[] = [];
  readonly fits: (document: Body) => boolean;

  /** @throws ClientError INVALID_QUERY */
  constructor(
    { where = {}, orderBy = [], limit = Infinity }: Query,
    readonly scalars: Scalars,
  ) {
    const orders = orderBy.map(orderOf);
    this.orders = [...orders, { field: "id", descending: orders.at(-1)?.descending ?? false }];
    this.limit = limit;
    this.fits = this.#where(where, true);
  }

  key(document: Body, field: string): SortKey {
    return sortKey(own(document, field), own(this.scalars, field));
  }

  /** The documents of it in order. */
  sorted(documents: readonly Body[]): readonly Body[] {
    const keyed = documents.map((document) => [this.keys(document), document] as const);
    keyed.sort(([a], [b]) => this.compare(a, b));
    return keyed.map(([, document]) => document).slice(0, this.limit);
  }

  /** The ids that it is restricted to, if it is. */
  ids(): readonly string[] | undefined {
    const [, filter] = this.conditions.find(([field, { eq, in: some }]) => field === "id" && (eq ?? some)) ?? [];
    return filter && (filter.in ?? [filter.eq]).map(String);
  }

  /** What a document is ordered by. */
  keys(document: Body): readonly SortKey[] {
    return this.orders.map(({ field }) => this.key(document, field));
  }

  /** Compares by the first `count` orders. */
  compare(a: readonly SortKey[], b: readonly SortKey[], count = Infinity): number {
    for (const [at, { descending }] of this.orders.slice(0, count).entries()) {
      const order = compareKey(a[at] ?? NULL_KEY, b[at] ?? NULL_KEY);
      if (order !== 0) return descending ? -order : order;
    }
    return 0;
  }

  #where(where: Where, top: boolean): (document: Body) => boolean {
    const tests = Object.entries(where).flatMap(([name, condition]) => {
      if (condition === undefined) return [];
      if (name === "and") return (condition as readonly Where[]).map((it) => this.#where(it, top));
      if (name === "or") {
        const some = (condition as readonly Where[]).map((it) => this.#where(it, false));
        return [(document: Body) => some.some((fits) => fits(document))];
      }
      if (name === "not") {
        const fits = this.#where(condition as Where, false);
        return [(document: Body) => !fits(document)];
      }
      if (top) this.conditions.push([name, condition as Filter]);
      return this.#filter(name, condition as Filter);
    });
    return (document) => tests.every((fits) => fits(document));
  }

  #filter(field: string, filter: Filter): ((document: Body) => boolean)[] {
    return Object.entries(filter).map(([operator, operand]: [string, unknown]) => {
      const fits = this.#test(field, operator, operand);
      return (document) => fits(this.key(document, field));
    });
  }

  #test(field: string, operator: string, operand: unknown): (key: SortKey) => boolean {
    const scalar = own(this.scalars, field);
    const keyOf = (value: unknown): SortKey => {
      if (value === undefined || value === null) throw invalid(`${field} ${operator} ${value}`);
      return sortKey(value as Value, scalar);
    };
    if (typeof operand === "boolean" && operator === "isNull") return (key) => (key === NULL_KEY) === operand;
    if (operator === "in") {
      const keys = new Set((operand as readonly unknown[]).map(keyOf));
      return (key) => keys.has(key);
    }
    const bound = keyOf(operand);
    if (operator === "startsWith" && scalar === undefined) {
      return (key) => typeof key === "string" && key.startsWith(bound as string);
    }
    const orders = own(ORDERS, operator);
    if (!orders) throw invalid(`${field} ${operator}`);
    return (key) => orders.includes(compareKey(key, bound)) && (key !== NULL_KEY || operator === "ne");
  }
}

function orderOf(text: string): Order {
  const [, field, direction] = /^(.+)_(ASC|DESC)$/.exec(text) ?? [];
  if (field === undefined) throw invalid(text);
  return { field, descending: direction === "DESC" };
}

function invalid(part: string): ClientError {
  return new ClientError("INVALID_QUERY", `this is no query: ${part}`);
}
