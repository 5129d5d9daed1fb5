/**
 * All documents of a type that a storage has, the dead ones too.
 */

import type { Doc } from "../../src/core/records.js";
import { parts } from "../../src/storage/parts.js";
import type { Storage } from "../../src/storage/storage.js";

export async function documentsOf(storage: Pick<Storage, "read">, type: string): Promise<readonly Doc[]> {
  const all: Doc[] = [];
  for await (const part of parts(storage, type)) all.push(...part);
  return all;
}
