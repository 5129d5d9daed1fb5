/**
 * What the client's methods reject with.
 */

export type ClientErrorCode =
  /** An update or a delete of a document that is not there. */
  | "GONE"
  /** A create of a document that is there. */
  | "EXISTS"
  /** A transaction of more edits than one push carries. */
  | "TOO_LARGE"
  /** Signing out would lose edits. */
  | "UNSENT_EDITS";

export class ClientError extends Error {
  override readonly name = "ClientError";

  constructor(
    readonly code: ClientErrorCode,
    message: string,
  ) {
    super(message);
  }
}
