/**
 * Ids of documents and of clients.
 */

/** A random id that was never used. */
export function newId(): string {
  return crypto.randomUUID();
}
