/**
 * All documents of a type, dead ones too, in parts that do not hold up a page.
 */

import { keyOf, type Doc } from "../core/records.js";
import type { Storage } from "./storage.js";

/** How many documents a part has, unless it is the last one. */
export const PART = 500;

export async function* parts(storage: Pick<Storage, "read">, type: string): AsyncGenerator<readonly Doc[]> {
  for (let after = keyOf({ type, id: "" }); ;) {
    const { docs } = await storage.read({ after });
    const own = docs.filter((doc) => doc.type === type);
    yield own;
    const last = own.at(-1);
    if (!last || own.length < PART) return;
    after = keyOf(last);
  }
}
