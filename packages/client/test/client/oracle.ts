/**
 * What a query must find: by a plain filter and a plain sort over documents in view, without sort keys.
 */

import type { Filter, Query, Where } from "../../src/client/query.js";
import type { Body, Value } from "../../src/protocol.js";

export function expected(documents: readonly Body[], query: Query, scalars: Readonly<Record<string, string>>): Body[] {
  const orders = (query.orderBy ?? []).map((text) => ({
    field: text.slice(0, text.lastIndexOf("_")),
    sign: text.endsWith("_DESC") ? -1 : 1,
  }));
  const all = [...orders, { field: "id", sign: orders.at(-1)?.sign ?? 1 }];
  return documents
    .filter((it) => holds(it, query.where ?? {}, scalars))
    .sort((a, b) => {
      for (const { field, sign } of all) {
        const order = compare(a[field] ?? null, b[field] ?? null, scalars[field]);
        if (order !== 0) return sign * order;
      }
      return 0;
    })
    .slice(0, query.limit);
}

function holds(document: Body, where: Where, scalars: Readonly<Record<string, string>>): boolean {
  return Object.entries(where).every(([name, condition]) => {
    const each = (list: unknown): boolean[] => (list as Where[]).map((it) => holds(document, it, scalars));
    if (name === "and") return each(condition).every(Boolean);
    if (name === "or") return each(condition).some(Boolean);
    if (name === "not") return !holds(document, condition as Where, scalars);
    return passes(document[name] ?? null, condition as Filter, scalars[name]);
  });
}

function passes(value: Value, filter: Filter, scalar: string | undefined): boolean {
  return Object.entries(filter).every(([operator, operand]: [string, Value]) => {
    const order = (): number => compare(value, operand, scalar);
    switch (operator) {
      case "eq":
        return order() === 0;
      case "ne":
        return order() !== 0;
      case "in":
        return (operand as Value[]).some((it) => compare(value, it, scalar) === 0);
      case "isNull":
        return (value === null) === operand;
      case "startsWith":
        return typeof value === "string" && value.startsWith(operand as string);
      default:
        if (value === null) return false;
        return { lt: order() < 0, lte: order() <= 0, gt: order() > 0, gte: order() >= 0 }[operator] ?? false;
    }
  });
}

function compare(a: Value, b: Value, scalar: string | undefined): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  if (scalar === "DateTime") return new Date(a as string).getTime() - new Date(b as string).getTime();
  if (scalar === "Long" || scalar === "Decimal") {
    const [left, right] = [decimal(a as string), decimal(b as string)];
    return left < right ? -1 : Number(left > right);
  }
  if (typeof a !== "string" || typeof b !== "string") return Number(a) - Number(b);
  const [left, right] = [a, b].map((it) => Array.from(it, (character) => character.codePointAt(0) ?? 0));
  const at = left?.findIndex((point, at) => point !== right?.[at]) ?? -1;
  if (at < 0) return (left?.length ?? 0) - (right?.length ?? 0);
  return (left?.[at] ?? 0) - (right?.[at] ?? -1);
}

/** As a whole number of 10^-100. */
function decimal(text: string | number): bigint {
  const [, sign = "", whole = "", fraction = "", exponent = "0"] =
    /^(-?)(\d*)\.?(\d*)(?:e([+-]?\d+))?$/i.exec(`${text}`) ?? [];
  const digits = BigInt(whole + fraction) * 10n ** BigInt(100 + Number(exponent) - fraction.length);
  return sign === "-" ? -digits : digits;
}
