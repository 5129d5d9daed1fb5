/**
 * A core that a test drives step by step against a real gateway. Answers wait in a mailbox until the test delivers them:
 * late, twice or never.
 */

import { Engine } from "../../src/client/engine.js";
import { EditError, type Intent } from "../../src/core/edits.js";
import { freshMeta, isAlive, type Outcome } from "../../src/core/records.js";
import type { Event } from "../../src/core/step.js";
import { view } from "../../src/core/view.js";
import type { Body } from "../../src/protocol.js";
import { memoryStorage } from "../../src/storage/memory.js";
import type { Storage } from "../../src/storage/storage.js";
import { Network } from "../../src/transport/network.js";
import { Refused } from "../../src/transport/transport.js";
import { model } from "../models/example.js";

const AT = "2026-02-28T12:30:00.000Z";
const TYPES = Object.keys(model.types);
const NEVER = new AbortController().signal;

export class Device {
  #network: Network;
  #engine: Engine;
  #mailbox: Event[] = [];
  #token: () => string;

  private constructor(
    readonly url: string,
    token: () => string,
    readonly storage: Storage,
  ) {
    this.#token = token;
    this.#engine = new Engine(model, storage);
    this.#network = this.#connect();
  }

  static async start(url: string, token: () => string, storage = memoryStorage()): Promise<Device> {
    await storage.open(freshMeta(crypto.randomUUID()));
    return new Device(url, token, storage);
  }

  #connect(): Network {
    const token = (): string => this.#token();
    return new Network({
      url: this.url,
      token,
      operations: model.operations,
      aliases: {},
      hash: model.hash,
      pollMs: 100,
    });
  }

  /** From now on it has another token. */
  turnTo(token: () => string): void {
    this.#token = token;
    this.#network = this.#connect();
  }

  /** The app ends and begins again: what is stored is all that is left. */
  restart(): void {
    this.#mailbox = [];
    this.#engine = new Engine(model, this.storage);
    this.#network = this.#connect();
  }

  /** Returns whether the view allowed it. */
  async edit(intents: readonly Intent[], atomic = false): Promise<boolean> {
    try {
      await this.#engine.do({ is: "edit", intents, at: AT, atomic, folds: true });
      return true;
    } catch (failure) {
      if (failure instanceof EditError) return false;
      throw failure;
    }
  }

  /** Asks for a page; it waits in the mailbox. */
  async pull(): Promise<void> {
    const [pull] = await this.#engine.do({ is: "begin" });
    if (pull?.do !== "pull") throw new Error("a pull begins with a request");
    const { checkpoint: from, round, refresh } = pull;
    const position = { checkpoint: from, types: TYPES, refresh };
    const page = await this.#network.pull(position, NEVER);
    this.#mailbox.push({ is: "page", page, from, types: TYPES, refresh, round, newId: crypto.randomUUID() });
  }

  /** Sends the next push, or the one without an answer again; the answer waits in the mailbox. */
  async push(limit: number): Promise<void> {
    const [effect] = await this.#engine.do({ is: "send", limit });
    if (effect?.do !== "push") return;
    const { to, epoch, atomic, policy, changes } = effect.flight;
    const input = { client: to, epoch, ...(atomic && { atomic }), ...(policy && { policy }), changes };
    try {
      this.#mailbox.push({ is: "answer", to, results: await this.#network.push(input, NEVER) });
    } catch (failure) {
      if (!(failure instanceof Refused)) throw failure;
      const { refusal } = failure;
      this.#mailbox.push({ is: "refused", to, refusal, newId: crypto.randomUUID() });
    }
  }

  /** Delivers a message that waits. A copy of it may stay for later. */
  async deliver(nth: number, twice: boolean): Promise<void> {
    const at = nth % Math.max(this.#mailbox.length, 1);
    const message = this.#mailbox[at];
    if (!message) return;
    if (!twice) this.#mailbox.splice(at, 1);
    const effects = await this.#engine.do(message);
    const halt = effects.find((effect) => effect.do === "halt");
    if (halt) throw new Error(`${halt.code}: ${halt.message}`);
  }

  lose(nth: number): void {
    this.#mailbox.splice(nth % Math.max(this.#mailbox.length, 1), 1);
  }

  /** Its checkpoint is of no use any more: the next page resets. */
  async forgetCheckpoint(): Promise<void> {
    await this.#engine.do({ is: "unread", refusal: { code: "BAD_CHECKPOINT", message: "", extensions: {} } });
  }

  /** Sends and reads until nothing waits, and everything is confirmed. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 100; turn++) {
      while (this.#mailbox.length > 0) await this.deliver(0, false);
      const { meta, flight, docs, lingering } = await this.storage.read({ unconfirmed: true, lingering: true });
      const isOpen = flight !== null || meta.queued > 0 || docs.length + lingering.length > 0;
      if (turn > 1 && !isOpen) return;
      await this.push(100);
      await this.pull();
    }
    throw new Error("it does not settle");
  }

  /** What its user sees of all tasks. */
  async views(): Promise<ReadonlyMap<string, Body>> {
    const { meta, flight, queue, lingering } = await this.storage.read({ queue: "all", lingering: true });
    const docs = new Map((await this.storage.scan("Task", null, 10_000)).map((doc) => [doc.id, doc]));
    const edits = [...lingering, ...(flight?.edits ?? []), ...queue];
    const views = new Map<string, Body>();
    for (const id of [...new Set([...docs.keys(), ...edits.map((edit) => edit.id)])].sort()) {
      const doc = docs.get(id);
      const held = doc && isAlive(meta, doc) ? doc.body : undefined;
      const seen = view(
        model,
        held,
        edits.filter((edit) => edit.id === id),
      );
      if (seen) views.set(id, seen);
    }
    return views;
  }

  async outcomes(): Promise<readonly Outcome[]> {
    return (await this.storage.read({ outcomes: true })).outcomes;
  }
}
