/**
 * What a client keeps (rules.md, section 1), as records of a store. A record is never altered: a step writes another one.
 */

import type { Body, FieldConflict, Policy, PushId, Refusal, Value } from "../protocol.js";
import type { Sums } from "./digests.js";

/** One text for a document's type and id, by {@link keyOf}. */
export type Key = string;

/** The one record about the client itself. */
export interface Meta {
  /** The user whose documents these are; null until the gateway has named one. */
  readonly user: string | null;
  readonly client: string;
  /** The next mutation id. */
  readonly next: number;
  /** The number of the next edit. */
  readonly n: number;
  /** Rises with each step. */
  readonly step: number;
  /** Counts the leaders of the tabs. A step of an earlier one is not stored. */
  readonly term: number;
  /** The epoch in which it may push; null before the first page, and while it has to pull. */
  readonly epoch: string | null;
  /** The epoch of the last page. */
  readonly pageEpoch: string | null;
  /** Counts epochs. A document that another epoch stored has no version. */
  readonly ep: number;
  /** Counts resets. A document that the last one left unseen has a lower `seen`. */
  readonly no: number;
  /** Documents seen before this reset are gone. It is below `no` while a reset is under way. */
  readonly floor: number;
  /** Revoked scopes: what they had at this step is gone. */
  readonly gone: Readonly<Record<string, number>>;
  readonly checkpoint: string | null;
  /** The types of the last page. */
  readonly types: readonly string[];
  /** Counts pulls and subscriptions. */
  readonly round: number;
  /** The types that are asked for once more, since the app selects more of them. */
  readonly refresh: readonly string[];
  /** The app has asked for a reset, and no page has begun it yet. */
  readonly distrusts: boolean;
  /** The user has signed out, and what waits shows again when the gateway names the same user. */
  readonly sealed: boolean;
  /** The gateway's clock at the last page that left nothing to read; null before. */
  readonly syncedAt: string | null;
  /** How many edits are queued. */
  readonly queued: number;
  /** The newest outcomes that were merged; older ones are dropped. */
  readonly merged: readonly number[];
  /** The documents whose last create is UNKNOWN, by their keys. */
  readonly unknownCreates: readonly Key[];
  /** What an adapter keeps with its last edits, by which it knows them again. */
  readonly notes?: Readonly<Record<string, Value>>;
  /** What it keeps in each scope, for digests. */
  readonly sums: Sums;
  /** The last document that a sweep has looked at, and so the last one in `sums`; null when all are. */
  readonly swept: Key | null;
  /** The scopes whose digest differs, and whether each still has to be asked for again; null before the first comparison. */
  readonly differing: Readonly<Record<string, boolean>> | null;
  /** The round in which the last answer to a push came. */
  readonly answered: number;
}

/** A document that the gateway has shown. `ep`, `seen` and `at` are stamps: see {@link Meta}. */
export interface Doc {
  readonly type: string;
  readonly id: string;
  readonly v: number;
  readonly scope: string;
  readonly body: Body;
  readonly ep: number;
  readonly seen: number;
  /** The step that stored it. */
  readonly at: number;
  /** The round of the answer that brought it, until a page confirms it. */
  readonly u?: number;
}

/** An edit that has no answer yet. Its base and its values are those that the user saw. */
export interface Edit {
  readonly n: number;
  readonly type: string;
  readonly id: string;
  readonly op: "create" | "update" | "delete";
  /** The document of a create, the fields of an update. */
  readonly set: Body;
  readonly base: Body;
  /** The version it was made on: 0 on an own create without an answer, -1 on a version of another epoch. */
  readonly bv: number;
  /** The device's clock, RFC 3339. */
  readonly at: string;
  readonly policy?: Policy;
  /** The number of the first edit of its transaction. */
  readonly tx?: number;
  /** 1.8: its counters as the view had them when it was first sent; none before. */
  readonly sent?: Body;
}

/** An edit that has left the queue and stays in view until a pull shows its effect (1.7, 1.13). */
export interface Lingering extends Edit {
  /** The client id under which it was sent. */
  readonly by: string;
  /** The round in which its answer came. */
  readonly heard: number;
  /** 1.13: whether it took effect is not known. */
  readonly unknown?: true;
}

/** The push that is sent and has no answer, and what happened meanwhile. */
export interface Flight {
  readonly to: PushId;
  readonly epoch: string;
  readonly atomic: boolean;
  readonly policy?: Policy;
  readonly edits: readonly Edit[];
  /** The edits as they were sent: a retry sends the same (1.5). */
  readonly changes: readonly Body[];
  /** A reset came: its outcomes only settle the queue (1.7). */
  readonly crossed: boolean;
  /** The removals that pages brought (1.6): versions of DELETE by document, and of REVOKE by document and scope. */
  readonly deleted: Readonly<Record<string, number>>;
  readonly left: Readonly<Record<string, number>>;
  readonly revoked: readonly string[];
  /** 1.12 and 1.13: it was refused, and the client asks which mutation id was consumed last. */
  readonly asks?: Question;
  /** 1.12: how many edits of earlier copies of this push wait at the front of the queue. */
  readonly behind: number;
}

/** Asked after a refusal: which mutation id of a client was consumed last. */
export interface Question {
  readonly refusal: Refusal;
  /** The step of the refusal. What was asked before it may say nothing of the push. */
  readonly number: number;
}

/** What became of an edit. */
export type OutcomeStatus =
  /** Some or all of the edit is in force. */
  | "MERGED"
  /** The document had changed meanwhile; no part of the edit is in force. */
  | "CONFLICT"
  /** The gateway can never apply it. */
  | "REJECTED"
  /** It was made on a create that failed, and is not sent. */
  | "DROPPED"
  /** It was sent and took effect or not; the gateway no longer says which. */
  | "UNKNOWN"
  /** The gateway takes no request that carries it. */
  | "REFUSED";

/** What became of an edit that was not simply applied. */
export interface Outcome {
  readonly n: number;
  readonly edit: Edit;
  readonly status: OutcomeStatus;
  readonly error?: { readonly code: string; readonly message: string; readonly field: string | null };
  readonly conflictId?: string;
  readonly fields?: readonly FieldConflict[];
  /** The document as the gateway has it. */
  readonly theirs?: Body;
  /** The create that failed, of a dropped edit. */
  readonly cause?: number;
}

/** The values of a model that the core needs. */
export interface CoreModel {
  readonly types: Readonly<
    Record<
      string,
      {
        /** Its key in a change input, such as `task`. */
        readonly root: string;
        readonly merges: Readonly<Record<string, string>>;
        readonly defaults: Readonly<Record<string, Value>>;
      }
    >
  >;
}

/** What the database of a client lacks that compared no digests. */
export const UNCOUNTED = { sums: {}, swept: "", differing: null, answered: 0 };

/** What a fresh client keeps. `client` is random and never used before. */
export function freshMeta(client: string): Meta {
  return {
    user: null,
    client,
    next: 1,
    n: 1,
    step: 0,
    term: 0,
    epoch: null,
    pageEpoch: null,
    ep: 0,
    no: 0,
    floor: 0,
    gone: {},
    checkpoint: null,
    types: [],
    round: 0,
    refresh: [],
    distrusts: false,
    sealed: false,
    syncedAt: null,
    queued: 0,
    merged: [],
    unknownCreates: [],
    ...UNCOUNTED,
  };
}

/** Whether a document counts: a reset or a revocation leaves dead ones behind, which a sweep deletes later. */
export function isAlive(meta: Meta, doc: Doc): boolean {
  return doc.seen >= meta.floor && (own(meta.gone, doc.scope) ?? -1) < doc.at;
}

/** The version to compare with: none of another epoch (1.4). */
export function versionOf(meta: Meta, doc: Doc | undefined): number {
  return doc?.ep === meta.ep ? doc.v : 0;
}

/** A record's own value. Scopes, ids and fields may be named like what every object inherits. */
export function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

/** No type and no id has U+0000. */
export function keyOf({ type, id }: { readonly type: string; readonly id: string }): Key {
  return `${type}\u0000${id}`;
}

/** How many edits have no answer. */
export function unsentOf(meta: Meta, flight: Flight | null): number {
  return meta.queued + (flight?.edits.length ?? 0);
}

/** How the model merges a field. */
export function mergeOf(model: CoreModel, type: string, field: string): string | undefined {
  return own(own(model.types, type)?.merges ?? {}, field);
}
