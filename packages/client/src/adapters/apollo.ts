/**
 * Apollo Client 4: a link that answers from the device, and keeps the normalised cache as the device has it. Documents are
 * in the cache as `__typename:id`.
 */

import { ApolloLink, InMemoryCache, type ApolloCache, type ApolloClient } from "@apollo/client";
import { Observable } from "rxjs";
import type { AnyClient, Inside } from "../client/inside.js";
import { INSIDE } from "../client/inside.js";
import { foundNow } from "./found.js";
import { embeddedIn, localOperation, type Answer, type LocalOperation } from "./graphql.js";

export type { AnyClient } from "../client/inside.js";
export { localSchema } from "./graphql.js";

type Operation = ApolloLink.Operation;
type Result = ApolloLink.Result;

/**
 * Answers the queries and mutations of {@link localSchema} from the device, and forwards all others:
 * `new ApolloClient({ link: new TidegateLink(client), cache: new InMemoryCache() })`. While a query is active, its result in
 * the cache follows what the device has. Documents that are gone leave the cache. Failures are a `ClientError`.
 */
export class TidegateLink extends ApolloLink {
  readonly #inside: Inside;
  readonly #followers = new WeakMap<ApolloClient, Followers>();

  constructor(client: AnyClient) {
    super();
    this.#inside = client[INSIDE];
  }

  override request(operation: Operation, forward: ApolloLink.ForwardFunction): Observable<Result> {
    const { query, variables, operationName } = operation;
    let local: LocalOperation | undefined;
    try {
      local = localOperation(this.#inside, query, variables, operationName);
    } catch (error) {
      return new Observable((observer) => {
        observer.error(error);
      });
    }
    if (!local) return forward(operation);
    const followers = this.#followersOf(operation.client);
    return local.kind === "mutation" ? performed(local) : followers.first(operation, local);
  }

  #followersOf(apollo: ApolloClient): Followers {
    const followers = this.#followers.get(apollo) ?? new Followers(this.#inside, apollo);
    this.#followers.set(apollo, followers);
    return followers;
  }
}

function performed(local: LocalOperation): Observable<Result> {
  return new Observable((observer) => {
    local.perform().then(
      (data) => {
        observer.next({ data });
        observer.complete();
      },
      (error: unknown) => {
        observer.error(error);
      },
    );
  });
}

/** The queries of an Apollo Client that follow the device. */
class Followers {
  readonly #all = new Map<string, Follower>();

  constructor(
    readonly inside: Inside,
    readonly apollo: ApolloClient,
  ) {
    const { cache } = apollo;
    if (!(cache instanceof InMemoryCache)) return;
    // An embedded document is part of the one that holds it, even if it has a field `id`.
    const policies = embeddedIn(inside.model).map((type) => [type, { keyFields: false }] as const);
    cache.policies.addTypePolicies(Object.fromEntries(policies));
  }

  /** The present answer. The cache follows from then on. */
  first(operation: Operation, local: LocalOperation): Observable<Result> {
    return new Observable((observer) => {
      const key = JSON.stringify([operation.query.loc?.source.body ?? operation.query, operation.variables]);
      this.#drop(({ key: other }) => other !== key);
      let follower = this.#all.get(key);
      if (!follower) {
        follower = new Follower(key, operation, local, this);
        this.#all.set(key, follower);
      }
      return follower.ask(
        (data) => {
          observer.next({ data });
          observer.complete();
        },
        (error) => {
          this.#remove(key);
          observer.error(error);
        },
      );
    });
  }

  /** Ends those of which no query is active any more, and forgets what they show: the next one asks again. */
  #drop(which: (follower: Follower) => boolean): void {
    const idle = [...this.#all.values()].filter((it) => which(it) && !it.isAsked());
    if (idle.length === 0) return;
    const active = this.#active();
    const unused = idle.filter((it) => !it.isOf(active));
    for (const follower of unused) {
      this.#remove(follower.key);
      follower.forget(this.apollo.cache, active);
    }
    if (unused.length > 0) this.apollo.cache.gc();
  }

  /** Ends one that nobody uses. Says whether it did. */
  dropIfUnused(follower: Follower): boolean {
    this.#drop((it) => it === follower);
    return !this.#all.has(follower.key);
  }

  #remove(key: string): void {
    this.#all.get(key)?.end();
    this.#all.delete(key);
  }

  /** The root fields of the active queries. */
  #active(): ReadonlySet<string> {
    const texts = new Set<string>();
    for (const { query, variables } of this.apollo.getObservableQueries("active")) {
      for (const { text } of localOperation(this.inside, query, variables)?.fields ?? []) texts.add(text);
    }
    return texts;
  }
}

/** A query whose result in the cache follows the device. */
class Follower {
  readonly #asking = new Set<(answer: Answer) => void>();
  /** The documents that the answer shows, by the cache's ids. */
  #shown = new Map<string, readonly [type: string, id: string]>();
  #end: (() => void) | undefined;

  constructor(
    readonly key: string,
    readonly operation: Operation,
    readonly local: LocalOperation,
    readonly followers: Followers,
  ) {}

  /** Calls back once. Returns how to end the wait. */
  ask(onAnswer: (answer: Answer) => void, onError: (error: unknown) => void): () => void {
    this.#asking.add(onAnswer);
    // Another run shows the edits that were made since the last one.
    this.end();
    try {
      this.#end = this.local.follow((answer) => {
        this.#take(answer);
      }, onError);
    } catch (error) {
      onError(error);
    }
    return () => this.#asking.delete(onAnswer);
  }

  isAsked(): boolean {
    return this.#asking.size > 0;
  }

  isOf(active: ReadonlySet<string>): boolean {
    return this.local.fields.some(({ text }) => active.has(text));
  }

  end(): void {
    this.#end?.();
    this.#end = undefined;
  }

  /** Removes the fields from the cache that no active query shows. */
  forget(cache: ApolloCache, active: ReadonlySet<string>): void {
    for (const { name, args, text } of this.local.fields) {
      if (active.has(text)) continue;
      // Without arguments `evict` would take those with arguments along.
      if (args) cache.evict({ id: "ROOT_QUERY", fieldName: name, args: { ...args } });
      else
        cache.modify({ fields: { [name]: (value: unknown, it) => (it.storeFieldName === name ? it.DELETE : value) } });
    }
  }

  #take(answer: Answer): void {
    const before = this.#shown;
    this.#shown = documentsIn(answer, this.followers);
    if (!this.isAsked() && !this.followers.dropIfUnused(this)) this.#write(answer);
    for (const tell of this.#asking) tell(answer);
    this.#asking.clear();
    const left = [...before].filter(([id]) => !this.#shown.has(id));
    void this.#evict(left).catch(() => undefined);
  }

  #write(data: Answer): void {
    const { query, variables } = this.operation;
    this.followers.apollo.cache.writeQuery({ query, variables, data });
  }

  /** A document that left the list is perhaps in another one. All of a type are looked up in one read. */
  async #evict(left: readonly (readonly [string, readonly [string, string]])[]): Promise<void> {
    const { apollo, inside } = this.followers;
    for (const type of new Set(left.map(([, [of]]) => of))) {
      const documents = left.filter(([, [of]]) => of === type);
      const ids = documents.map(([, [, id]]) => id);
      const there = new Set((await foundNow(inside, type, { where: { id: { in: ids } } })).map(({ id }) => id));
      for (const [cacheId, [, id]] of documents) if (!there.has(id)) apollo.cache.evict({ id: cacheId });
    }
    if (left.length > 0) apollo.cache.gc();
  }
}

function documentsIn(answer: Answer, { inside, apollo }: Followers): Map<string, readonly [string, string]> {
  const found = new Map<string, readonly [string, string]>();
  const look = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(look);
    else if (typeof value === "object" && value !== null) {
      const { __typename: type, id } = value as Record<string, unknown>;
      if (typeof type === "string" && typeof id === "string" && Object.hasOwn(inside.model.types, type)) {
        const cacheId = apollo.cache.identify(value as { __typename: string });
        if (cacheId !== undefined) found.set(cacheId, [type, id]);
      }
      Object.values(value).forEach(look);
    }
  };
  look(answer);
  return found;
}
