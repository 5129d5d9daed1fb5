/**
 * The network: pushes and pulls by `fetch`, following by a stream. Where none works, it asks again and again.
 */

import type { InboxConflict, Page, PushInput, Result } from "../protocol.js";
import { conflictsOf, dataOf, pageOf, resolvedOf, resultsOf, viewerOf, type Types } from "./answers.js";
import { post, SILENCE_MIN_MS, type Patience, type Request } from "./http.js";
import { Streams } from "./streams.js";
import { Token } from "./token.js";
import type { Position, Stream, Transport, Viewer } from "./transport.js";
import { pause } from "./waiting.js";

/** How often a client without a stream asks what is new before it tries streams again. */
const POLLS = 240;

export interface Operations {
  readonly changesSince: string;
  readonly changes: string;
  readonly pushChanges: string;
  readonly viewer: string;
  readonly conflicts: string;
  readonly followConflicts: string;
  readonly resolveConflict: string;
}

export interface NetworkOptions {
  /** The gateway's endpoint, such as `https://sync.example.com/graphql`. */
  readonly url: string;
  /** A token for the user; asked for again when one is refused or has expired. */
  readonly token: () => string | Promise<string>;
  readonly model: {
    readonly operations: Operations;
    readonly types: Types;
    /** The hash of the API that the app was built from. */
    readonly hash: string;
  };
  readonly fetch?: typeof fetch;
  readonly webSocket?: typeof WebSocket;
  /** The pause between two questions of what is new, without a stream. */
  readonly pollMs: number;
  readonly onBytes: (count: number) => void;
}

type Data = ReturnType<typeof dataOf>;

export class Network implements Transport {
  readonly #token: Token;
  readonly #streams: Streams;
  readonly #patience: Patience = { ms: SILENCE_MIN_MS };

  constructor(readonly options: NetworkOptions) {
    const { token, webSocket } = options;
    this.#token = new Token(token);
    this.#streams = new Streams(webSocket !== undefined || "WebSocket" in globalThis);
  }

  get stream(): Stream {
    return this.#streams.best;
  }

  async pull(position: Position, signal: AbortSignal): Promise<Page> {
    return pageOf(await this.#post("changesSince", variablesOf(position), signal), this.options.model.types);
  }

  async push(input: PushInput, signal: AbortSignal): Promise<readonly Result[]> {
    const answer = await this.#post("pushChanges", { input }, signal);
    return resultsOf(answer, input.changes.length, this.options.model.types);
  }

  async viewer(client: string, signal: AbortSignal): Promise<Viewer> {
    return viewerOf(await this.#post("viewer", { clientId: client }, signal));
  }

  async follow(position: Position, take: (page: Page) => Promise<void>, signal: AbortSignal): Promise<void> {
    if (this.stream === "polling") return this.#poll(position, take, signal);
    const { types } = this.options.model;
    await this.#each("changes", variablesOf(position), (data) => take(pageOf(data.changes, types)), signal);
  }

  /** Follows the inbox: all of it, at once and after each change. */
  async followConflicts(take: (conflicts: readonly InboxConflict[]) => void, signal: AbortSignal): Promise<void> {
    const all = async (first: unknown): Promise<void> => {
      const found: InboxConflict[] = [];
      for (let page = first; ;) {
        const { conflicts, after } = conflictsOf(page, this.options.model.types);
        found.push(...conflicts);
        if (after === null) break;
        page = await this.#post("conflicts", { after }, signal);
      }
      if (!signal.aborted) take(found);
    };
    if (this.stream !== "polling") return this.#each("followConflicts", {}, (data) => all(data.conflicts), signal);
    await all(await this.#post("conflicts", {}, signal));
    await pause(this.options.pollMs, signal);
  }

  async resolveConflict(input: object, signal: AbortSignal): Promise<Pick<Result, "status" | "error">> {
    return resolvedOf(await this.#post("resolveConflict", { input }, signal));
  }

  wake(): void {
    this.#streams.reset();
  }

  /** What an operation answers, whose only field has its name. */
  async #post(operation: keyof Operations, variables: object, signal: AbortSignal): Promise<unknown> {
    const data = await this.#token.use((token) => post(this.#request(token, operation, variables), signal), signal);
    return data[operation];
  }

  /** Takes the answers of a stream, one after the other. It ends with the first that fails. */
  async #each(
    operation: keyof Operations,
    variables: object,
    take: (data: Data) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    let taken = Promise.resolve();
    const next = (data: Data): void => {
      taken = taken.then(() => (either.aborted ? undefined : take(data)));
      taken.catch(() => {
        failed.abort();
      });
    };
    const open = (token: string): Promise<void> => {
      return this.#streams.open(this.#request(token, operation, variables), next, either);
    };
    await this.#token.use(open, signal).finally(() => taken);
  }

  async #poll(position: Position, take: (page: Page) => Promise<void>, signal: AbortSignal): Promise<void> {
    let { checkpoint } = position;
    for (let polls = 0; polls < POLLS && this.stream === "polling" && !signal.aborted;) {
      const page = await this.pull({ ...position, checkpoint }, signal);
      await take(page);
      checkpoint = page.checkpoint;
      if (page.hasMore) continue;
      polls += 1;
      await pause(this.options.pollMs, signal);
    }
    // Who ends it to read the store again has no reason to try them.
    if (!signal.aborted) this.#streams.reset();
  }

  #request(token: string, operation: keyof Operations, variables: object): Request {
    const { url, model, fetch: send, webSocket, onBytes } = this.options;
    return {
      url: new URL(url, (globalThis as { location?: { href: string } }).location?.href).href,
      // A method of the browser's window is called on nothing else.
      fetch: send ?? ((to, init) => fetch(to, init)),
      webSocket,
      headers: { Authorization: `Bearer ${token}`, "Tidegate-Schema": model.hash },
      body: { query: model.operations[operation], variables },
      patience: this.#patience,
      onBytes,
    };
  }
}

function variablesOf({ checkpoint, types, refresh, reread }: Position): object {
  return { checkpoint, types, ...(refresh.length > 0 && { refresh }), ...(reread.length > 0 && { reread }) };
}
