/**
 * What a query finds now, once.
 */

import type { Inside } from "../client/inside.js";
import type { Query } from "../client/query.js";
import { ClientError } from "../core/errors.js";
import type { Body } from "../protocol.js";

/** The documents of a query, as of one moment: one read, however many ids it names. */
export async function foundNow(inside: Inside, type: string, query: Query = {}): Promise<readonly Body[]> {
  await inside.opened;
  if (inside.isClosed()) throw new ClientError("CLOSED", "the client is closed");
  for await (const found of inside.live(type, query)) return found;
  return [];
}
