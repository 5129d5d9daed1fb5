/**
 * Follows by the best stream that works: proxies cut WebSockets, hold event streams back, or do both.
 */

import { dataOf } from "./answers.js";
import { streamEvents } from "./events.js";
import type { Request } from "./http.js";
import { subscribe } from "./socket.js";
import { Refused, type Stream } from "./transport.js";

/** How often in a row a stream may end before its first answer. It is tried only while requests by POST succeed. */
const FAILURES_MAX = 2;

export class Streams {
  #failures = { socket: 0, events: 0 };

  constructor(readonly hasSockets: boolean) {}

  get best(): Stream {
    if (this.hasSockets && this.#failures.socket < FAILURES_MAX) return "socket";
    return this.#failures.events < FAILURES_MAX ? "events" : "polling";
  }

  /** All streams are tried again. */
  reset(): void {
    this.#failures = { socket: 0, events: 0 };
  }

  /** One subscription over one stream, until it fails or is aborted. */
  async open(request: Request, take: (data: ReturnType<typeof dataOf>) => void, signal: AbortSignal): Promise<void> {
    const [by, open] = this.best === "socket" ? (["socket", subscribe] as const) : (["events", streamEvents] as const);
    let answers = 0;
    const next = (payload: unknown): void => {
      take(dataOf(payload));
      answers += 1;
      this.#failures[by] = 0;
    };
    try {
      await open(request, next, signal);
    } catch (failure) {
      const cut = failure instanceof Refused && failure.refusal.code === "NETWORK";
      if (cut && answers === 0 && !signal.aborted) this.#failures[by] += 1;
      throw failure;
    }
  }
}
