/**
 * When pulls are compared with what a client keeps (1.18): a client over a network that is played by hand.
 */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Engine } from "../../src/client/engine.js";
import { Sync } from "../../src/client/sync.js";
import { freshMeta } from "../../src/core/records.js";
import type { Page, Result } from "../../src/protocol.js";
import { memoryStorage } from "../../src/storage/memory.js";
import type { Position, Transport, Viewer } from "../../src/transport/transport.js";
import { model } from "../models/example.js";

const CONFIRM_MS = 20;
const HEARD_MS = 5_000;

/** A gateway whose pages name no document. */
class Played implements Transport {
  readonly stream = "socket";
  readonly pulls: Position[] = [];
  digests: NonNullable<Page["digests"]> = [];
  /** Awaited while a catch-up is under way. */
  meanwhile = (): Promise<void> => Promise.resolve();

  async pull(position: Position): Promise<Page> {
    this.pulls.push(position);
    await this.meanwhile();
    return this.#page(position);
  }

  async follow(position: Position, take: (page: Page) => Promise<void>, signal: AbortSignal): Promise<void> {
    await this.meanwhile();
    await take(this.#page(position));
    while (!signal.aborted) await pause(1);
  }

  push(): Promise<readonly Result[]> {
    return Promise.resolve([{ status: "APPLIED", version: 1, document: null }]);
  }

  viewer(): Promise<Viewer> {
    return Promise.resolve({ id: "alice", lastMutationId: null });
  }

  wake(): void {
    // It sleeps never.
  }

  #page({ checkpoint }: Position): Page {
    const { digests } = this;
    const reset = checkpoint === null;
    return { changes: [], checkpoint: "c", hasMore: false, reset, revokedScopes: [], epoch: "e", digests };
  }
}

let end: (() => Promise<void>) | undefined;

afterEach(() => end?.());

/** A client that follows. */
async function following(): Promise<{ gateway: Played; engine: Engine; sync: Sync }> {
  const gateway = new Played();
  const storage = memoryStorage();
  await storage.open(freshMeta("c1"));
  const engine = new Engine(model, storage);
  let phase: string | undefined;
  const sync = new Sync({
    engine,
    term: await engine.lead(),
    transport: gateway,
    types: ["Task"],
    first: [],
    pauses: { minMs: 1, maxMs: 5 },
    confirmMs: CONFIRM_MS,
    say: (change) => {
      phase = change.phase ?? phase;
    },
  });
  void sync.run();
  end = () => sync.stop();
  await until(() => Promise.resolve(phase === "live"));
  return { gateway, engine, sync };
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + HEARD_MS;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, "it never holds");
    await pause(1);
  }
}

/** An edit is made, sent and answered. */
async function answered({ engine, sync }: { readonly engine: Engine; readonly sync: Sync }): Promise<void> {
  const { meta: before } = await engine.storage.read({});
  const intent = { op: "create", type: "Task", id: `t${before.next}`, document: { title: "made" } } as const;
  await engine.do({ is: "edit", intents: [intent], at: new Date().toISOString(), atomic: false, folds: true });
  sync.kick();
  await until(async () => {
    const { meta, flight } = await engine.storage.read({});
    return meta.next > before.next && flight === null;
  });
}

test("1.18 a client that sends whenever it reads compares all the same, and finds what it lacks", async () => {
  const { gateway, engine, sync } = await following();
  gateway.digests = [{ scope: "s", digest: "f".repeat(32) }];
  let catchUps = 0;
  // The pull is disturbed, and so is the catch-up of the subscription after it.
  gateway.meanwhile = async () => {
    if (++catchUps <= 2) await answered({ engine, sync });
  };
  sync.reread();
  await until(async () => (await engine.storage.read({})).meta.differing?.s === false);
  assert.deepEqual(gateway.pulls.at(-1)?.reread, ["s"]);
});

test("1.18 a client that was compared pulls no more, also when it sends", async () => {
  const { gateway, engine, sync } = await following();
  const { length } = gateway.pulls;
  for (let edits = 0; edits < 3; edits++) {
    await answered({ engine, sync });
    await pause(2 * CONFIRM_MS);
  }
  assert.equal(gateway.pulls.length, length);
});
