/**
 * What edits and other methods of the client reject with.
 */

/** Why a method has not done what was asked. */
export type ClientErrorCode =
  /** An update or a delete of a document that is not there, or a conflict that is settled. */
  | "GONE"
  /** A create of a document that is there. */
  | "EXISTS"
  /** A value that JSON does not carry, or an intention on a field that does not merge so. */
  | "INVALID_VALUE"
  /** A transaction of more edits than one push carries. */
  | "TOO_LARGE"
  /** There is no room for the edit on this device. */
  | "STORAGE_FULL"
  /** A query with an operand that is null, or with an operator or an order that there is not. */
  | "INVALID_QUERY"
  /** Signing out would lose edits. */
  | "UNSENT_EDITS"
  /** The database is another user's. */
  | "WRONG_USER"
  /** Edits of an earlier sign-in wait, and the gateway has not named the user yet. */
  | "SEALED"
  /** The gateway cannot be reached. */
  | "OFFLINE"
  /** The document of a conflict has changed since the user saw it. */
  | "STALE"
  /** The gateway refuses it, as the message says. */
  | "REJECTED"
  /** The client was closed, or its user has signed out. */
  | "CLOSED";

/** What the methods of a client reject with. */
export class ClientError extends Error {
  override readonly name = "ClientError";

  constructor(
    readonly code: ClientErrorCode,
    message: string,
  ) {
    super(message);
  }
}
