// Values of fields: what an edit means by them, and how it shows on a document. The gateway alone decides what they become.
// An intention is one of `{set}`, `{increment}`, `{add}` and `{remove}`, or both of the last two.

/** The value that an intention makes of the one in view. */
export function intended({ set, increment, add, remove }, seen) {
  if (increment !== undefined) return plus(seen ?? 0, increment, 1);
  if (!add && !remove) return set ?? null;
  const removed = without(remove ?? [], add ?? []);
  const stay = without(seen ?? [], removed);
  return [...stay, ...without(add ?? [], stay)];
}

/** The intention between two values, by which an edit shows on another document (1.8). */
export function difference(merge, base, value) {
  if (merge === "COUNTER") return { increment: plus(value ?? 0, base ?? 0, -1) };
  if (merge !== "SET" || value === null) return { set: value };
  return { add: without(value, base ?? []), remove: without(base ?? [], value) };
}

/** The values of some fields; an absent one is null. */
export function pick(body, fields) {
  return Object.fromEntries(fields.map((field) => [field, body?.[field] ?? null]));
}

/** An absent value counts as null, and the order of an object's fields does not count. */
export function equal(a = null, b = null) {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((key) => equal(a[key], b[key]));
}

/** A Long is a text, and may be beyond what a number holds. */
function plus(left, right, sign) {
  if (typeof left === "number" && typeof right === "number") return left + sign * right;
  return (BigInt(left) + BigInt(sign) * BigInt(right)).toString();
}

function without(some, others) {
  return some.filter((it) => !others.some((other) => equal(it, other)));
}
