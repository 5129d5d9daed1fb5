/**
 * What the client needs of a network, and the failures of it. A refusal is data: the core decides what follows.
 */

import type { Page, PushInput, Refusal, Result, Value } from "../protocol.js";

/** A request that the gateway refused, or that never arrived. */
export class Refused extends Error {
  constructor(readonly refusal: Refusal) {
    super(`${refusal.code}: ${refusal.message}`);
  }
}

/** Where a pull or a subscription begins. */
export interface Position {
  readonly checkpoint: string | null;
  readonly types: readonly string[];
  readonly refresh: readonly string[];
  readonly reread: readonly string[];
}

/** What the gateway says of the token's user, and of a client id. */
export interface Viewer {
  readonly id: string;
  readonly lastMutationId: number | null;
}

/** How a client follows: by a WebSocket, by an event stream, or by asking again and again where neither works. */
export type Stream = "socket" | "events" | "polling";

/** Every method rejects with {@link Refused}. */
export interface Transport {
  /** How it follows, or would. */
  readonly stream: Stream;
  pull(position: Position, signal: AbortSignal): Promise<Page>;
  push(input: PushInput, signal: AbortSignal): Promise<readonly Result[]>;
  viewer(client: string, signal: AbortSignal): Promise<Viewer>;
  /** Follows what happens from a position on, one page after the other, until it fails or is aborted. */
  follow(position: Position, take: (page: Page) => Promise<void>, signal: AbortSignal): Promise<void>;
  /** The network may be another one: streams that failed are tried again. */
  wake(): void;
}

/** Without another code: it did not arrive, or what came is no answer of a gateway. It may succeed later. */
export function unreachable(message: string, retryAfter = 0, code = "NETWORK"): Refused {
  return new Refused({ code, message, extensions: { retryAfter } });
}

/** A proxy or a captive portal has answered in the gateway's place. */
export function malformed(): Refused {
  return unreachable("the answer is not that of a gateway");
}

/** The first of an answer's errors. */
export function refusalOf(errors: readonly unknown[], retryAfter?: number): Refused {
  const error = asObject(errors[0]) ?? {};
  const given = asObject(error.extensions) ?? {};
  const extensions = retryAfter === undefined ? given : { retryAfter, ...given };
  const code = typeof extensions.code === "string" ? extensions.code : "INTERNAL_SERVER_ERROR";
  return new Refused({ code, message: typeof error.message === "string" ? error.message : code, extensions });
}

export function asObject(value: unknown): Readonly<Record<string, Value>> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, Value>>)
    : undefined;
}
