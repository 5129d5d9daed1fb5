/**
 * A device as the suite drives it: an application with a client in it. Every kind of device (a core, a client in this
 * process, a driver in another) is one of these.
 */

/** A JSON value. */
export type Value = null | boolean | number | string | readonly Value[] | { readonly [field: string]: Value };
export type Body = Readonly<Record<string, Value>>;

/** A field of an update: its value, or what the user means by the edit. */
export type FieldEdit =
  | { readonly set: Value }
  | { readonly increment: number }
  | { readonly add: readonly Value[] }
  | { readonly remove: readonly Value[] };

/** One edit, in the words of traces. */
export type Edit =
  | { readonly op: "create"; readonly type: string; readonly id: string; readonly document: Body }
  | {
      readonly op: "update";
      readonly type: string;
      readonly id: string;
      readonly fields: Readonly<Record<string, FieldEdit>>;
    }
  | { readonly op: "delete"; readonly type: string; readonly id: string };

/** Edits that the application makes at once. */
export interface Edits {
  readonly edits: readonly Edit[];
  readonly transaction: boolean;
  readonly policy?: "SERVER_WINS" | "CLIENT_WINS";
}

/** What became of an edit that was not simply applied. */
export interface Outcome {
  /** Names it on its device, also after a restart. */
  readonly n: number;
  readonly status: "MERGED" | "CONFLICT" | "REJECTED" | "DROPPED" | "REFUSED" | "UNKNOWN";
  readonly op: Edit["op"];
  readonly type: string;
  readonly id: string;
  /** The values that the edit set, and those that its user saw. */
  readonly set: Body;
  readonly base: Body;
}

/** A change that waits for a person. */
export interface OpenConflict {
  readonly id: string;
  readonly type: string;
  readonly documentId: string;
  /** The fields as the change wants them; null if it is a delete. */
  readonly mine: Body | null;
}

/** What a device shows. */
export interface State {
  /** By `type/id`. */
  readonly documents: Readonly<Record<string, Body>>;
  readonly outcomes: readonly Outcome[];
  /** Edits without an answer. */
  readonly unsent: number;
  /** Why it has stopped. */
  readonly halted?: string;
  /** The scopes of which it says that it holds something else than the gateway; some clients do not say it. */
  readonly differing?: readonly string[];
}

/** The application was killed before it learned what became of a call. */
export class Killed extends Error {
  override readonly name = "Killed";
}

/** Every call rejects with {@link Killed} when the application dies meanwhile. */
export interface Device {
  /** Resolves when the edits are durable, with false if the client refused them. */
  edit(edits: Edits): Promise<boolean>;
  state(): Promise<State>;
  /** Resolves when it has sent all and stands at the end of what there is, or when that takes too long. */
  settle(): Promise<void>;
  /** Kills the application and starts it again on its storage. */
  restart(): Promise<void>;
  /** The token that the application has from now on. A running client learns of it when its own is refused. */
  setToken(token: string): Promise<void>;
  /** Turns its network off or on. */
  setOnline(isOnline: boolean): Promise<void>;
  /** Makes the edit of an outcome again; false if the client refuses it. */
  retry?(n: number): Promise<boolean>;
  discard?(n: number): Promise<void>;
  refresh?(): Promise<void>;
  reset?(): Promise<void>;
  /** The conflicts of the inbox that the device shows; none offline. */
  conflicts?(): Promise<readonly OpenConflict[]>;
  /** Resolves one of them, if the gateway can be reached and nobody else has. */
  resolve?(id: string, take: "mine" | "theirs"): Promise<void>;
  /** Rejects if what it has drawn is not what follows from the documents that a fresh device gets. */
  judge?(documents: Readonly<Record<string, Body>>): Promise<void>;
  /** What only this kind of device knows. */
  special?(act: string, n: number): Promise<void>;
  stop(): Promise<void>;
}

/** Documents as they are compared: fields in order, without those of the sync and those that are null. */
export function comparable(documents: Readonly<Record<string, Body>>): Record<string, Body> {
  const sorted = <T>(record: Readonly<Record<string, T>>): [string, T][] =>
    Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    sorted(documents).map(([key, document]) => {
      const fields = sorted(document).filter(([field, value]) => value !== null && !/^(sync[A-Z]|__)/.test(field));
      return [key, Object.fromEntries(fields)];
    }),
  );
}
