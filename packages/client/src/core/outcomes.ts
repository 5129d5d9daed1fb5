/**
 * What the user does about an outcome. Nothing leaves the list by itself, except old merges.
 */

import type { Draft } from "./draft.js";
import { edit, type Changes, type EditOptions, type Intent } from "./edits.js";
import { keyOf, mergeOf, own } from "./records.js";
import type { Edit, Outcome } from "./records.js";
import { difference, leading, resolve } from "./values.js";

/** An outcome has been seen to. */
export function discard({ outcomes }: Draft, { n }: { readonly n: number }): void {
  if (outcomes.get(n)) outcomes.remove(n);
}

/** How an edit is made again. */
export interface Retry {
  readonly n: number;
  readonly at: string;
  /** For a create whose id is taken. */
  readonly newId: string;
  /** What the user wants instead of the edit, or, of a create, besides. */
  readonly changes?: Changes;
}

/** An outcome with those of its transaction, and with what was dropped because of them. */
export function together(outcomes: readonly Outcome[], n: number): readonly Outcome[] {
  const all = outcomes.filter((it) => it.n === n);
  for (const { n: cause, edit, status } of all) {
    const linked = (it: Outcome): boolean =>
      it.cause === cause || (isOpen(status) && isOpen(it.status) && edit.tx !== undefined && edit.tx === it.edit.tx);
    all.push(...outcomes.filter((it) => linked(it) && !all.includes(it)));
  }
  return all.sort((a, b) => a.n - b.n);
}

/** No part of the edit is in force, as far as is known. */
function isOpen(status: Outcome["status"]): boolean {
  return status !== "MERGED";
}

/**
 * Makes the edit of an outcome again, on what is there now, with its transaction and with what was dropped because of it.
 *
 * @throws ClientError if the view refuses it; the outcomes then stay.
 */
export function retry(draft: Draft, { n, at, newId, changes }: Retry): void {
  const outcome = draft.outcomes.get(n);
  if (!outcome) return;
  const all = together(draft.outcomes.all(), n);
  const taken = all.find((it) => it.error?.code === "ID_TAKEN")?.edit;
  const intents = all.map((it) => {
    draft.outcomes.remove(it.n);
    const id = taken?.type === it.edit.type && taken.id === it.edit.id ? newId : it.edit.id;
    return { it, intent: it.n === n && changes ? edited(draft, it.edit, id, changes) : intentOf(draft, it, id) };
  });
  for (let rest = intents; rest.length > 0;) {
    const [first] = rest;
    const tx = first?.it.edit.tx;
    const group = leading(rest, ({ it }, at) => at === 0 || (tx !== undefined && it.edit.tx === tx));
    rest = rest.slice(group.length);
    const made = group.flatMap(({ intent }) => intent ?? []);
    if (first && made.length > 0) edit(draft, { intents: made, ...options(first.it.edit, at) });
  }
}

function options({ policy, tx }: Edit, at: string): EditOptions {
  return { at, atomic: tx !== undefined, folds: false, ...(policy && { policy }) };
}

/** The edit by what it meant: differences of counters and sets, values of the rest. */
function intentOf(draft: Draft, { edit, status, fields }: Outcome, id: string): Intent | undefined {
  const { op, type } = edit;
  // Of a merged edit only what is not in force is made again. A repeated answer does not say it.
  if (op === "delete") return { op, type, id };
  const merged = status === "MERGED";
  if (op === "create" && !merged) return { op, type, id, document: edit.set };
  const mergeIn = (field: string): string | undefined => mergeOf(draft.model, type, field);
  const settled = (field: string): boolean => {
    const one = fields?.find((it) => it.field === field);
    return merged && (one ? one.taken !== "THEIRS" : mergeIn(field) !== undefined);
  };
  const again = Object.entries(edit.set).filter(([field]) => !settled(field));
  const changes = again.map(([field, value]) => {
    return [field, difference(mergeIn(field), own(edit.base, field), value)] as const;
  });
  return changes.length > 0 ? { op: "update", type, id, changes: Object.fromEntries(changes) } : undefined;
}

/** What the user wants instead: on the document if there is one, or else on the create that did not make it. */
function edited(draft: Draft, { op, type, set }: Edit, id: string, changes: Changes): Intent {
  if (op !== "create" || draft.view(keyOf({ type, id }))) return { op: "update", type, id, changes };
  const values = Object.entries(changes).map(([field, value]) => [field, resolve(value, own(set, field))] as const);
  return { op, type, id, document: { ...set, ...Object.fromEntries(values) } };
}
