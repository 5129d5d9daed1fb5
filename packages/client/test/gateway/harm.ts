/**
 * What a disk or another program does to a document of a client, as no step of it does.
 */

import { keyOf, type Doc } from "../../src/core/records.js";
import type { Storage } from "../../src/index.js";

type Harm = (doc: Doc) => Doc | null;

/** How a document may be harmed, so that a digest shows it. */
export const HARMS: Readonly<Record<string, Harm>> = {
  "is lost": () => null,
  "has an older version": (doc) => ({ ...doc, v: doc.v - 1, body: { ...doc.body, title: "old" } }),
  "has a version that never was": (doc) => ({ ...doc, v: 1000, body: { ...doc.body, title: "wrong" } }),
  "is in another scope": (doc) => ({ ...doc, scope: "user:alice" }),
};

/** Changes the document with this id. */
export function harmOne(storage: Storage, id: string, by: Harm): Promise<void> {
  return write(storage, (docs) => docs.find((doc) => doc.id === id), by);
}

/** One of the documents is lost, or goes back to an older version. */
export function harm(storage: Storage, n: number): Promise<void> {
  const by: Harm = (doc) => (n % 2 === 0 || doc.v === 1 ? null : { ...doc, v: doc.v - 1 });
  return write(storage, (docs) => docs[(n >> 1) % Math.max(docs.length, 1)], by);
}

function write(storage: Storage, choose: (docs: readonly Doc[]) => Doc | undefined, by: Harm): Promise<void> {
  return storage.step(
    () => ({ after: "" }),
    ({ meta, flight, docs }) => {
      const doc = choose(docs);
      const written = doc ? [[keyOf(doc), by(doc)] as const] : [];
      return { meta, flight, docs: written, queue: [], lingering: [], outcomes: [], types: [] };
    },
    { strict: true },
  );
}
