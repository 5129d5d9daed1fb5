/**
 * What the user does about an outcome. Nothing leaves the list by itself, except old merges.
 */

import type { Draft } from "./draft.js";
import { edit, type EditOptions, type Intent } from "./edits.js";
import { own } from "./records.js";
import type { Edit, Outcome } from "./records.js";
import { difference } from "./values.js";

/** The outcome has been seen to. */
export function discard(draft: Draft, n: number): void {
  if (draft.outcome(n)) draft.removeOutcome(n);
}

/**
 * Makes the edit of an outcome again, on what is there now, with what was dropped because of it. A create whose id is
 * taken gets a new one.
 *
 * @throws EditError if the view refuses it; the outcome then stays.
 */
export function retry(draft: Draft, n: number, at: string, newId: string): void {
  const outcome = draft.outcome(n);
  if (!outcome) return;
  const dropped = draft.outcomes().filter((it) => it.cause === n);
  const again = [outcome, ...dropped].sort((a, b) => a.n - b.n);
  const taken = outcome.error?.code === "ID_TAKEN" ? outcome.edit : undefined;
  for (const it of again) {
    draft.removeOutcome(it.n);
    edit(draft, [intentOf(draft, it, taken, newId)], options(it, at));
  }
}

function options(outcome: Outcome, at: string): EditOptions {
  const { policy } = outcome.edit;
  return { at, atomic: false, folds: false, ...(policy && { policy }) };
}

/** The edit by what it meant: differences of counters and sets, values of the rest. */
function intentOf(draft: Draft, { edit }: Outcome, taken: Edit | undefined, newId: string): Intent {
  const { op, type } = edit;
  const id = taken?.type === type && taken.id === edit.id ? newId : edit.id;
  if (op === "create") return { op, type, id, document: edit.set };
  if (op === "delete") return { op, type, id };
  const merges = own(draft.model.types, type)?.merges ?? {};
  const changes = Object.entries(edit.set).map(([field, value]) => {
    return [field, difference(own(merges, field), own(edit.base, field), value)] as const;
  });
  return { op, type, id, changes: Object.fromEntries(changes) };
}
