/**
 * Exponential back-off with jitter. Something that helps, such as a network that is back, ends a pause.
 */

import { pause } from "../transport/waiting.js";

/** The first pause after a failure, and the longest. */
export interface PauseOptions {
  readonly minMs: number;
  readonly maxMs: number;
}

export class Backoff {
  #failures = 0;
  /** When the last pause ended. */
  #ended = -Infinity;
  #pause = new AbortController();

  constructor(readonly options: PauseOptions) {}

  /** Waits longer after each failure, between half of the pause and all of it, and at least so many seconds. */
  async pause(seconds: number, signal: AbortSignal): Promise<void> {
    const { minMs, maxMs } = this.options;
    // What has worked for so long is no failure that repeats.
    if (performance.now() - this.#ended > maxMs) this.#failures = 0;
    const longest = Math.min(maxMs, minMs * 2 ** Math.min(this.#failures++, 16));
    const ms = Math.max(seconds * 1000, longest * (0.5 + Math.random() / 2));
    this.#pause = new AbortController();
    await pause(ms, AbortSignal.any([signal, this.#pause.signal]));
    this.#ended = performance.now();
  }

  /** It has worked: the next pause is short again. */
  succeed(): void {
    this.#failures = 0;
  }

  wake(): void {
    this.#pause.abort();
  }
}
