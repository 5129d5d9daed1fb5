/**
 * The proof of equality: rules 1.18, 2.10 and 2.11. Sums of what the client keeps, changed by difference in the steps that
 * change the documents; and a count of all documents, in parts, that notices what has changed without a step.
 */

import type { Draft } from "./draft.js";
import type { Arrival } from "./pages.js";
import { isAlive, keyOf, own, type Doc } from "./records.js";
import { sha256 } from "./sha256.js";

/** How many documents, and their hashes joined by XOR, in four words. */
export type Sum = readonly number[];

/** Sums by scope and type, which U+0000 joins. */
export type Sums = Readonly<Record<string, Sum>>;

/** Each step copies the sums, so there are no more. A client that would have more stops to count until its next start. */
const SUMS_MAX = 2_000;

/** Counts a document in or out, if it counts: a sweep has looked at it, and the client keeps it after a reset too. */
export function count({ meta, sums }: Draft, doc: Doc, sign: 1 | -1): void {
  const { type, id, scope, v, seen } = doc;
  const isSwept = meta.swept === null || keyOf(doc) <= meta.swept;
  if (!isSwept || seen < meta.no || !isAlive(meta, doc) || sums.size > SUMS_MAX) return;
  const key = `${scope}\u0000${type}`;
  const [number = 0, ...words] = sums.get(key) ?? [];
  const sum = [number + sign, ...joined(words, `${id}\u0000${v}`)];
  if (sum.some((it) => it !== 0)) sums.set(key, sum);
  else sums.delete(key);
}

/** The parts of a key of {@link Sums}. */
export const [SCOPE, TYPE] = [0, 1];

/** Forgets the sums of some scopes, or of some types. */
export function forget({ sums }: Draft, part: number, names: readonly string[]): void {
  if (sums.size > SUMS_MAX) return;
  for (const key of sums.keys()) if (names.includes(key.split("\u0000")[part] ?? "")) sums.delete(key);
}

/** The first four words of a text's hash, joined to others by XOR. */
function joined(words: readonly number[], text: string): readonly number[] {
  return sha256(text)
    .slice(0, 4)
    .map((word, at) => word ^ (words[at] ?? 0));
}

/** The digest of nothing. */
const NOTHING = "0".repeat(32);

/** The digest of each scope of which something is kept (2.10). */
function digestsOf(sums: Draft["sums"]): ReadonlyMap<string, string> {
  const digests = new Map<string, readonly number[]>();
  for (const [key, [number, ...words]] of sums) {
    const [scope = "", type] = key.split("\u0000");
    digests.set(scope, joined(digests.get(scope) ?? [], `${type}\u0000${number}\u0000${hex(words)}`));
  }
  return new Map([...digests].map(([scope, words]) => [scope, hex(words)]));
}

function hex(words: readonly number[]): string {
  return words.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

/**
 * 1.18: compares what it keeps with the digests of a page. A scope that differs is asked for again, once until it is equal
 * or there is nothing of it. An answer that came since the pull began may be ahead of the page, so another pull is compared.
 * Nothing is proven while a scope of which it keeps something has no digest.
 */
export function compare(draft: Draft, { page: { digests }, round }: Arrival): void {
  const { meta } = draft;
  if (!digests || meta.swept !== null || round === null) return;
  if (round <= meta.answered) {
    draft.effects.push({ do: "compare" });
    return;
  }
  if (draft.sums.size > SUMS_MAX) {
    meta.differing = null;
    return;
  }
  const known = meta.differing ?? {};
  const ours = digestsOf(draft.sums);
  const theirs = new Map(digests.map(({ scope, digest }) => [scope, digest]));
  const scopes = [...new Set([...Object.keys(known), ...theirs.keys()])];
  const differing = scopes.filter((scope) => (ours.get(scope) ?? NOTHING) !== (theirs.get(scope) ?? NOTHING));
  const isProven = [...ours.keys()].every((scope) => theirs.has(scope));
  const asks = Object.fromEntries(differing.map((scope) => [scope, own(known, scope) ?? true]));
  meta.differing = isProven || differing.length > 0 ? asks : null;
  if (Object.values(asks).includes(true)) draft.effects.push({ do: "reread" });
}

/**
 * Looks at a part of all documents: deletes the dead ones, and counts the others. When no part is left, all is counted, and
 * revocations say nothing any more.
 */
export function sweep(draft: Draft): void {
  const { meta, docs } = draft;
  if (meta.swept === null) beginSweep(draft);
  const part = docs.all();
  const last = part.at(-1);
  meta.swept = last ? keyOf(last) : null;
  for (const doc of part) {
    if (isAlive(meta, doc)) count(draft, doc, 1);
    else docs.remove(keyOf(doc));
  }
  // From then on pages are compared, and the next one that a pull brings may say that something is lost.
  draft.effects.push({ do: last ? "sweep" : "reread" });
  if (!last) meta.gone = {};
}

/** Nothing is counted yet. */
export function beginSweep({ meta, sums }: Draft): void {
  meta.swept = "";
  sums.clear();
}
