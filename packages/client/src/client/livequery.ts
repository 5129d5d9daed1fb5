/**
 * A query that is run again when its result may be another one. It says what it finds; how it finds it is in `find`.
 */

import { keyOf } from "../core/records.js";
import type { Body } from "../protocol.js";
import type { Touched } from "./engine.js";
import type { Finder } from "./find.js";
import { LiveValue, recomputed, type Live } from "./live.js";

/** Runs are at least a frame apart: a page shows no more than one of them. */
const FRAME_MS = 16;

/** More changed documents are not looked at one by one. */
const CHANGES_MAX = 50;

export interface LiveQueryOptions {
  readonly finder: Finder;
  /** When the storage can be read. */
  readonly opened: Promise<void>;
  /** Whether nothing is shown: what is stored is another user's. */
  readonly hides: () => boolean;
  /** What steps touch. */
  readonly listen: (listener: (touched: Touched) => void) => () => void;
}

export function liveQuery({ finder, opened, hides, listen }: LiveQueryOptions): Live<readonly Body[]> {
  return new LiveValue((live) => {
    let found: readonly Body[] | undefined;
    /** The documents that were touched since the last run; undefined if it may be any. */
    let touched: Set<string> | undefined;
    let ended = false;
    const run = async (): Promise<void> => {
      const changed = touched;
      touched = new Set();
      if (!found || !changed || (await concerns(finder, found, changed))) {
        found = hides() ? [] : await finder.find();
        if (!ended) live.set(found);
      }
      await new Promise((resolve) => setTimeout(resolve, FRAME_MS));
    };
    const again = recomputed(run, () => undefined);
    opened.then(again, () => undefined);
    const prefix = keyOf({ type: finder.type, id: "" });
    const unlisten = listen(({ all, keys }) => {
      if (all) touched = undefined;
      else for (const key of keys) if (key.startsWith(prefix)) touched?.add(key.slice(prefix.length));
      if (touched?.size !== 0) again();
    });
    return () => {
      ended = true;
      unlisten();
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
