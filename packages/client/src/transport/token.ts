/**
 * The user's token: asked for once, and again after it was refused. The caller pauses between refusals.
 */

import { Refused, unreachable } from "./transport.js";
import { onAbort } from "./waiting.js";

/** How long the app may take to get a token. */
const TOKEN_MS = 60_000;

export class Token {
  #asked: Promise<string> | undefined;

  constructor(readonly ask: () => string | Promise<string>) {}

  /** Does something with the token. A token that is refused is forgotten, unless another has taken its place. */
  async use<T>(work: (token: string) => Promise<T>, signal: AbortSignal): Promise<T> {
    const asked = (this.#asked ??= Promise.resolve().then(this.ask));
    const forget = (): void => {
      if (this.#asked === asked) this.#asked = undefined;
    };
    let token: string;
    try {
      token = await unless(AbortSignal.any([signal, AbortSignal.timeout(TOKEN_MS)]), asked);
    } catch (failure) {
      forget();
      // It asks a server of the app, which may be out of reach too.
      throw unreachable(`there is no token: ${String(failure)}`);
    }
    try {
      return await work(token);
    } catch (failure) {
      if (failure instanceof Refused && failure.refusal.code === "UNAUTHENTICATED") forget();
      throw failure;
    }
  }
}

function unless<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    onAbort(signal, () => {
      reject(signal.reason as Error);
    });
  });
  return Promise.race([work, aborted]);
}
