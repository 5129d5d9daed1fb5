/**
 * urql with Graphcache: an exchange that answers from the device, behind a cache that is fed with each answer.
 */

import { makeErrorResult, makeOperation, makeResult, mapExchange } from "@urql/core";
import type { Exchange, Operation, OperationResult } from "@urql/core";
import { cacheExchange, type CacheExchangeOpts } from "@urql/exchange-graphcache";
import { filter, makeSubject, merge, pipe, share } from "wonka";
import type { ModelValue } from "../client/types.js";
import { INSIDE, type AnyClient, type Inside } from "../client/inside.js";
import { report } from "../client/live.js";
import { embeddedIn, localOperation, type LocalOperation, type Variables } from "./graphql.js";

export type { AnyClient } from "../client/inside.js";
export { localSchema } from "./graphql.js";

/**
 * The exchanges of a client that lives on the device: Graphcache, and {@link tidegateExchange} behind it. Put
 * `fetchExchange` after them for operations of the gateway.
 *
 * Graphcache gets the keys of lists, beside those of `options`. It needs no `storage`: documents and edits are on the
 * device already, and its `offlineExchange` would send edits past the outbox.
 */
export function tidegateExchanges(client: AnyClient, options: Omit<CacheExchangeOpts, "storage"> = {}): Exchange[] {
  const inside = client[INSIDE];
  const keys = { ...keysOf(inside.model), ...options.keys };
  return [freshExchange(inside), cacheExchange({ ...options, keys }), tidegateExchange(client)];
}

/** What Graphcache has to know: lists and embedded documents have no key, and are part of the field that shows them. */
export function keysOf(model: ModelValue): NonNullable<CacheExchangeOpts["keys"]> {
  const lists = Object.keys(model.types).map((type) => `${type}Connection`);
  return Object.fromEntries([...lists, ...embeddedIn(model)].map((type) => [type, () => null]));
}

/** A query that begins asks the device, since Graphcache holds what it was when the query was last active. */
function freshExchange(inside: Inside): Exchange {
  return (input) => {
    const active = new Set<number>();
    const onOperation = (operation: Operation): Operation => {
      const { key, kind, context } = operation;
      if (kind === "teardown") active.delete(key);
      if (kind !== "query" || active.has(key)) return operation;
      active.add(key);
      if (context.requestPolicy === "cache-only" || !isLocal(inside, operation)) return operation;
      return makeOperation(kind, operation, { ...context, requestPolicy: "network-only" });
    };
    return mapExchange({ onOperation })(input);
  };
}

/** One that is no query of the client is the gateway's, and a mistake is answered where it is carried out. */
function isLocal(inside: Inside, operation: Operation): boolean {
  try {
    return localOf(inside, operation) !== undefined;
  } catch {
    return true;
  }
}

function localOf(inside: Inside, { query, variables }: Operation): LocalOperation | undefined {
  return localOperation(inside, query, variables as Variables | undefined);
}

/**
 * Answers the queries and mutations of {@link localSchema} from the device, and forwards all others. A query is answered
 * again after each change until it ends. Failures are a `ClientError`, as the `networkError`.
 */
export function tidegateExchange(client: AnyClient): Exchange {
  const inside = client[INSIDE];
  return (input) => (operations) => {
    const results = makeSubject<OperationResult>();
    const desk = new Desk(inside, (result) => {
      results.next(result);
    });
    const others = pipe(
      operations,
      filter((operation) => !desk.takes(operation)),
      share,
    );
    return merge([results.source, input.forward(others)]);
  };
}

/** Carries out operations, and knows which queries are active. */
class Desk {
  readonly #ends = new Map<number, () => void>();

  constructor(
    readonly inside: Inside,
    readonly next: (result: OperationResult) => void,
  ) {}

  /** Whether it is for the client. What ends is ended. */
  takes(operation: Operation): boolean {
    if (operation.kind === "teardown") {
      this.#end(operation.key);
      return false;
    }
    if (operation.kind === "subscription") return false;
    let local: LocalOperation | undefined;
    try {
      local = localOf(this.inside, operation);
      if (!local) return false;
      if (local.kind === "query") this.#follow(operation, local);
      else this.#perform(operation, local);
    } catch (error) {
      this.#fail(operation, error);
    }
    return true;
  }

  #end(key: number): void {
    this.#ends.get(key)?.();
    this.#ends.delete(key);
  }

  /** One that is asked again is answered again. */
  #follow(operation: Operation, local: LocalOperation): void {
    this.#end(operation.key);
    const end = local.follow(
      (data) => {
        this.#answer(makeResult(operation, { data }));
      },
      (error) => {
        this.#fail(operation, error);
      },
    );
    this.#ends.set(operation.key, end);
  }

  #perform(operation: Operation, local: LocalOperation): void {
    local.perform().then(
      (data) => {
        this.#answer(makeResult(operation, { data }));
      },
      (error: unknown) => {
        this.#fail(operation, error);
      },
    );
  }

  /** What a subscriber throws comes back here. */
  #answer(result: OperationResult): void {
    try {
      this.next(result);
    } catch (mistake) {
      report(mistake);
    }
  }

  /** Later, as all answers: urql expects none while it asks. */
  #fail(operation: Operation, error: unknown): void {
    const failure = error instanceof Error ? error : new Error(String(error));
    queueMicrotask(() => {
      this.#answer(makeErrorResult(operation, failure));
    });
  }
}
