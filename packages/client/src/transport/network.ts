/**
 * The network: pushes and pulls by `fetch`, following by a WebSocket. Where there is none, it polls.
 */

import type { Page, PushInput, Result } from "../protocol.js";
import { dataOf, pageOf, resultsOf, viewerOf, type Aliases } from "./answers.js";
import { subscribe } from "./socket.js";
import { unreachable, type Position, type Transport, type Viewer } from "./transport.js";

/** How long a request may take: longer than the gateway's own deadline. */
const REQUEST_MS = 60_000;

/** How often a client without WebSockets asks what is new. */
const POLL_MS = 15_000;

export interface Operations {
  readonly changesSince: string;
  readonly changes: string;
  readonly pushChanges: string;
  readonly viewer: string;
}

export interface NetworkOptions {
  /** The gateway's endpoint, such as `https://sync.example.com/graphql`. */
  readonly url: string;
  /** A token for the user; asked for again when one is refused or has expired. */
  readonly token: () => string | Promise<string>;
  readonly operations: Operations;
  readonly aliases: Aliases;
  /** The hash of the API that the app was built from. */
  readonly hash: string;
  readonly fetch?: typeof fetch;
  readonly webSocket?: typeof WebSocket;
}

export class Network implements Transport {
  #token: string | undefined;

  constructor(readonly options: NetworkOptions) {}

  async pull(position: Position, signal: AbortSignal): Promise<Page> {
    const data = await this.#request("changesSince", variablesOf(position), signal);
    return pageOf(data.changesSince, this.options.aliases);
  }

  async push(input: PushInput, signal: AbortSignal): Promise<readonly Result[]> {
    const data = await this.#request("pushChanges", { input }, signal);
    return resultsOf(data.pushChanges, input.changes.length, this.options.aliases);
  }

  async viewer(client: string, signal: AbortSignal): Promise<Viewer> {
    return viewerOf((await this.#request("viewer", { clientId: client }, signal)).viewer);
  }

  async follow(position: Position, take: (page: Page) => Promise<void>, signal: AbortSignal): Promise<void> {
    const webSocket = this.options.webSocket ?? (globalThis as { WebSocket?: typeof WebSocket }).WebSocket;
    if (!webSocket) return this.#poll(position, take, signal);
    const ended = new AbortController();
    signal.addEventListener("abort", () => {
      ended.abort();
    });
    let taken = Promise.resolve();
    const { url, operations, hash, aliases } = this.options;
    const next = (payload: unknown): void => {
      const page = pageOf(dataOf(payload).changes, aliases);
      taken = taken.then(() => (ended.signal.aborted ? undefined : take(page)));
      taken.catch(() => {
        ended.abort();
      });
    };
    const init = { Authorization: `Bearer ${await this.#bearer()}`, "Tidegate-Schema": hash };
    const variables = variablesOf(position);
    const address = url.replace(/^http/, "ws");
    const subscription = { url: address, webSocket, init, query: operations.changes, variables, next };
    await subscribe(subscription, ended.signal).finally(() => taken);
    await taken;
  }

  forgetToken(): void {
    this.#token = undefined;
  }

  async #poll(position: Position, take: (page: Page) => Promise<void>, signal: AbortSignal): Promise<void> {
    let { checkpoint } = position;
    while (!signal.aborted) {
      const page = await this.pull({ ...position, checkpoint }, signal);
      await take(page);
      checkpoint = page.checkpoint;
      if (!page.hasMore) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async #bearer(): Promise<string> {
    try {
      this.#token ??= await this.options.token();
      return this.#token;
    } catch (failure) {
      // It asks a server of the app, which may be out of reach too.
      throw unreachable(`there is no token: ${String(failure)}`);
    }
  }

  async #request(
    operation: keyof Operations,
    variables: object,
    signal: AbortSignal,
  ): Promise<ReturnType<typeof dataOf>> {
    const { url, operations, hash } = this.options;
    const headers = {
      "Content-Type": "application/json",
      Accept: "application/graphql-response+json, application/json",
      Authorization: `Bearer ${await this.#bearer()}`,
      "Tidegate-Schema": hash,
    };
    const body = JSON.stringify({ query: operations[operation], variables });
    const limit = AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]);
    const send = this.options.fetch ?? fetch;
    try {
      const response = await send(url, { method: "POST", headers, body, signal: limit });
      const retryAfter = Number(response.headers.get("Retry-After") ?? NaN);
      const answer: unknown = JSON.parse(await response.text());
      return dataOf(answer, Number.isFinite(retryAfter) ? retryAfter : undefined);
    } catch (failure) {
      // `fetch` fails with many kinds of errors, and none says whether the request arrived.
      throw failure instanceof TypeError || failure instanceof SyntaxError || failure instanceof DOMException
        ? unreachable(failure.message)
        : failure;
    }
  }
}

function variablesOf({ checkpoint, types, refresh }: Position): object {
  return { checkpoint, types, ...(refresh.length > 0 && { refresh }) };
}
