/**
 * A core that a history drives message by message against a real gateway. Answers wait in a mailbox until the history
 * delivers them: late, twice or never.
 */

import type { Device, Edit, Edits, Outcome, Place, State } from "@tidegate/conformance";
import { Engine } from "../../src/client/engine.js";
import type { Effect } from "../../src/core/draft.js";
import type { Intent } from "../../src/core/edits.js";
import { ClientError } from "../../src/core/errors.js";
import { together } from "../../src/core/outcomes.js";
import { freshMeta, isAlive, keyOf, type Outcome as CoreOutcome } from "../../src/core/records.js";
import type { Event } from "../../src/core/step.js";
import { view } from "../../src/core/view.js";
import type { Body, Refusal } from "../../src/protocol.js";
import type { Storage } from "../../src/storage/storage.js";
import { Network } from "../../src/transport/network.js";
import { Refused } from "../../src/transport/transport.js";
import { model } from "../models/example.js";
import { changesOf } from "./client-device.js";
import { Life, MortalStorage } from "./mortal.js";
import { documentsOf } from "../core/documents.js";

const TYPES = Object.keys(model.types);
const NEVER = new AbortController().signal;

/** What a test does to a core, besides what every device knows. */
export type Special = "pull" | "push" | "deliver" | "lose" | "forget" | "crash";

export class CoreDevice implements Device {
  #life = new Life();
  #storage: Storage;
  #engine: Engine;
  #network: Network;
  #mailbox: Event[] = [];
  #token: string;
  #isIdentified = false;
  #halted: string | undefined;

  private constructor(
    readonly place: Place,
    /** The database of the device; each run opens it again. */
    readonly database: () => Storage,
  ) {
    this.#token = place.token;
    this.#storage = new MortalStorage(database(), this.#life);
    this.#engine = new Engine(model, this.#storage);
    this.#network = this.#connect();
  }

  static async start(place: Place, database: () => Storage): Promise<CoreDevice> {
    const device = new CoreDevice(place, database);
    await device.#storage.open(freshMeta(crypto.randomUUID()));
    return device;
  }

  #connect(): Network {
    const { url } = this.place;
    const token = (): string => this.#token;
    return new Network({ url, token, model, pollMs: 100, onBytes: () => undefined });
  }

  setToken(token: string): Promise<void> {
    this.#token = token;
    this.#network = this.#connect();
    this.#isIdentified = false;
    return Promise.resolve();
  }

  setOnline(): Promise<void> {
    return Promise.resolve();
  }

  async restart(): Promise<void> {
    this.#life.end();
    this.#life = new Life();
    this.#storage = new MortalStorage(this.database(), this.#life);
    await this.#storage.open(freshMeta(crypto.randomUUID()));
    this.#engine = new Engine(model, this.#storage);
    this.#mailbox = [];
    this.#halted = undefined;
    await this.setToken(this.#token);
  }

  async stop(): Promise<void> {
    this.#life.end();
    await this.#storage.close();
    await this.database().destroy();
  }

  edit({ edits, transaction: atomic, policy }: Edits): Promise<boolean> {
    const event = { is: "edit", intents: edits.map(intentOf), at: now(), atomic, folds: true } as const;
    return this.#allowed({ ...event, ...(policy && { policy }) });
  }

  retry(n: number): Promise<boolean> {
    return this.#life.orDie(this.#retry(n));
  }

  async #retry(n: number): Promise<boolean> {
    const { outcomes } = await this.#storage.read({ outcomes: true });
    const keys = together(outcomes, n).map(({ edit }) => keyOf(edit));
    return this.#allowed({ is: "retry", n, keys, at: now(), newId: crypto.randomUUID() });
  }

  async discard(n: number): Promise<void> {
    await this.#do({ is: "discard", n });
  }

  async refresh(): Promise<void> {
    await this.#do({ is: "refresh", types: TYPES });
  }

  /** Whether the view allowed it. */
  async #allowed(event: Event): Promise<boolean> {
    try {
      await this.#do(event);
      return true;
    } catch (failure) {
      if (failure instanceof ClientError) return false;
      throw failure;
    }
  }

  async #do(event: Event): Promise<readonly Effect[]> {
    const effects = await this.#life.orDie(this.#engine.do(event));
    const halt = effects.find((effect) => effect.do === "halt");
    if (halt) this.#halted ??= `${halt.code}: ${halt.message}`;
    if (event.is === "page") await this.#compared();
    return effects;
  }

  /** Nothing changes a device behind its back here, so its digests are those of the gateway. */
  async #compared(): Promise<void> {
    const { meta } = await this.#storage.read({});
    if (Object.keys(meta.differing ?? {}).length > 0) {
      throw new Error(`false differences: ${JSON.stringify(meta.differing)}`);
    }
  }

  special(act: Special, n: number): Promise<void> {
    return this.#life.orDie(this.#special(act, n));
  }

  async #special(act: Special, n: number): Promise<void> {
    switch (act) {
      case "pull":
        return this.#pull();
      case "push":
        return this.#push(n + 1);
      case "deliver":
        return this.#deliver(n >> 1, n % 2 === 1);
      case "lose":
        this.#mailbox.splice(n % Math.max(this.#mailbox.length, 1), 1);
        return;
      case "forget":
        await this.#do({ is: "unread", refusal: { code: "BAD_CHECKPOINT", message: "", extensions: {} } });
        return;
      case "crash":
        this.#life.doom(n >> 1, n % 2 === 1);
    }
  }

  /** Asks for a page; it waits in the mailbox. */
  async #pull(): Promise<void> {
    await this.#hear(async () => {
      const [pull] = await this.#do({ is: "begin" });
      if (pull?.do !== "pull") throw new Error("a pull begins with a request");
      const { checkpoint: from, round, refresh, reread } = pull;
      const page = await this.#network.pull({ checkpoint: from, types: TYPES, refresh, reread }, NEVER);
      return { is: "page", page, from, types: TYPES, refresh, reread, round, newId: crypto.randomUUID() };
    });
  }

  /** Sends the next push, or the one without an answer again, or asks about it; the answer waits in the mailbox. */
  async #push(limit: number): Promise<void> {
    await this.#identified(async () => {
      const [effect] = await this.#do({ is: "send", limit });
      if (effect?.do === "ask") {
        const { client, question } = effect;
        await this.#hear(async () => {
          const { lastMutationId } = await this.#network.viewer(client, NEVER);
          return { is: "asked", question, last: lastMutationId ?? 0, newId: crypto.randomUUID() };
        });
      }
      if (effect?.do !== "push") return;
      const { flight: to } = effect;
      const { epoch, atomic, policy, changes } = to;
      const input = { client: to.to, epoch, ...(atomic && { atomic }), ...(policy && { policy }), changes };
      await this.#hear(
        async () => ({ is: "answer", to, results: await this.#network.push(input, NEVER) }),
        (refusal) => ({ is: "refused", to, refusal, newId: crypto.randomUUID() }),
      );
    });
  }

  /** Nothing is sent under a token of another user. */
  async #identified(work: () => Promise<void>): Promise<void> {
    if (!this.#isIdentified) {
      try {
        const { meta } = await this.#storage.read({});
        const { id } = await this.#network.viewer(meta.client, NEVER);
        await this.#do({ is: "user", id });
        this.#isIdentified = true;
      } catch (failure) {
        if (!(failure instanceof Refused)) throw failure;
      }
    }
    if (this.#isIdentified && this.#halted === undefined) await work();
  }

  async #hear(
    ask: () => Promise<Event>,
    refused: (refusal: Refusal) => Event = (refusal) => ({ is: "unread", refusal }),
  ): Promise<void> {
    await this.#identified(async () => {
      try {
        this.#mailbox.push(await ask());
      } catch (failure) {
        if (!(failure instanceof Refused)) throw failure;
        this.#mailbox.push(refused(failure.refusal));
      }
    });
  }

  /** Delivers a message that waits. A copy of it may stay for later. */
  async #deliver(nth: number, twice: boolean): Promise<void> {
    const at = nth % Math.max(this.#mailbox.length, 1);
    const message = this.#mailbox[at];
    if (!message || this.#halted !== undefined) return;
    if (!twice) this.#mailbox.splice(at, 1);
    await this.#do(message);
  }

  /** Sends and reads until nothing waits, and everything is confirmed. */
  settle(): Promise<void> {
    return this.#life.orDie(this.#settle());
  }

  async #settle(): Promise<void> {
    while ((await this.#do({ is: "sweep" })).some((effect) => effect.do === "sweep"));
    for (let turn = 0; turn < 100 && this.#halted === undefined; turn++) {
      while (this.#mailbox.length > 0) await this.#deliver(0, false);
      const need = { unconfirmed: true, lingering: true };
      const { meta, flight, docs, lingering } = await this.#storage.read(need);
      const isOpen = flight !== null || meta.queued > 0 || docs.length + lingering.length > 0;
      if (turn > 1 && !isOpen) return;
      await this.#push(100);
      await this.#pull();
    }
  }

  state(): Promise<State> {
    return this.#life.orDie(this.#state());
  }

  async #state(): Promise<State> {
    const need = { queue: "all", lingering: true, outcomes: true } as const;
    const { meta, flight, queue, lingering, outcomes } = await this.#storage.read(need);
    const edits = [...lingering, ...(flight?.edits ?? []), ...queue];
    const documents: Record<string, Body> = {};
    for (const type of TYPES) {
      const docs = new Map((await documentsOf(this.#storage, type)).map((doc) => [doc.id, doc]));
      const mine = edits.filter((edit) => edit.type === type);
      for (const id of new Set([...docs.keys(), ...mine.map((edit) => edit.id)])) {
        const doc = docs.get(id);
        const held = doc && isAlive(meta, doc) ? doc.body : undefined;
        const seen = view(
          model,
          held,
          mine.filter((edit) => edit.id === id),
        );
        if (seen) documents[`${type}/${id}`] = seen;
      }
    }
    const unsent = meta.queued + (flight?.edits.length ?? 0);
    return {
      documents,
      outcomes: outcomes.map(outcomeOf),
      unsent,
      ...(this.#halted !== undefined && { halted: this.#halted }),
    };
  }
}

function intentOf(edit: Edit): Intent {
  return edit.op === "update" ? { op: "update", type: edit.type, id: edit.id, changes: changesOf(edit.fields) } : edit;
}

function outcomeOf({ n, status, edit: { op, type, id, set, base } }: CoreOutcome): Outcome {
  return { n, status, op, type, id, set, base };
}

function now(): string {
  return new Date().toISOString();
}
