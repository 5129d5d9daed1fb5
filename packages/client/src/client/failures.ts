/**
 * Failures of the storage.
 */

import { ClientError } from "../core/errors.js";

/** What a storage's failure means to the caller. */
export function failureOf(failure: unknown): unknown {
  return isFull(failure) ? new ClientError("STORAGE_FULL", "there is no room left on this device") : failure;
}

export function isFull(failure: unknown): boolean {
  return failure instanceof Error && failure.name === "QuotaExceededError";
}
