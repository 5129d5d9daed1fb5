/**
 * Outcomes and pending edits as an application sees them.
 */

import type { Changes } from "../core/edits.js";
import { together } from "../core/outcomes.js";
import { keyOf, type Edit, type Outcome } from "../core/records.js";
import type { Event } from "../core/step.js";
import type { Body } from "../protocol.js";
import { newId } from "./ids.js";
import type { CollectionShape, OutcomeIn, PendingEdit } from "./types.js";

/** One outcome of a list, with what its user can do about it. */
export function outcomeOf(
  outcome: Outcome,
  all: readonly Outcome[],
  act: (event: Event) => Promise<void>,
): OutcomeIn<CollectionShape> {
  const { n, edit, status, theirs, ...rest } = outcome;
  const again = (changes?: Changes): Promise<void> => {
    const id = newId();
    const keys = together(all, n).flatMap(({ edit }) => [keyOf(edit), keyOf({ ...edit, id })]);
    return act({ is: "retry", n, keys, at: new Date().toISOString(), newId: id, ...(changes && { changes }) });
  };
  return {
    ...pendingOf(edit),
    ...rest,
    status,
    theirs,
    retry: () => again(),
    edit: (changes) => again(changes),
    discard: () => act({ is: "discard", n }),
  };
}

export function pendingOf({ n, type, id, op, set, base, at }: Edit): PendingEdit & { readonly mine: Body } {
  return { n, type, id, op, mine: set, base, at };
}
