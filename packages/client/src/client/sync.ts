/**
 * Keeps a client in step with a gateway: one loop reads, one sends. What they hear goes to the core, whose effects they
 * carry out.
 */

import type { Effect } from "../core/draft.js";
import type { Flight } from "../core/records.js";
import type { Event } from "../core/step.js";
import type { Page, PushInput } from "../protocol.js";
import { Refused, type Position, type Transport } from "../transport/transport.js";
import { Deposed, type Engine } from "./engine.js";
import { isFull } from "./failures.js";
import { newId } from "./ids.js";
import { Backoff, type PauseOptions } from "./pause.js";
import type { Status } from "./types.js";

/** Out of reach; reading what it has missed; following; or stopped until the app does something about it. */
export type Phase = "offline" | "catching-up" | "live" | "halted";

export interface SyncOptions {
  readonly engine: Pick<Engine, "storage" | "do">;
  /** The term in which this tab leads. */
  readonly term: number;
  readonly transport: Transport;
  /** The types to sync, and those to sync before the others. */
  readonly types: readonly string[];
  readonly first: readonly string[];
  readonly pauses: PauseOptions;
  /** How long an answer may stay unconfirmed before the client reads the store again. */
  readonly confirmMs: number;
  readonly say: (change: Partial<Status>) => void;
}

/** What keeps a client from going on. It keeps everything; one that has halted goes on after a restart. */
export interface Halt {
  readonly code: string;
  readonly message: string;
}

export class Sync {
  readonly #stop = new AbortController();
  readonly #reading: Backoff;
  readonly #streaming: Backoff;
  readonly #sending: Backoff;
  #running: Promise<void> = Promise.resolve();
  /** How many changes it has read since it began to catch up. */
  #done = 0;
  #following: AbortController | undefined;
  #rereads = false;
  #wakeSender: (() => void) | undefined;
  #somethingToSend = true;
  #cannotStorePush = false;
  /** Whether the gateway has named the user of the present token. */
  #identified = false;
  /** Whether dead documents may be stored, as those that an earlier run has left. */
  #mayBeDead = true;
  /** Whether an answer kept something from being compared since the last catch-up began. */
  #mustCompare = false;
  #confirm: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly options: SyncOptions) {
    this.#reading = new Backoff(options.pauses);
    this.#streaming = new Backoff(options.pauses);
    this.#sending = new Backoff(options.pauses);
  }

  /** Runs until it is stopped, halts, or finds that another tab leads. */
  run(): Promise<void> {
    this.#running = Promise.all([this.#read(), this.#send()]).then(
      () => undefined,
      (failure: unknown) => {
        if (failure instanceof Deposed) this.#end();
        else this.#halt({ code: "FAILED", message: String(failure) });
      },
    );
    return this.#running;
  }

  /** Ends both loops. What is under way is cut off; the next start goes on. */
  stop(): Promise<void> {
    this.#end();
    return this.#running;
  }

  /** There may be something new to send. */
  kick(): void {
    this.#somethingToSend = true;
    this.#wakeSender?.();
  }

  /** The network may be back. */
  wake(): void {
    this.options.transport.wake();
    for (const backoff of [this.#reading, this.#streaming, this.#sending]) backoff.wake();
  }

  /** Reads the store again, after what is under way. */
  reread(): void {
    this.#rereads = true;
    this.#following?.abort();
  }

  get #signal(): AbortSignal {
    return this.#stop.signal;
  }

  #ended(): boolean {
    return this.#stop.signal.aborted;
  }

  async #read(): Promise<void> {
    while (!this.#ended()) {
      let backoff = this.#reading;
      try {
        // The first pull is compared only if all documents are counted by then.
        await this.#sweep();
        await this.#identify();
        do {
          await this.#catchUp();
          await this.#sweep();
        } while (this.#rereads);
        this.#reading.succeed();
        backoff = this.#streaming;
        await this.#follow();
      } catch (failure) {
        await this.#failed(failure, backoff);
      }
    }
  }

  /** The documents and the edits are one user's, and so is each token. Nothing is sent before that is known. */
  async #identify(): Promise<void> {
    if (this.#identified) return;
    const { engine, transport } = this.options;
    const { meta } = await engine.storage.read({});
    const { id } = await transport.viewer(meta.client, this.#signal);
    await this.#do({ is: "user", id });
    this.#identified = true;
  }

  /** Pulls to the end: what is asked for first, then all. */
  async #catchUp(): Promise<void> {
    const { first, types, engine } = this.options;
    this.#rereads = this.#mustCompare = false;
    const { meta } = await engine.storage.read({});
    const complete = first.length === 0 || types.every((type) => meta.types.includes(type));
    if (!complete) await this.#pull(first);
    await this.#pull(types);
  }

  async #pull(types: readonly string[]): Promise<void> {
    let asked: Position & { readonly round: number } = { ...(await this.#begin()), types };
    for (let more = true; more && !this.#ended();) {
      const page = await this.options.transport.pull(asked, this.#signal);
      await this.#take(page, asked);
      more = page.hasMore;
      asked = { ...asked, checkpoint: page.checkpoint, reread: [] };
    }
  }

  async #begin(): Promise<Effect & { do: "pull" }> {
    const [pull] = await this.#do({ is: "begin" });
    return pull as Effect & { do: "pull" };
  }

  async #take(page: Page, { checkpoint: from, ...asked }: Position & { readonly round: number | null }): Promise<void> {
    const { round } = asked;
    await this.#do({ is: "page", page, from, ...asked, newId: newId() });
    if (round === null) this.options.say({ done: 0 });
    else this.#show("catching-up", undefined, page.changes.length);
    if (page.reset || page.revokedScopes.length > 0) this.#mayBeDead = true;
    // The page may bring the epoch in which it may send.
    this.kick();
  }

  /** Follows until the store has to be read again. */
  async #follow(): Promise<void> {
    const { transport, types } = this.options;
    this.#following = new AbortController();
    const signal = AbortSignal.any([this.#signal, this.#following.signal]);
    // Only a pull asks for scopes again.
    let asked: Position & { readonly round: number | null } = { ...(await this.#begin()), types, reread: [] };
    const take = async (page: Page): Promise<void> => {
      await this.#take(page, asked);
      asked = { ...asked, checkpoint: page.checkpoint };
      if (page.hasMore) return;
      await this.#sweep();
      if (asked.round !== null) this.#show("live");
      asked = { ...asked, round: null };
      this.#confirmLater();
    };
    try {
      await transport.follow(asked, take, signal);
    } catch (failure) {
      // A stream that it ends itself has not failed.
      if (!(signal.aborted && failure instanceof Refused)) throw failure;
    }
  }

  /** Deletes what resets and revocations may have left dead, and counts the rest. */
  async #sweep(): Promise<void> {
    while (this.#mayBeDead && !this.#ended()) {
      const effects = await this.#do({ is: "sweep" });
      this.#mayBeDead = effects.some((effect) => effect.do === "sweep");
    }
  }

  /** Reading the store settles what an answer brought and no page has named, and what was not compared. */
  #confirmLater(): void {
    this.#confirm ??= setTimeout(() => {
      this.#confirm = undefined;
      const { storage } = this.options.engine;
      storage.read({ unconfirmed: true, lingering: true }).then(
        ({ docs, lingering }) => {
          if (docs.length + lingering.length > 0 || this.#mustCompare) this.reread();
        },
        () => undefined,
      );
    }, this.options.confirmMs);
  }

  async #send(): Promise<void> {
    while (!this.#ended()) {
      while (this.#somethingToSend && !this.#ended()) {
        this.#somethingToSend = false;
        await this.#sendQueue();
      }
      await new Promise<void>((resolve) => {
        this.#wakeSender = resolve;
        if (this.#somethingToSend || this.#ended()) resolve();
      });
    }
  }

  async #sendQueue(): Promise<void> {
    while (!this.#ended()) {
      const { meta, flight } = await this.options.engine.storage.read({});
      if (!flight && (meta.epoch === null || meta.queued === 0)) return;
      try {
        await this.#identify();
        if (this.#ended()) return;
        const [effect] = await this.#do({ is: "send" });
        if (effect === undefined) return;
        if (effect.do === "push") await this.#push(effect.flight);
        else if (effect.do === "ask") await this.#ask(effect.client, effect.question);
        this.#sending.succeed();
        if (this.#cannotStorePush) this.options.say({ error: undefined });
        this.#cannotStorePush = false;
      } catch (failure) {
        await this.#failed(failure, this.#sending);
      }
    }
  }

  async #push(flight: Flight): Promise<void> {
    const results = await this.options.transport.push(inputOf(flight), this.#signal);
    await this.#do({ is: "answer", to: flight, results });
    this.#confirmLater();
  }

  async #ask(client: string, question: number): Promise<void> {
    const { transport } = this.options;
    const { lastMutationId } = await transport.viewer(client, this.#signal);
    await this.#do({ is: "asked", question, last: lastMutationId ?? 0, newId: newId() });
  }

  /** A request or a step of one of the loops has failed. */
  async #failed(failure: unknown, backoff: Backoff): Promise<void> {
    if (this.#ended()) return;
    if (!(failure instanceof Refused)) return this.#unstored(failure, backoff);
    const { engine } = this.options;
    const { refusal } = failure;
    const { flight } = await engine.storage.read({});
    if (backoff === this.#sending && flight && this.#identified) {
      await this.#do({ is: "refused", to: flight, refusal, newId: newId() }, backoff);
      return;
    }
    // Without its stream it may still be online: the next pull shows that.
    this.#show(backoff === this.#streaming ? "catching-up" : "offline", refusal);
    await this.#do({ is: "unread", refusal }, backoff);
  }

  /** A step that could not be stored was not made: its page, answer or push comes again. */
  async #unstored(failure: unknown, backoff: Backoff): Promise<void> {
    if (!(failure instanceof DOMException)) throw failure;
    const code = isFull(failure) ? "STORAGE_FULL" : "STORAGE";
    const error = { code, message: failure.message };
    if (backoff === this.#sending) this.options.say({ error });
    else this.#show("catching-up", error);
    this.#cannotStorePush ||= backoff === this.#sending;
    await backoff.pause(0, this.#signal);
  }

  /** A step, and what follows from it. What is to be sent, the caller sends. */
  async #do(event: Event, backoff = this.#reading): Promise<readonly Effect[]> {
    const effects = await this.options.engine.do(event, this.options.term);
    for (const effect of effects) {
      if (effect.do === "reread") this.reread();
      else if (effect.do === "compare") this.#mustCompare = true;
      else if (effect.do === "halt") this.#halt(effect);
      else if (effect.do === "token" || effect.do === "again") {
        if (effect.do === "token") this.#identified = false;
        await backoff.pause(effect.do === "again" ? effect.after : 0, this.#signal);
      }
    }
    return effects;
  }

  #end(): void {
    this.#stop.abort();
    this.#wakeSender?.();
    clearTimeout(this.#confirm);
  }

  #halt(error: Halt): void {
    this.#end();
    this.#show("halted", error);
  }

  #show(phase: Phase, error?: Halt, changes = 0): void {
    const isLive = phase === "live";
    this.#done = isLive ? 0 : this.#done + changes;
    this.options.say({
      phase,
      stream: isLive ? this.options.transport.stream : undefined,
      error: error && { code: error.code, message: error.message },
      done: this.#done,
      ...(isLive && { lastSync: new Date() }),
    });
  }
}

function inputOf({ to, epoch, atomic, policy, changes }: Flight): PushInput {
  return { client: to, epoch, ...(atomic && { atomic }), ...(policy && { policy }), changes };
}
