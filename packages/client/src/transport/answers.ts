/**
 * Answers of a gateway, checked where they arrive: a proxy or a captive portal may answer in its place.
 */

import { own } from "../core/records.js";
import { pick } from "../core/values.js";
import type { Body, InboxConflict, Page, Result } from "../protocol.js";
import { asObject, malformed, refusalOf, type Viewer } from "./transport.js";

/** The types of a model, with the names that operations give to fields whose own name has several types. */
export type Types = Readonly<Record<string, { readonly aliases: Readonly<Record<string, string>> }>>;

/** The data of an answer. */
export function dataOf(answer: unknown, retryAfter?: number): Body {
  const { errors } = asObject(answer) ?? {};
  if (Array.isArray(errors) && errors.length > 0) throw refusalOf(errors, retryAfter);
  return (shaped(answer, { data: "object" }) as { readonly data: Body }).data;
}

export function pageOf(value: unknown, types: Types): Page {
  const page = shaped(value, {
    checkpoint: "string",
    epoch: "string",
    hasMore: "boolean",
    changes: "object",
    revokedScopes: "object",
  }) as Page;
  return { ...page, changes: page.changes.map((change) => ({ ...change, document: documentOf(change, types) })) };
}

export function resultsOf(value: unknown, count: number, types: Types): readonly Result[] {
  type Typed = Result & { readonly type: string };
  const { results } = shaped(value, { results: "object" }) as { readonly results: readonly Typed[] };
  if (results.length !== count) throw malformed();
  return results.map((result) => ({ ...result, document: documentOf(result, types) as Result["document"] }));
}

interface Inbox {
  readonly nodes: readonly InboxConflict[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

/** A page of the inbox, and where the next one begins. */
export function conflictsOf(
  value: unknown,
  types: Types,
): { readonly conflicts: readonly InboxConflict[]; readonly after: string | null } {
  const { nodes, pageInfo } = shaped(value, { nodes: "object", pageInfo: "object" }) as Inbox;
  const conflicts = nodes.map((conflict) => {
    const side = (document: Body | null): Body | null => documentOf({ type: conflict.type, document }, types);
    const asked = (document: Body | null): Body | null => {
      const body = side(document);
      return body && pick(body, conflict.fields);
    };
    const { base, mine, theirs, current } = conflict;
    return { ...conflict, base: asked(base), mine: asked(mine), theirs: side(theirs), current: side(current) };
  });
  return { conflicts, after: pageInfo.hasNextPage ? pageInfo.endCursor : null };
}

export function resolvedOf(value: unknown): Pick<Result, "status" | "error"> {
  return (shaped(value, { result: "object" }) as { readonly result: Result }).result;
}

export function viewerOf(value: unknown): Viewer {
  return shaped(value, { id: "string" }) as Viewer;
}

/** An object with members of these types, none of which is null. */
function shaped(value: unknown, shape: Readonly<Record<string, string>>): unknown {
  const object = asObject(value) ?? {};
  if (Object.entries(shape).some(([name, type]) => typeof (object[name] ?? undefined) !== type)) throw malformed();
  return object;
}

/** A document by the names of its fields. */
function documentOf(from: { readonly type: string; readonly document: Body | null }, types: Types): Body | null {
  if (from.document === null) return null;
  const { __typename, ...body } = from.document;
  const names = types[from.type]?.aliases ?? {};
  return Object.fromEntries(Object.entries(body).map(([name, value]) => [own(names, name) ?? name, value]));
}
