/**
 * What goes over the wire, as docs/protocol.md names it. Nothing here knows how it is sent.
 */

/** A JSON value. */
export type Value = null | boolean | number | string | readonly Value[] | { readonly [field: string]: Value };

/** The fields of a document, by name. */
export type Body = Readonly<Record<string, Value>>;

/** Who decides about an edit of a document that has changed meanwhile; docs/conflicts.md. */
export type Policy = "SERVER_WINS" | "CLIENT_WINS" | "LAST_WRITE_WINS" | "MERGE" | "MANUAL" | "WEBHOOK";

/** One change of a page. */
export interface Change {
  readonly type: string;
  readonly documentId: string;
  readonly kind: "UPSERT" | "DELETE" | "REVOKE";
  readonly version: number;
  readonly scope: string;
  readonly document: Body | null;
}

/** What `changesSince` and `changes` answer. */
export interface Page {
  readonly changes: readonly Change[];
  readonly checkpoint: string;
  readonly hasMore: boolean;
  readonly reset: boolean;
  readonly revokedScopes: readonly string[];
  readonly epoch: string;
  readonly serverTime?: string;
  /** What is live in each scope, at the end of a catch-up; null or absent where the gateway does not say it. */
  readonly digests?: readonly ScopeDigest[] | null;
}

/** The digest of what is live in a scope (rules.md 2.10). */
export interface ScopeDigest {
  readonly scope: string;
  readonly digest: string;
}

/** A document as an outcome shows it, beside its own fields. */
export type SyncedBody = Body & { readonly syncVersion: number; readonly syncScope: string };

/** How a field of a merged or refused change was settled. */
export interface FieldConflict {
  readonly field: string;
  readonly base: Value;
  readonly mine: Value;
  readonly theirs: Value;
  readonly result: Value;
  readonly taken: string;
  readonly rule: string;
}

/** What became of one change of a push. */
export interface Result {
  readonly status: "APPLIED" | "MERGED" | "CONFLICT" | "REJECTED";
  readonly version: number | null;
  readonly document: SyncedBody | null;
  readonly conflict?: { readonly conflictId: string | null; readonly fields: readonly FieldConflict[] } | null;
  readonly error?: { readonly code: string; readonly message: string; readonly field: string | null } | null;
}

/** A change that waits for a person, as the inbox shows it. */
export interface InboxConflict {
  readonly id: string;
  readonly type: string;
  readonly documentId: string;
  readonly openedAt: string;
  readonly openedBy: string;
  readonly currentVersion: number;
  readonly fields: readonly string[];
  readonly base: Body | null;
  readonly mine: Body | null;
  readonly theirs: Body | null;
  readonly current: Body | null;
}

/** What names a push: its client, and the mutation id of its first change. */
export interface PushId {
  readonly id: string;
  readonly firstMutationId: number;
}

/** The input of `pushChanges`. */
export interface PushInput {
  readonly client: PushId;
  readonly epoch: string;
  readonly atomic?: true;
  readonly policy?: Policy;
  readonly changes: readonly Body[];
}

/** A failure with a stable code, docs/errors.md. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly extensions: Readonly<Record<string, Value>>;
}
