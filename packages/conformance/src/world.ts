/**
 * Plays a history on devices of two users and a real gateway, and judges it when all is quiet: every device shows what a
 * fresh one gets, and the documents keep what the applications were promised.
 */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Body, Device, Edit, Edits, FieldEdit, Outcome, State } from "./device.js";
import { comparable, Killed } from "./device.js";
import { freshSync } from "./feed.js";
import type { Gateway } from "./gateway.js";
import { IDS, type Act, type EditAct, type History, type Operation, type Trouble } from "./history.js";
import { Ledger } from "./ledger.js";
import type { Plan, Proxy, Traffic } from "./proxy.js";

/** By default: a client may wait a minute for an answer that never comes. */
const QUIET_MS = 90_000;
const LOOK_MS = 15;

/** Where a device of a history begins. */
export interface Place {
  readonly name: string;
  /** The gateway's endpoint as this device reaches it. */
  readonly url: string;
  readonly token: string;
  /** The team of all its users, who see the documents of `team:` and this name. */
  readonly team: string;
}

/** Another service that writes to the gateway's database. */
export interface Service {
  /** Writes something that the users of a team see. */
  write(team: string): Promise<void>;
  /** Whether a document is its own, by `type/id`. */
  owns(key: string): boolean;
  /** What it wrote last to its documents of a team, and what some documents show of that. */
  wants(team: string): Readonly<Record<string, string>>;
  has(documents: Readonly<Record<string, Body>>): Readonly<Record<string, string>>;
}

export interface WorldOptions {
  readonly gateway: Gateway;
  /** One for each device; without it devices reach the gateway directly. */
  readonly proxies?: readonly Proxy[];
  readonly devices: number;
  readonly newDevice: (place: Place, at: number) => Promise<Device>;
  readonly service?: Service;
  /** How long all devices may take to become quiet. */
  readonly quietMs?: number;
}

/** Edits that depend on what the user sees. */
type Seen = "unlabel" | "done" | "move" | "notes";

type Who = "good" | "expired" | "refused" | "other" | "withdrawn";

export class World {
  /** No other world's, also not one of an earlier run on a gateway that keeps its documents. */
  readonly #name = randomUUID().slice(-12);
  readonly #devices: Device[] = [];
  readonly #ledger = new Ledger();
  /** The tokens that each client may have; the last one is the newest. */
  readonly #mayHave: Set<Who>[] = [];
  /** The id of each place of a document, by type. */
  readonly #ids = { Task: new Array<string>(IDS), Project: new Array<string>(IDS), Article: new Array<string>(IDS) };
  #made = 0;

  private constructor(readonly options: WorldOptions) {}

  /** Plays a history to its end. Rejects with what is wrong. */
  static async play(options: WorldOptions, history: History): Promise<void> {
    const world = new World(options);
    try {
      await world.#begin(history);
      for (const [who, what] of history.steps) {
        if (who === "operator") await world.#operate(what);
        else await world.#act(who, what);
      }
      await world.#end();
    } finally {
      for (const device of world.#devices) await device.stop();
    }
  }

  /** All devices have some documents before anything goes wrong. */
  async #begin({ faults }: History): Promise<void> {
    const { devices, gateway, proxies, newDevice } = this.options;
    for (let at = 0; at < devices; at++) {
      const proxy = proxies?.[at];
      await proxy?.heal();
      const place = {
        name: `${this.#name}-${at}`,
        url: proxy ? `${proxy.origin}/graphql` : gateway.url,
        token: this.#token(at, "good"),
        team: this.#team,
      };
      this.#mayHave.push(new Set<Who>(["good"]));
      this.#devices.push(await newDevice(place, at));
    }
    for (let slot = 0; slot < IDS; slot++) await this.#make(0, "create", slot);
    for (const act of ["project", "article"] as const) await this.#make(0, act, 0);
    for (const device of this.#devices) await device.settle();
    for (const [at, proxy] of (proxies ?? []).entries()) proxy.plan = planOf(faults[at] ?? []);
  }

  get #team(): string {
    return `t${this.#name}`;
  }

  /** The first devices are one user's, and the last one is another's. */
  #user(at: number): string {
    return at < this.options.devices - 1 || at === 0 ? `a${this.#name}` : `b${this.#name}`;
  }

  #token(at: number, who: Who): string {
    const { gateway } = this.options;
    const [user, team] = [this.#user(at), this.#team];
    switch (who) {
      case "good":
        return gateway.token(user, [team]);
      case "withdrawn":
        return gateway.token(user, []);
      case "expired":
        return gateway.token(user, [team], -60);
      case "other":
        return gateway.token(`c${this.#name}`, [team]);
      case "refused":
        return "no token";
    }
  }

  /** A client may go on with the token that it has, until it is refused or the application starts again. */
  async #turnTo(at: number, who: Who): Promise<void> {
    this.#mayHave[at]?.delete(who);
    this.#mayHave[at]?.add(who);
    await this.#device(at).setToken(this.#token(at, who));
  }

  async #restart(at: number): Promise<void> {
    const last = [...(this.#mayHave[at] ?? [])].at(-1);
    this.#mayHave[at] = new Set(last === undefined ? [] : [last]);
    await this.#device(at).restart();
  }

  #device(at: number): Device {
    const device = this.#devices[at];
    assert.ok(device);
    return device;
  }

  async #operate(operation: Operation): Promise<void> {
    const { gateway } = this.options;
    switch (operation) {
      case "rotate":
        return gateway.rotate();
      case "collect":
        return gateway.collect();
      case "crash":
        return gateway.crash();
      case "backup":
        return gateway.backUp();
      case "restore":
        if (await gateway.restore()) this.#ledger.doubtAll();
        return;
      case "write":
        return this.options.service?.write(this.#team);
    }
  }

  async #act(at: number, act: Act): Promise<void> {
    const device = this.#device(at);
    const proxy = this.options.proxies?.[at];
    switch (act.act) {
      case "offline":
        // Either the network ends on the way, or the device turns its own off.
        if (proxy && this.#made % 2 === 0) proxy.setOnline(false);
        else await device.setOnline(false);
        return;
      case "online":
        proxy?.setOnline(true);
        return device.setOnline(true);
      case "cut":
        proxy?.cut();
        return;
      case "wait":
        return pause(act.ms);
      case "kill":
        return this.#restart(at);
      case "withdraw":
        return this.#turnTo(at, "withdrawn");
      case "grant":
        return this.#turnTo(at, "good");
      case "token":
        return this.#turnTo(at, act.token);
      case "special":
        return this.#mayDie(at, async () => device.special?.(act.what, act.n));
      case "refresh":
        return this.#mayDie(at, async () => device.refresh?.());
      case "reset":
        return this.#mayDie(at, async () => device.reset?.());
      case "resolve":
        return this.#mayDie(at, () => this.#resolve(at, act.nth, act.take));
      case "retry":
      case "discard":
        return this.#settle(at, act.act, act.nth);
      case "transaction": {
        const edits = [act.id, act.other].map((id) => this.#update("count", this.#ids.Task[id] ?? "none"));
        await this.#edit(at, { edits, transaction: true });
        return;
      }
      default:
        return this.#make(at, act.act, act.id);
    }
  }

  /** An application that dies is started again. */
  async #mayDie(at: number, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (failure) {
      if (!(failure instanceof Killed)) throw failure;
      await this.#restart(at);
    }
  }

  async #state(at: number): Promise<State> {
    try {
      return await this.#device(at).state();
    } catch (failure) {
      if (!(failure instanceof Killed)) throw failure;
      await this.#restart(at);
      return this.#state(at);
    }
  }

  async #edit(at: number, edits: Edits): Promise<boolean> {
    try {
      const isMade = await this.#device(at).edit(edits);
      if (isMade) this.#ledger.note(at, edits, "must");
      return isMade;
    } catch (failure) {
      if (!(failure instanceof Killed)) throw failure;
      this.#ledger.note(at, edits, "may");
      await this.#restart(at);
      return true;
    }
  }

  async #settle(at: number, act: "retry" | "discard", nth: number): Promise<void> {
    const device = this.#device(at);
    const { outcomes } = await this.#state(at);
    const open = outcomes.filter(({ op }) => act === "discard" || op === "update");
    const outcome = open[nth % Math.max(open.length, 1)];
    if (!outcome) return;
    if (act === "discard") {
      this.#ledger.discarded(at, outcome);
      await this.#mayDie(at, async () => device.discard?.(outcome.n));
      return;
    }
    await this.#mayDie(at, async () => device.retry?.(outcome.n));
    // What belongs together is made again together.
    const still = new Set((await this.#state(at)).outcomes.map(({ n }) => n));
    for (const it of outcomes) if (!still.has(it.n)) this.#ledger.retried(at, it);
  }

  /** A change that waited may take effect now. */
  async #resolve(at: number, nth: number, take: "mine" | "theirs"): Promise<void> {
    const device = this.#device(at);
    const conflicts = (await device.conflicts?.()) ?? [];
    const conflict = conflicts[nth % Math.max(conflicts.length, 1)];
    if (!conflict) return;
    const { type, documentId: id, mine } = conflict;
    const fields = Object.fromEntries(Object.entries(mine ?? {}).map(([field, value]) => [field, { set: value }]));
    this.#ledger.note(at, { edits: [{ op: "update", type, id, fields }], transaction: false }, "may");
    await device.resolve?.(conflict.id, take);
  }

  async #make(at: number, act: EditAct, slot: number): Promise<void> {
    const type = act === "project" ? "Project" : act === "article" ? "Article" : "Task";
    const ids = this.#ids[type];
    const id = ids[slot];
    if (act === "create" || id === undefined) {
      const fresh = `${this.#name}-${type}-${slot}-${++this.#made}`;
      if (await this.#edit(at, { edits: [this.#create(type, fresh)], transaction: false })) ids[slot] = fresh;
    } else if (act === "recreate") await this.#edit(at, { edits: [this.#create(type, id)], transaction: false });
    else if (act === "delete") await this.#edit(at, { edits: [{ op: "delete", type, id }], transaction: false });
    else if (act === "project" || act === "article") {
      const fields = { [act === "project" ? "name" : "text"]: { set: `value ${++this.#made}` } };
      const policy = act === "project" && this.#made % 2 === 0 ? ({ policy: "CLIENT_WINS" } as const) : {};
      await this.#edit(at, { edits: [{ op: "update", type, id, fields }], transaction: false, ...policy });
    } else if (isSeen(act)) await this.#change(at, act, id);
    else await this.#edit(at, { edits: [this.#update(act, id)], transaction: false });
  }

  #create(type: string, id: string): Edit {
    const named = type === "Project" ? "name" : "title";
    return {
      op: "create",
      type,
      id,
      document: { [named]: `value ${++this.#made}`, audience: `team:${this.#team}` },
    };
  }

  /** An update that says something of its own: minutes of work, a label, both in a count, or a title. */
  #update(act: "count" | "work" | "label" | "title", id: string): Edit {
    const made = ++this.#made;
    const fields: Record<string, FieldEdit> = act === "title" ? { title: { set: `value ${made}` } } : {};
    if (act === "count" || act === "label") fields.labels = { add: [`l${made}`] };
    if (act === "count" || act === "work") fields.minutesSpent = { increment: 1 + (made % 3) };
    return { op: "update", type: "Task", id, fields };
  }

  /** An update of what the user sees. */
  async #change(at: number, act: Seen, id: string): Promise<void> {
    const seen = (await this.#state(at)).documents[`Task/${id}`];
    if (!seen) return;
    const fields = this.#changed(at, act, seen);
    if (fields) await this.#edit(at, { edits: [{ op: "update", type: "Task", id, fields }], transaction: false });
  }

  #changed(at: number, act: Seen, seen: Body): Record<string, FieldEdit> | undefined {
    const mine = `user:${this.#user(at)}`;
    const made = ++this.#made;
    if (act === "done") return { done: { set: seen.done !== true } };
    if (act === "move") return { audience: { set: seen.audience === mine ? `team:${this.#team}` : mine } };
    if (act === "notes") return { notes: { set: `${typeof seen.notes === "string" ? seen.notes : ""}Line ${made}. ` } };
    const labels = Array.isArray(seen.labels) ? (seen.labels as readonly string[]) : [];
    const label = labels[made % Math.max(labels.length, 1)];
    return label === undefined ? undefined : { labels: { remove: [label] } };
  }

  /** Everything works from now on. Waits until all is quiet, and judges. */
  async #end(): Promise<void> {
    for (const [at, device] of this.#devices.entries()) {
      await this.options.proxies?.[at]?.heal();
      await device.setOnline(true);
      await this.#turnTo(at, "good");
      const { halted } = await this.#state(at);
      if (halted !== undefined || (this.#mayHave[at]?.size ?? 0) > 1) await this.#restart(at);
    }
    const deadline = Date.now() + (this.options.quietMs ?? QUIET_MS);
    let [states, truths] = await this.#look();
    while (!this.#isQuiet(states, truths) && Date.now() < deadline) {
      await pause(LOOK_MS);
      [states, truths] = await this.#look();
    }
    states.forEach((state, at) => {
      assert.equal(state.halted, undefined, `device ${at} has halted`);
      assert.equal(state.unsent, 0, `device ${at} has not sent all`);
      assert.deepEqual(state.documents, truths[at], `device ${at} shows other documents than a fresh one`);
      assert.deepEqual(state.differing ?? [], [], `device ${at} says that it differs, and equals a fresh one`);
    });
    const outcomes: (readonly Outcome[])[] = states.map((state) => state.outcomes);
    this.#ledger.check(this.#ofDevices(truths), outcomes);
    for (const [at, device] of this.#devices.entries()) {
      // A crash that was drawn earlier may come only now.
      await this.#mayDie(at, async () => device.judge?.(truths[at] ?? {}));
    }
  }

  /** What devices have made. Of what a service has made, the last is there. */
  #ofDevices(truths: readonly Record<string, Body>[]): Record<string, Body> {
    const { service } = this.options;
    const documents = Object.assign({}, ...truths) as Record<string, Body>;
    if (!service) return documents;
    assert.deepEqual(service.has(documents), service.wants(this.#team), "what a service has written is not there");
    return Object.fromEntries(Object.entries(documents).filter(([key]) => !service.owns(key)));
  }

  #isQuiet(states: readonly State[], truths: readonly Record<string, Body>[]): boolean {
    const { service } = this.options;
    const [first = {}] = truths;
    const isRead = !service || isDeepStrictEqual(service.has(first), service.wants(this.#team));
    return isRead && states.every((state, at) => isQuiet(state, truths[at]));
  }

  async #look(): Promise<readonly [readonly State[], readonly Record<string, Body>[]]> {
    const states = await Promise.all(
      this.#devices.map(async (device, at) => {
        await this.#mayDie(at, () => device.settle());
        const state = await this.#state(at);
        return { ...state, documents: comparable(state.documents) };
      }),
    );
    const tokens = this.#devices.map((_, at) => this.#token(at, "good"));
    // The devices of one user get the same.
    const truths = await Promise.all(tokens.map((token) => freshSync(this.options.gateway.url, token)));
    return [states, truths];
  }
}

function isSeen(act: EditAct): act is Seen {
  return act === "unlabel" || act === "done" || act === "move" || act === "notes";
}

function isQuiet({ unsent, documents, differing = [] }: State, truth: Readonly<Record<string, Body>> = {}): boolean {
  return unsent === 0 && differing.length === 0 && JSON.stringify(documents) === JSON.stringify(truth);
}

/** Carries out troubles one after the other. */
function planOf(troubles: readonly Trouble[]): Plan {
  let [at, passed] = [0, 0];
  return ({ kind }: Traffic) => {
    const next = troubles[at];
    if (next?.kind !== kind || passed++ < next.after) return undefined;
    [at, passed] = [at + 1, 0];
    return next.fault;
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
