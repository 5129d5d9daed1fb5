/**
 * All documents of a type, dead ones too, in parts that do not hold up a page.
 */

import type { Doc } from "../core/records.js";
import type { Storage } from "./storage.js";

const PART = 500;

export async function* parts(storage: Pick<Storage, "scan">, type: string): AsyncGenerator<readonly Doc[]> {
  let after: string | null = null;
  for (;;) {
    const docs = await storage.scan(type, after, PART);
    yield docs;
    if (docs.length < PART) return;
    after = docs.at(-1)?.id ?? null;
  }
}
