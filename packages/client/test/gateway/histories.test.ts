/**
 * Random histories of several devices over one real gateway: edits offline and online, answers that come late, twice or
 * never, restarts between any two steps, resets, and a team that is withdrawn and given back. In the end all devices see
 * what a fresh one gets, and each edit that was not refused took effect once.
 *
 * TIDEGATE_HISTORIES sets their number, TIDEGATE_HISTORIES_SEED repeats those of a run. A failure prints its seed and is
 * cut down.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import type { Intent } from "../../src/core/edits.js";
import type { Body } from "../../src/protocol.js";
import "fake-indexeddb/auto";
import { add, increment, indexedDBStorage, memoryStorage, type Storage } from "../../src/index.js";
import { Device } from "./device.js";
import { Gateway } from "./gateway.js";

const HISTORIES = Number(process.env.TIDEGATE_HISTORIES ?? 200);
const SEED = process.env.TIDEGATE_HISTORIES_SEED;
const DEVICES = 3;
const IDS = 4;

let gateway: Gateway;
let histories = 0;

before(async () => {
  gateway = await Gateway.start();
});

after(() => gateway.stop());

type Act =
  | { readonly act: "create" | "increment" | "label" | "title" | "delete" | "move"; readonly id: number }
  | { readonly act: "transaction"; readonly id: number; readonly other: number }
  | { readonly act: "pull" | "restart" | "forget" | "withdraw" | "grant" }
  | { readonly act: "push"; readonly limit: number }
  | { readonly act: "deliver"; readonly nth: number; readonly twice: boolean }
  | { readonly act: "lose"; readonly nth: number };

const id = fc.nat(IDS - 1);
const nth = fc.nat(3);
const one = (act: "pull" | "restart" | "forget" | "withdraw" | "grant"): fc.Arbitrary<Act> => fc.constant({ act });
const edits = ["create", "increment", "label", "title", "delete", "move"] as const;
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ act: fc.constantFrom(...edits), id }) },
  { weight: 6, arbitrary: fc.record({ act: fc.constant("increment" as const), id }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("transaction" as const), id, other: id }) },
  { weight: 8, arbitrary: one("pull") },
  { weight: 8, arbitrary: fc.record({ act: fc.constant("push" as const), limit: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 16, arbitrary: fc.record({ act: fc.constant("deliver" as const), nth, twice: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("lose" as const), nth }) },
  { weight: 2, arbitrary: one("restart") },
  { weight: 1, arbitrary: one("forget") },
  { weight: 1, arbitrary: one("withdraw") },
  { weight: 2, arbitrary: one("grant") },
);
const history = fc.array(fc.tuple(fc.nat(DEVICES - 1), act), { minLength: 1, maxLength: 120, size: "max" });

/** What the application did by intention. */
interface Ledger {
  readonly device: number;
  readonly id: string;
  readonly by: number;
  readonly label: string | undefined;
}

class World {
  readonly #user = `u${++histories}`;
  readonly #team = `t${histories}`;
  readonly #devices: Device[] = [];
  readonly #ledger: Ledger[] = [];
  #labels = 0;
  #created = 0;
  /** One document is created by one device, and has an id of its own each time. */
  readonly #ids: string[] = [];

  async start(): Promise<this> {
    for (let at = 0; at < DEVICES; at++) this.#devices.push(await this.#device(storageOf(this.#user, at)));
    const [first] = this.#devices;
    if (first) for (let slot = 0; slot < IDS; slot++) await this.#create(first, slot);
    for (const device of this.#devices) await device.settle();
    return this;
  }

  #device(storage?: Storage): Promise<Device> {
    return Device.start(gateway.url, () => gateway.token(this.#user, [this.#team]), storage);
  }

  async act(at: number, act: Act): Promise<void> {
    const device = this.#devices[at];
    if (!device) return;
    switch (act.act) {
      case "pull":
        return device.pull();
      case "push":
        return device.push(act.limit);
      case "deliver":
        return device.deliver(act.nth, act.twice);
      case "lose":
        device.lose(act.nth);
        return;
      case "restart":
        device.restart();
        return;
      case "forget":
        return device.forgetCheckpoint();
      case "withdraw":
        device.turnTo(() => gateway.token(this.#user, []));
        return;
      case "grant":
        device.turnTo(() => gateway.token(this.#user, [this.#team]));
        return;
      case "transaction": {
        const edits = [act.id, act.other].map((id) => this.#update(at, id));
        if (
          await device.edit(
            edits.map(([intent]) => intent),
            true,
          )
        )
          this.#ledger.push(...edits.map(([, it]) => it));
        return;
      }
      case "create":
        return this.#create(device, act.id);
      case "increment":
      case "label": {
        const [intent, entry] = this.#update(at, act.id, act.act);
        if (await device.edit([intent])) this.#ledger.push(entry);
        return;
      }
      case "title":
      case "move":
      case "delete":
        await device.edit([this.#other(act.act, this.#id(act.id))]);
    }
  }

  async #create(device: Device, slot: number): Promise<void> {
    const id = `${this.#user}-${slot}-${++this.#created}`;
    const document = { title: "t", audience: `team:${this.#team}` };
    if (await device.edit([{ op: "create", type: "Task", id, document }])) this.#ids[slot] = id;
  }

  #id(slot: number): string {
    return this.#ids[slot] ?? "none";
  }

  #update(device: number, slot: number, act: "increment" | "label" = "increment"): readonly [Intent, Ledger] {
    const id = this.#id(slot);
    const label = act === "label" ? `l${++this.#labels}` : undefined;
    const changes = label === undefined ? { minutesSpent: increment(1) } : { labels: add(label) };
    return [
      { op: "update", type: "Task", id, changes },
      { device, id, by: label === undefined ? 1 : 0, label },
    ];
  }

  #other(act: "title" | "move" | "delete", id: string): Intent {
    if (act === "delete") return { op: "delete", type: "Task", id };
    const audience = (seen: Body): string =>
      seen.audience === `user:${this.#user}` ? `team:${this.#team}` : `user:${this.#user}`;
    return {
      op: "update",
      type: "Task",
      id,
      changes: (seen) => (act === "title" ? { title: String(this.#labels++) } : { audience: audience(seen) }),
    };
  }

  async end(): Promise<void> {
    for (const device of this.#devices) device.turnTo(() => gateway.token(this.#user, [this.#team]));
    for (const device of this.#devices) await device.settle();
    for (const device of this.#devices) await device.settle();
    const fresh = await this.#device();
    await fresh.settle();
    const truth = await fresh.views();
    for (const device of this.#devices) assert.deepEqual(await device.views(), truth);
    await this.#compareWithLedger(truth);
    for (const device of this.#devices) await device.storage.destroy();
  }

  /** Each increment and each label of an edit that was not refused is there once. */
  async #compareWithLedger(truth: ReadonlyMap<string, Body>): Promise<void> {
    const lost = await Promise.all(this.#devices.map((device) => device.outcomes()));
    const failed = lost.flat().filter(({ status }) => status !== "MERGED");
    for (const [id, body] of truth) {
      const made = this.#ledger.filter((it) => it.id === id);
      const refused = failed.filter(({ edit }) => edit.id === id && edit.op === "update").map(({ edit }) => edit);
      const withdrawn = refused.map(({ set, base }) => Number(set.minutesSpent ?? 0) - Number(base.minutesSpent ?? 0));
      const expected = sum(made.map((it) => it.by)) - sum(withdrawn);
      assert.equal(body.minutesSpent, expected, `the count of ${id}`);
      const gone = new Set(refused.flatMap(({ set, base }) => added(set, base)));
      const labels = made.flatMap(({ label }) => (label !== undefined && !gone.has(label) ? [label] : []));
      assert.deepEqual([...(body.labels as string[])].sort(), labels.sort(), `the labels of ${id}`);
    }
  }
}

/** One of the devices keeps what it has in IndexedDB. */
function storageOf(user: string, device: number): Storage {
  return device === 0 ? indexedDBStorage(`${user}-${device}`) : memoryStorage();
}

function added(set: Body, base: Body): readonly string[] {
  const [after, before] = [(set.labels ?? []) as string[], (base.labels ?? []) as string[]];
  return after.filter((label) => !before.includes(label));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

test(`in the end all devices equal the gateway, and each edit took effect once (${HISTORIES} histories)`, async () => {
  const property = fc.asyncProperty(history, async (acts) => {
    const world = await new World().start();
    for (const [device, act] of acts) await world.act(device, act);
    await world.end();
  });
  await fc.assert(property, { numRuns: HISTORIES, ...(SEED !== undefined && { seed: Number(SEED) }) });
});
