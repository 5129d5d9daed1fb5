/**
 * A query that is run again when its result may be another one. It says what it finds; how it finds it is in `find`.
 */

import { keyOf } from "../core/records.js";
import type { Body } from "../protocol.js";
import type { Finder } from "./find.js";
import { computed, type Live, type Source } from "./live.js";

/** More changed documents are not looked at one by one. */
const CHANGES_MAX = 50;

export function liveQuery(finder: Finder, source: Source): Live<readonly Body[]> {
  const prefix = keyOf({ type: finder.type, id: "" });
  return computed(source, () => {
    let found: readonly Body[] | undefined;
    /** The documents that were touched since the last run; undefined if it may be any. */
    let touched: Set<string> | undefined;
    return {
      depends: ({ all, keys }) => {
        if (all) touched = undefined;
        else for (const key of keys) if (key.startsWith(prefix)) touched?.add(key.slice(prefix.length));
        return touched?.size !== 0;
      },
      compute: async () => {
        const changed = touched;
        touched = new Set();
        if (found && changed && !(await concerns(finder, found, changed))) return undefined;
        return (found = await finder.find());
      },
    };
  });
}

/** Whether what was found, or what comes before the last of it, may have changed. */
async function concerns(finder: Finder, found: readonly Body[], changed: ReadonlySet<string>): Promise<boolean> {
  if (changed.size > CHANGES_MAX || found.some(({ id }) => changed.has(id as string))) return true;
  const { query } = finder;
  const fitting = await finder.among([...changed]);
  const last = found.at(-1);
  if (!last || found.length < query.limit) return fitting.length > 0;
  return fitting.some((document) => query.compare(query.keys(document), query.keys(last)) < 0);
}
