/**
 * React 19: live values as hooks. A component shows the newest value, and listens while it is mounted.
 */

import { useCallback, useMemo, useSyncExternalStore } from "react";
import type { Live } from "../client/live.js";
import type { ClientMethods, CollectionShape, Conflict, OutcomeOf, PendingEdit, Status } from "../client/types.js";

/** The same in each render, so that what depends on it is not computed again. */
const NONE: readonly never[] = [];

/**
 * The newest value of a live value; undefined before the first.
 *
 * A function opens a live value of the component's own: `useLive(() => client.tasks.live({ where }), [client, where])`. It
 * is called again when one of `inputs` changes, as that of `useMemo`, and the value is then undefined until the new one has
 * come. What it throws, such as `INVALID_QUERY`, reaches the nearest error boundary.
 */
export function useLive<T>(live: Live<T>): T | undefined;
export function useLive<T>(open: () => Live<T>, inputs: readonly unknown[]): T | undefined;
export function useLive<T>(given: Live<T> | (() => Live<T>), inputs: readonly unknown[] = [given]): T | undefined {
  const live = useMemo(() => (typeof given === "function" ? given() : given), inputs);
  const subscribe = useCallback((onChange: () => void) => live.subscribe(onChange), [live]);
  const newest = (): T | undefined => live.value;
  return useSyncExternalStore(subscribe, newest, newest);
}

/** How a client stands to its gateway. */
export function useStatus(client: Pick<ClientMethods<never>, "status">): Status {
  const status = useLive(client.status);
  if (!status) throw new TypeError("a client has a status from its start");
  return status;
}

/** The inbox, the oldest conflict first: what waits for a person. */
export function useConflicts<M>(client: Pick<ClientMethods<M>, "conflicts">): readonly Conflict<M>[] {
  return useLive(client.conflicts) ?? NONE;
}

/** The edits that were not simply applied, until the user has seen to them. */
export function useOutcomes<M>(client: Pick<ClientMethods<M>, "outcomes">): readonly OutcomeOf<M>[] {
  return useLive(client.outcomes) ?? NONE;
}

/** The edits of a document that have no answer. */
export function usePending<S extends CollectionShape>(
  collection: { pending(id: string): Live<readonly PendingEdit<S>[]> },
  id: string,
): readonly PendingEdit<S>[] {
  return useLive(() => collection.pending(id), [collection, id]) ?? NONE;
}
