/**
 * The client as an application sees it, typed by the model that `tidegate operations --typescript` prints.
 */

import type { CoreModel, OutcomeStatus } from "../core/records.js";
import type { Unsent } from "../core/step.js";
import type { Increment, SetChange } from "../core/values.js";
import type { FieldConflict, Policy, Value } from "../protocol.js";
import type { Storage } from "../storage/storage.js";
import type { Operations } from "../transport/network.js";
import type { Stream } from "../transport/transport.js";
import type { AnyClient } from "./inside.js";
import type { Live } from "./live.js";
import type { PauseOptions } from "./pause.js";
import type { Halt, Phase } from "./sync.js";

/** What a model says of a collection. */
export interface CollectionShape {
  readonly type: string;
  readonly doc: object;
  readonly create: object;
  /** The fields with `@merge(with: COUNTER)`, and those with SET. */
  readonly counters: string;
  readonly sets: string;
}

type Item<T> = NonNullable<T> extends readonly (infer I)[] ? I : never;

/** The fields of an update: values, or intentions on what is there. */
export type Edit<S extends CollectionShape> = {
  readonly [F in Exclude<keyof S["create"], "id">]?:
    | S["create"][F]
    | (F extends S["counters"] ? Increment : never)
    | (F extends S["sets"] ? SetChange<Item<S["create"][F]>> : never);
};

/** How an edit is sent. */
export interface EditOptions {
  /** One of the policies that the model lets clients choose. */
  readonly policy?: Policy;
}

/** The fields that a query can name: those that hold one text, number or truth value. */
export type Queried<D> = keyof {
  readonly [
    F in keyof D & string as NonNullable<D[F]> extends string | number | boolean
      ? Exclude<F, `sync${string}` | "and" | "or" | "not">
      : never
  ]: F;
};

/** Conditions on a field; all of them hold. No operand is null. */
export type FilterOf<V> = {
  readonly eq?: V;
  readonly ne?: V;
  readonly in?: readonly V[];
  readonly isNull?: boolean;
} & ([V] extends [boolean] ? unknown : Readonly<Partial<Record<"lt" | "lte" | "gt" | "gte", V>>>) &
  (string extends V ? { readonly startsWith?: string } : unknown);

/** What has to hold of a document: of each named field its filter, and of conditions all, one or none. */
export type WhereOf<D> = {
  readonly [F in Queried<D>]?: FilterOf<NonNullable<D[F]>>;
} & {
  readonly and?: readonly WhereOf<D>[];
  readonly or?: readonly WhereOf<D>[];
  readonly not?: WhereOf<D>;
};

/** Which documents, in which order, and how many at most. */
export interface QueryOf<D> {
  readonly where?: WhereOf<D>;
  /** Ties are ordered by id, in the direction of the last field. */
  readonly orderBy?: readonly `${Queried<D>}_${"ASC" | "DESC"}`[];
  readonly limit?: number;
}

/** Edits reject with {@link ClientError}, and resolve when they are stored. */
export interface Collection<S extends CollectionShape> {
  /** The document in view. */
  get(id: string): Promise<S["doc"] | undefined>;
  /** Creates a document, under a random id unless it has one. Returns the id. */
  create(document: S["create"], options?: EditOptions): Promise<string>;
  /** Changes some fields, also by a function of the document in view. It is carried out in the step that stores the edit. */
  update(id: string, edit: Edit<S> | ((seen: S["doc"]) => Edit<S>), options?: EditOptions): Promise<void>;
  /** Deletes a document. */
  delete(id: string, options?: EditOptions): Promise<void>;
  /** What a query finds, now and after each change. Without an index of the model that serves it, it reads all documents of the type. */
  live(query?: QueryOf<S["doc"]>): Live<readonly S["doc"][]>;
  /** The edits of a document that have no answer. */
  pending(id: string): Live<readonly PendingEdit<S>[]>;
}

/** The edits of a transaction. They are made together when its function returns. */
export interface TransactionCollection<S extends CollectionShape> {
  /** As {@link Collection.create}. */
  create(document: S["create"]): string;
  /** As {@link Collection.update}. */
  update(id: string, edit: Edit<S> | ((seen: S["doc"]) => Edit<S>)): void;
  /** As {@link Collection.delete}. */
  delete(id: string): void;
}

/** How a client stands to its gateway. */
export interface Status {
  readonly phase: Phase;
  /** How it follows while it is live. */
  readonly stream: Stream | undefined;
  /** How many changes it has read since it began to catch up. */
  readonly done: number;
  /** How many bytes have arrived, decompressed. */
  readonly bytes: number;
  /** When the client last stood at the end of what there is. */
  readonly lastSync: Date | undefined;
  /** Edits that have no answer. */
  readonly unsent: number;
  /**
   * The scopes of which this device held something else than the gateway when it last compared digests: none if it equals the
   * gateway, undefined before the first comparison of a start or while a scope has no digest. Each is read again, once a
   * start; one that stays here differs after that too.
   */
  readonly differing: readonly string[] | undefined;
  /**
   * How many edits without an answer were lost before this start, with a database that the browser has removed. It is said
   * once.
   */
  readonly lost: number;
  /** Whether what it holds outlasts the process. */
  readonly durable: boolean;
  /** Why it is offline, cannot store what it reads (`STORAGE_FULL`, `STORAGE`), or has halted. */
  readonly error: Halt | undefined;
}

/** An edit that has no answer. */
export interface PendingEdit<S extends CollectionShape = CollectionShape> {
  /** Edits are numbered in the order in which they were made. */
  readonly n: number;
  readonly type: S["type"];
  readonly id: string;
  readonly op: "create" | "update" | "delete";
  /** The document of a create, the fields of an update, and their values as the user saw them. */
  readonly mine: Partial<S["doc"]>;
  readonly base: Partial<S["doc"]>;
  /** When it was made, RFC 3339. */
  readonly at: string;
}

/** What became of an edit that was not simply applied, until the user has seen to it. */
export interface OutcomeIn<S extends CollectionShape> extends PendingEdit<S> {
  readonly status: OutcomeStatus;
  /** The document as the gateway had it, if the user may see it. */
  readonly theirs: S["doc"] | undefined;
  readonly error?: { readonly code: string; readonly message: string; readonly field: string | null };
  /** How each field of a stale edit was settled. */
  readonly fields?: readonly FieldConflict[];
  /** The conflict of the inbox that keeps the edit. */
  readonly conflictId?: string;
  /** The number of the create that failed, of a dropped edit. */
  readonly cause?: number;
  /**
   * Makes the edit again on what is there now, with its transaction and with what was dropped because of it. Counters and
   * sets change by the same difference. Of a merged edit, what is in force is left out. A create whose id is taken gets
   * another.
   */
  retry(): Promise<void>;
  /** Makes another edit in its place. If a create has failed, the fields replace those of its document. */
  edit(changes: Edit<S>): Promise<void>;
  /** The user has seen it. */
  discard(): Promise<void>;
}

/** An outcome of any type; `type` says which. */
export type OutcomeOf<M = unknown> = { readonly [K in keyof M]: OutcomeIn<M[K] & CollectionShape> }[keyof M];

/** A change that waits in the inbox for a person to resolve it. */
export interface ConflictIn<S extends CollectionShape> {
  readonly id: string;
  readonly type: S["type"];
  readonly documentId: string;
  /** When the change arrived at the gateway, RFC 3339, and whose it is. */
  readonly openedAt: string;
  readonly openedBy: string;
  /** The fields in question; none if the change is a delete. */
  readonly fields: readonly string[];
  /** These fields as the change's user saw them, where it is known. */
  readonly base: Partial<S["doc"]> | null;
  /** The fields as the change wants them; null if it is a delete. */
  readonly mine: Partial<S["doc"]> | null;
  /** The document that the change met; null if it had been deleted. */
  readonly theirs: Partial<S["doc"]> | null;
  /** The document as it is now; null if it is deleted. */
  readonly current: S["doc"] | null;
  /** The version of `current`. */
  readonly currentVersion: number;
  /**
   * Resolves it, for the document as it is shown here. It has happened when the promise resolves. It rejects with `STALE` if
   * the document has changed since, `GONE` if another user has resolved it, `REJECTED` if the gateway never takes it, and
   * `OFFLINE` if the gateway cannot be reached; whether it has happened, the inbox then shows.
   */
  resolve(resolution: Resolution<S>): Promise<void>;
}

/** How a conflict is resolved: one side's values, other values, or no document. */
export type Resolution<S extends CollectionShape = CollectionShape> =
  { readonly take: "mine" | "theirs" } | { readonly set: Partial<Omit<S["create"], "id">> } | { readonly delete: true };

/** A conflict of any type; `type` says which. */
export type Conflict<M = unknown> = { readonly [K in keyof M]: ConflictIn<M[K] & CollectionShape> }[keyof M];

/** What every client has besides its collections. */
export interface ClientMethods<M> extends AnyClient {
  /** The collection of a type, such as `of("Task")`: for one whose name is that of a member of the client. */
  of<T extends TypeOf<M>>(type: T): Collection<ShapeOf<M, T>>;
  /** All or nothing, on the device and at the gateway. */
  transaction(
    edits: (tx: { readonly [K in keyof M]: TransactionCollection<M[K] & CollectionShape> }) => void,
    options?: EditOptions,
  ): Promise<void>;
  /** How it stands to the gateway. */
  readonly status: Live<Status>;
  /** The edits that were not simply applied: of merged ones the last 200, of the others all that wait for the user. */
  readonly outcomes: Live<readonly OutcomeOf<M>[]>;
  /**
   * The conflicts that the user may resolve, the oldest first, while anybody listens. They are the gateway's: offline the
   * last ones stay, and a client that begins offline has none.
   */
  readonly conflicts: Live<readonly Conflict<M>[]>;
  /** Resolves one of the conflicts that are shown: see {@link ConflictIn.resolve}. */
  resolve(id: string, resolution: Resolution): Promise<void>;
  /** Asks for the documents of some types, or of all, once more: the app selects more of them than before. */
  refresh(types?: readonly string[]): Promise<void>;
  /** Reads all documents again, as if none of them had a version. Edits that have no answer stay. */
  reset(): Promise<void>;
  /** Ends the sync. Everything is kept for the next client of this database. */
  close(): Promise<void>;
  /** Ends the sync and removes the user's documents from the device. */
  signOut(options?: SignOutOptions): Promise<void>;
}

/** How a user signs out. */
export interface SignOutOptions {
  /**
   * What becomes of edits that have no answer. `refuse`, the default: if there are any, the call rejects and the client goes
   * on. `keep`: they and the outcomes wait on the device, and show again when the same user signs in. `discard`: they are
   * lost.
   */
  readonly unsent?: Unsent;
}

/** The names of a model's types. */
export type TypeOf<M> = { readonly [K in keyof M]: (M[K] & CollectionShape)["type"] }[keyof M];
/** The shape of a type. */
export type ShapeOf<M, T> = { readonly [K in keyof M]: M[K] & CollectionShape & { readonly type: T } }[keyof M];

/** A client, with the collections of its model, such as `client.tasks`. */
export type Client<M> = ClientMethods<M> & {
  readonly [K in Exclude<keyof M, keyof ClientMethods<M>>]: Collection<M[K] & CollectionShape>;
};

/** The constant `model` that `tidegate operations --typescript` prints. */
export interface ModelValue extends CoreModel {
  readonly hash: string;
  readonly operations: Operations;
  readonly types: Readonly<
    Record<
      string,
      {
        readonly root: string;
        readonly collection: string;
        readonly merges: Readonly<Record<string, string>>;
        readonly defaults: Readonly<Record<string, Value>>;
        readonly aliases: Readonly<Record<string, string>>;
        /** The scalars that are texts in JSON and not ordered as texts, by field. */
        readonly scalars?: Readonly<Record<string, string>>;
        readonly indexes?: readonly (readonly string[])[];
        /** The fields that show another document: its type, and the field with its id. */
        readonly references?: Readonly<Record<string, readonly string[]>>;
      }
    >
  >;
  /** The types of embedded documents, by the type and the field that hold them. */
  readonly embedded?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** What a client needs. */
export interface ClientOptions {
  /** The gateway's endpoint, such as `https://sync.example.com/graphql`. */
  readonly url: string;
  /** A token for the user; asked for again when one is refused or has expired. */
  readonly token: () => string | Promise<string>;
  readonly model: ModelValue;
  /** Where documents and edits are kept. Each user has a storage of their own. */
  readonly storage: Storage;
  /** The types to sync; without it all of the model. */
  readonly types?: readonly string[];
  /** The types to sync before the others. */
  readonly first?: readonly string[];
  /** In place of the platform's own. */
  readonly fetch?: typeof fetch;
  /** In place of the platform's own, which Node 20 does not have. */
  readonly webSocket?: typeof WebSocket;
  /** Pauses after failures, by default 0.5 to 30 s. */
  readonly pauses?: PauseOptions;
}
