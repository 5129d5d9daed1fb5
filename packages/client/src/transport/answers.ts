/**
 * Answers of a gateway, checked where they arrive: a proxy or a captive portal may answer in its place.
 */

import { pick } from "../core/values.js";
import type { Body, InboxConflict, Page, Result, Value } from "../protocol.js";
import { asObject, refusalOf, unreachable, type Viewer } from "./transport.js";

/** The types of a model, with the names that operations give to fields whose own name has several types. */
export type Types = Readonly<Record<string, { readonly aliases: Readonly<Record<string, string>> }>>;

/** The data of an answer. */
export function dataOf(answer: unknown, retryAfter?: number): Readonly<Record<string, Value>> {
  const { data, errors } = asObject(answer) ?? {};
  if (Array.isArray(errors) && errors.length > 0) throw refusalOf(errors, retryAfter);
  return asObject(data) ?? malformed();
}

export function pageOf(value: unknown, types: Types): Page {
  const page = asObject(value) ?? malformed();
  const isPage = typeof page.checkpoint === "string" && typeof page.epoch === "string" && Array.isArray(page.changes);
  if (!isPage || typeof page.hasMore !== "boolean" || !Array.isArray(page.revokedScopes)) return malformed();
  const { changes, ...rest } = page as unknown as Page;
  return { ...rest, changes: changes.map((change) => ({ ...change, document: documentOf(change, types) })) };
}

export function resultsOf(value: unknown, count: number, types: Types): readonly Result[] {
  const { results } = asObject(value) ?? {};
  if (!Array.isArray(results) || results.length !== count) return malformed();
  return (results as unknown as readonly (Result & { readonly type: string })[]).map((result) => {
    return { ...result, document: documentOf(result, types) as Result["document"] };
  });
}

/** A page of the inbox, and where the next one begins. */
export function conflictsOf(
  value: unknown,
  types: Types,
): { readonly conflicts: readonly InboxConflict[]; readonly after: string | null } {
  const { nodes, pageInfo } = asObject(value) ?? {};
  const { hasNextPage, endCursor } = asObject(pageInfo) ?? {};
  if (!Array.isArray(nodes) || typeof hasNextPage !== "boolean") return malformed();
  const conflicts = (nodes as unknown as readonly InboxConflict[]).map((conflict) => {
    const side = (document: Body | null): Body | null => documentOf({ type: conflict.type, document }, types);
    const asked = (document: Body | null): Body | null => {
      const body = side(document);
      return body && pick(body, conflict.fields);
    };
    const { base, mine, theirs, current } = conflict;
    return { ...conflict, base: asked(base), mine: asked(mine), theirs: side(theirs), current: side(current) };
  });
  return { conflicts, after: hasNextPage && typeof endCursor === "string" ? endCursor : null };
}

export function resolvedOf(value: unknown): Pick<Result, "status" | "error"> {
  const result = asObject(asObject(value)?.result);
  return result ? (result as unknown as Result) : malformed();
}

export function viewerOf(value: unknown): Viewer {
  const { id, lastMutationId } = asObject(value) ?? {};
  if (typeof id !== "string") return malformed();
  return { id, lastMutationId: typeof lastMutationId === "number" ? lastMutationId : null };
}

/** A document by the names of its fields. */
function documentOf(from: { readonly type: string; readonly document: Body | null }, types: Types): Body | null {
  if (from.document === null) return null;
  const { __typename, ...body } = from.document;
  const names = types[from.type]?.aliases ?? {};
  return Object.fromEntries(Object.entries(body).map(([name, value]) => [names[name] ?? name, value]));
}

function malformed(): never {
  throw unreachable("the answer is not that of a gateway");
}
