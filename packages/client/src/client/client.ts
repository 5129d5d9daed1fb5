/**
 * The API for applications: collections, transactions, status and outcomes over an {@link Engine} and a {@link Sync}.
 */

import type { Changes, Intent } from "../core/edits.js";
import { ClientError } from "../core/errors.js";
import { freshMeta, keyOf } from "../core/records.js";
import { Draft, type Need, type Slice } from "../core/draft.js";
import type { Event } from "../core/step.js";
import { equal } from "../core/values.js";
import type { Body } from "../protocol.js";
import { Network } from "../transport/network.js";
import { ANYTHING, Engine, standOf, type Touched } from "./engine.js";
import { failureOf, isFull } from "./failures.js";
import { Finder, indexesOf } from "./find.js";
import { newId } from "./ids.js";
import { Inbox } from "./inbox.js";
import { INSIDE, type Inside } from "./inside.js";
import { computed, LiveValue, type Live } from "./live.js";
import { liveQuery } from "./livequery.js";
import { outcomeOf, pendingOf } from "./outcomes.js";
import { listen } from "./page.js";
import type { Query } from "./query.js";
import { Sync, type Halt } from "./sync.js";
import { Tabs } from "./tabs.js";
import { recall, remember } from "./witness.js";
import type { Client, ClientOptions, EditOptions, Resolution, SignOutOptions, Status } from "./types.js";

const PAUSES = { minMs: 500, maxMs: 30_000 };
const CONFIRM_MS = 15_000;

/** What tabs post to each other. */
interface News {
  readonly touched?: Touched;
  /** From the leader. */
  readonly status?: Status | undefined;
  /** The leader has to read the store again. */
  readonly reread?: true;
  readonly signedOut?: true;
}

/** A client of a gateway. It begins to sync at once. */
export function createClient<M>(options: ClientOptions): Client<M> {
  const client = new TidegateClient(options);
  const { types } = options.model;
  for (const [type, { collection }] of Object.entries(types)) {
    if (!(collection in client))
      Object.defineProperty(client, collection, { value: client.of(type), enumerable: true });
  }
  return client as unknown as Client<M>;
}

class TidegateClient {
  readonly status: LiveValue<Status>;
  readonly outcomes: Live<readonly object[]>;
  readonly conflicts: Live<readonly object[]>;
  readonly #engine: Engine;
  readonly #network: Network;
  readonly #inbox: Inbox;
  /** While this tab leads. */
  #sync: Sync | undefined;
  #tabs: Tabs<News> | undefined;
  readonly #opened: Promise<void>;
  readonly #stopped = new AbortController();
  #bytes = 0;
  /** The newest step that `status` shows. */
  #step = 0;
  #asksToPersist = true;
  #closed = false;
  /** Whether what is stored waits for its user to sign in. */
  #sealed = false;

  readonly options: ClientOptions & Required<Pick<ClientOptions, "types" | "first" | "pauses">>;

  constructor(options: ClientOptions) {
    const { model, storage, types = Object.keys(model.types), first = [], pauses = PAUSES } = options;
    this.options = { ...options, types, first, pauses };
    this.#engine = new Engine(model, storage, (touched) => this.#tabs?.post({ touched }));
    this.#network = new Network({
      ...options,
      pollMs: pauses.maxMs / 2,
      onBytes: (count) => {
        this.#bytes += count;
      },
    });
    this.#inbox = new Inbox({
      network: this.#network,
      pauses,
      rootOf: (type) => model.types[type]?.root ?? type,
      onSettled: (ids) => void this.#settle(ids).catch(() => undefined),
    });
    this.conflicts = this.#inbox.conflicts;
    this.status = new LiveValue();
    this.status.set({
      phase: "offline",
      stream: undefined,
      done: 0,
      bytes: 0,
      lastSync: undefined,
      unsent: 0,
      differing: undefined,
      lost: 0,
      durable: storage.durable,
      error: undefined,
    });
    this.#engine.listen((touched) => {
      if (touched.queued) this.#sync?.kick();
      this.#note(touched);
    });
    // Browsers say when the network is back.
    listen({ online: () => this.#sync?.wake() }, this.#stopped.signal);
    this.#opened = this.#open();
    this.#opened.catch((failure: unknown) => {
      this.#halt({ code: "STORAGE", message: String(failure) });
    });
    this.outcomes = this.#live(
      (touched) => touched.outcomes,
      () => this.#outcomes(),
    );
  }

  of(type: string): object {
    if (!Object.hasOwn(this.options.model.types, type)) throw new TypeError(`the model has no type ${type}`);
    return {
      get: (id: string) => this.#get(type, id),
      ...editsOf(type, async (intent, options) => {
        await this.#edit([intent], options);
        return intent.id;
      }),
      live: (query?: Query) => this.#query(type, query),
      pending: (id: string) =>
        this.#live(
          (touched) => touched.keys.has(keyOf({ type, id })),
          () => this.#pending(type, id),
        ),
    };
  }

  get [INSIDE](): Inside {
    return {
      model: this.options.model,
      engine: this.#engine,
      opened: this.#opened,
      isClosed: () => this.#closed,
      hides: () => this.#hides(),
      get: (type, id) => this.#get(type, id),
      live: (type, query) => this.#query(type, query),
      edit: (intents, options) => this.#edit(intents, options),
    };
  }

  async transaction(edits: (tx: object) => void, options: EditOptions = {}): Promise<void> {
    const intents: Intent[] = [];
    const entries = Object.entries(this.options.model.types).map(([type, { collection }]) => {
      const take = (intent: Intent): string => {
        intents.push(intent);
        return intent.id;
      };
      return [collection, editsOf(type, take)] as const;
    });
    edits(Object.fromEntries(entries));
    if (intents.length > 0) await this.#edit(intents, options, true);
  }

  resolve(id: string, resolution: Resolution): Promise<void> {
    return this.#inbox.resolve(id, resolution);
  }

  async refresh(types: readonly string[] = this.options.types): Promise<void> {
    await this.#do({ is: "refresh", types });
    this.#reread();
  }

  async reset(): Promise<void> {
    await this.#do({ is: "reset" });
    this.#reread();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#stop();
    await this.options.storage.close();
  }

  async signOut({ unsent = "refuse" }: SignOutOptions = {}): Promise<void> {
    const { storage } = this.options;
    // No tab stores anything of this user from now on.
    await this.#do({ is: "seal", unsent });
    this.#closed = true;
    this.#tabs?.post({ signedOut: true });
    await this.#stop();
    if (unsent === "keep") return storage.close();
    remember(storage.name, 0);
    await storage.destroy();
  }

  async #open(): Promise<void> {
    const closed = (why: Halt): void => {
      this.#tabs?.close();
      this.#halt(why);
    };
    const { storage, model } = this.options;
    const fresh = freshMeta(newId());
    await storage.open(fresh, closed, indexesOf(model));
    const { meta } = await storage.read({});
    if (meta.client === fresh.client) this.#say({ lost: recall(storage.name) });
    this.#sealed = meta.sealed;
    if (!this.#closed) this.#join();
    await this.#catchUp();
  }

  /** Notes what a step has left. What another tab posts may come late. */
  #note({ stand }: Touched): void {
    if (!stand || stand.step < this.#step) return;
    const { step, sealed, unsent, differing } = stand;
    this.#step = step;
    this.#sealed = sealed;
    remember(this.options.storage.name, unsent);
    const shown = this.status.value?.differing;
    this.#say({ unsent, differing: equal(shown, differing) ? shown : differing });
  }

  /** Shows what other tabs have stored while this one did not hear them. */
  async #catchUp(): Promise<void> {
    const slice = await this.options.storage.read({});
    const { syncedAt } = slice.meta;
    const lastSync = syncedAt === null ? undefined : new Date(syncedAt);
    this.#say({ lastSync });
    this.#engine.hear({ ...ANYTHING, stand: standOf(slice) });
  }

  async #stop(): Promise<void> {
    // It needs no database. One that never opens would leave it on.
    this.#inbox.close();
    await this.#opened.catch(() => undefined);
    this.#stopped.abort();
    this.#tabs?.leave();
    await this.#sync?.stop();
    this.#tabs?.close();
    this.#say({ phase: "offline" });
  }

  /** From now on one of the tabs syncs: this one, if no other does. */
  #join(): void {
    this.#tabs = new Tabs<News>({
      name: this.options.storage.name,
      locks: (globalThis as { navigator?: Partial<Navigator> }).navigator?.locks,
      raise: async () => {
        try {
          return await this.#engine.lead();
        } catch (failure) {
          // On a full disk it is tried again with the next beat.
          if (isFull(failure)) this.#say({ error: { code: "STORAGE_FULL", message: String(failure) } });
          else this.#halt({ code: "FAILED", message: String(failure) });
          throw failure;
        }
      },
      lead: (term, signal) => this.#lead(term, signal),
      hear: ({ touched, status, reread, signedOut }, leads) => {
        if (signedOut) this.#halt({ code: "REMOVED", message: "another tab has signed out" });
        if (touched) this.#engine.hear(touched);
        if (status && leads) this.#follow(status);
        if (reread) this.#sync?.reread();
      },
      state: () => ({ status: this.status.value }),
      awake: () => void this.#catchUp().catch(() => undefined),
    });
  }

  async #lead(term: number, signal: AbortSignal): Promise<void> {
    const sync = (this.#sync = new Sync({
      ...this.options,
      engine: this.#engine,
      term,
      transport: this.#network,
      confirmMs: CONFIRM_MS,
      say: (change) => {
        if (change.phase === "halted" && change.error) this.#halt(change.error);
        else this.#share({ ...change, bytes: this.#bytes });
      },
    }));
    signal.addEventListener("abort", () => void sync.stop());
    await sync.run();
    if (this.#sync === sync) this.#sync = undefined;
  }

  /** Shows the status of the leader. */
  #follow(status: Status): void {
    const { unsent, durable, ...shared } = status;
    if (this.status.value?.phase !== "halted") this.#say(shared);
  }

  /** The leader reads the store again. */
  #reread(): void {
    this.#sync?.reread();
    this.#tabs?.post({ reread: true });
  }

  /** What comes of a turn that is over would replace what the next leader says. */
  #share(change: Partial<Status>): void {
    if (!this.#tabs?.leads) return;
    this.#say(change);
    this.#tabs.post({ status: this.status.value });
  }

  /** Another tab may go on. What follows from a halt is no reason of its own. */
  #halt(error: Halt): void {
    this.#tabs?.leave();
    if (this.status.value?.phase !== "halted") this.#say({ phase: "halted", error });
    if (!this.#isForeign()) return;
    this.#inbox.close();
    this.#engine.hear(ANYTHING);
  }

  #say(change: Partial<Status>): void {
    const { value } = this.status;
    const differs = value && Object.entries(change).some(([name, it]) => value[name as keyof Status] !== it);
    if (differs) this.status.set({ ...value, ...change });
  }

  async #do(event: Event): Promise<void> {
    try {
      await this.#opened;
      this.#refuse();
      await this.#engine.do(event);
    } catch (failure) {
      throw failureOf(failure);
    }
  }

  #refuse(): void {
    if (this.#closed) throw new ClientError("CLOSED", "the client is closed");
    if (this.#isForeign()) throw new ClientError("WRONG_USER", "the token is another user's");
  }

  #isForeign(): boolean {
    return this.status.value?.error?.code === "WRONG_USER";
  }

  /** Whether what is stored is not for this user, or not yet known to be. */
  #hides(): boolean {
    return this.#sealed || this.#isForeign();
  }

  #edit(intents: readonly Intent[], options: Parameters<Inside["edit"]>[1] = {}, atomic = false): Promise<void> {
    const at = new Date().toISOString();
    if (this.#asksToPersist && this.options.storage.durable) void persist().catch(() => undefined);
    this.#asksToPersist = false;
    return this.#do({ is: "edit", intents, at, atomic, folds: true, ...options });
  }

  #query(type: string, query: Query = {}): Live<readonly Body[]> {
    const { model, storage } = this.options;
    return liveQuery(new Finder(model, storage, type, query), this[INSIDE]);
  }

  #live<T>(depends: (touched: Touched) => boolean, compute: () => Promise<readonly T[]>): Live<readonly T[]> {
    return computed(this[INSIDE], () => ({ depends: (touched) => touched.all || depends(touched), compute }));
  }

  async #read(need: Need): Promise<Slice> {
    await this.#opened;
    if (this.#closed) throw new ClientError("CLOSED", "the client is closed");
    return this.options.storage.read(need);
  }

  async #get(type: string, id: string): Promise<Body | undefined> {
    const key = keyOf({ type, id });
    const draft = new Draft(this.options.model, await this.#read({ docs: [key], queue: [key], lingering: true }));
    return this.#hides() ? undefined : draft.view(key);
  }

  async #pending(type: string, id: string): Promise<readonly object[]> {
    const key = keyOf({ type, id });
    return new Draft(this.options.model, await this.#read({ queue: [key] })).editsOf(key).map(pendingOf);
  }

  /** The outcomes of edits that the inbox kept have been seen to with their conflicts. */
  async #settle(conflicts: readonly string[]): Promise<void> {
    const { outcomes } = await this.#read({ outcomes: true });
    for (const { n, conflictId } of outcomes) {
      if (conflictId !== undefined && conflicts.includes(conflictId)) await this.#do({ is: "discard", n });
    }
  }

  async #outcomes(): Promise<readonly object[]> {
    const { outcomes } = await this.#read({ outcomes: true });
    return outcomes.map((outcome) => outcomeOf(outcome, outcomes, (event) => this.#do(event)));
  }
}

/** Asks the browser to remove other sites' databases before this one. Some ask the user, so it is asked with an edit. */
async function persist(): Promise<void> {
  await (globalThis as { navigator?: Partial<Navigator> }).navigator?.storage?.persist();
}

/** The edits of a collection, each handed to `take`. */
function editsOf(type: string, take: (intent: Intent, options?: EditOptions) => unknown): object {
  return {
    create: ({ id, ...document }: Body, options?: EditOptions) =>
      take({ op: "create", type, id: typeof id === "string" ? id : newId(), document }, options),
    update: (id: string, changes: Changes, options?: EditOptions) => take({ op: "update", type, id, changes }, options),
    delete: (id: string, options?: EditOptions) => take({ op: "delete", type, id }, options),
  };
}
