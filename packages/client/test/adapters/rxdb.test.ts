import assert from "node:assert/strict";
import "fake-indexeddb/auto";
import { after, before, beforeEach, test } from "node:test";
import { createRxDatabase, type RxCollection } from "rxdb";
import { getRxStorageDexie } from "rxdb/plugins/storage-dexie";
import { getRxStorageMemory } from "rxdb/plugins/storage-memory";
import { WebSocket as NodeWebSocket } from "ws";
import { replicateRxDB } from "../../src/adapters/rxdb.js";
import { increment } from "../../src/index.js";
import { newName, offline, pairOf, shownIn, TASKS, Team, type TaskDoc } from "./rxdb-app.js";
import { eventually, newStorage, quiet, until, World } from "./world.js";

let world: World;
/** Each test has a team of its own. */
let team: Team;
let teams = 0;

before(async () => {
  world = await World.start();
});

after(() => world.stop());

beforeEach(() => {
  team = new Team(world, `rxdb${++teams}`);
});

/** All that is stored in any database of this process. */
async function onDisk(): Promise<string> {
  let text = "";
  for (const { name = "" } of await indexedDB.databases()) {
    const opening = indexedDB.open(name);
    const database = await new Promise<IDBDatabase>((resolve, reject) => {
      opening.onsuccess = () => {
        resolve(opening.result);
      };
      opening.onerror = () => {
        reject(opening.error ?? new Error(name));
      };
    });
    for (const store of database.objectStoreNames) {
      const reading = database.transaction(store).objectStore(store).getAll();
      await new Promise((resolve) => {
        reading.onsuccess = resolve;
      });
      text += JSON.stringify(reading.result);
    }
    database.close();
  }
  return text;
}

test("it loses no documents: 1,500 made offline arrive, and 1,500 of others come", async () => {
  const app = await team.app({ user: "mia", online: false });
  const ids = Array.from({ length: 1_500 }, (_, at) => `many-${at}`);
  await app.tasks.bulkInsert(ids.map((id) => ({ id, title: id })));
  await app.sync.inSync();
  app.device.online = true;
  await quiet(app.device);
  const other = await team.app({ user: "mia" });
  await until(
    other.device.client.tasks.live(),
    (found) => found.filter(({ id }) => id.startsWith("many-")).length === 1_500,
  );
  await other.sync.inSync();
  assert.equal((await other.tasks.find({ selector: { id: { $regex: "^many-" } } }).exec()).length, 1_500);
  assert.deepEqual(await until(app.device.client.outcomes, () => true), []);
  await Promise.all([app.close(), other.close()]);
});

test("it does not loop: at rest there are no pulls, no pushes and no requests", async () => {
  const app = await team.app();
  const id = await team.shared("Quiet");
  await eventually("it comes", async () => (await shownIn(app, id)) !== undefined, 30_000);
  await (await app.tasks.findOne(id).exec(true)).incrementalPatch({ done: true });
  await quiet(app.device);
  await app.sync.inSync();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const { tasks: mirror } = app.sync.mirrors;
  assert.ok(mirror);
  const { replication } = mirror;
  let rows = 0;
  const subscriptions = [replication.received$, replication.sent$].map((it) => it.subscribe(() => (rows += 1)));
  const { down, up } = replication.internalReplicationState?.stats ?? assert.fail("it has begun");
  const [pulls, pushes, requests] = [down.downstreamResyncOnce, up.persistToMaster, app.device.requests.length];
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  assert.deepEqual([rows, down.downstreamResyncOnce, up.persistToMaster], [0, pulls, pushes]);
  assert.equal(app.device.requests.length, requests);
  for (const subscription of subscriptions) subscription.unsubscribe();
  await app.close();
});

test("it is not deaf when a token has ended", async () => {
  const app = await team.app({ short: true });
  const id = await team.shared("Before the end");
  await eventually("it comes", async () => (await shownIn(app, id)) !== undefined, 30_000);
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  const later = await team.shared("After the end");
  await eventually("it comes too", async () => (await shownIn(app, later))?.title === "After the end");
  await app.close();
});

test("it is not deaf on a dead socket", async () => {
  let isDead = false;
  class Mortal extends NodeWebSocket {
    override emit(event: string, ...args: unknown[]): boolean {
      return isDead && this.born < died ? false : super.emit(event, ...args);
    }
    readonly born = Date.now();
  }
  let died = 0;
  const app = await team.app({ webSocket: Mortal as unknown as typeof WebSocket });
  await quiet(app.device);
  [isDead, died] = [true, Date.now() + 1];
  await new Promise((resolve) => setTimeout(resolve, 5));
  const id = await team.shared("Not heard");
  await eventually("it comes by another one", async () => (await shownIn(app, id)) !== undefined, 45_000);
  await app.close();
});

test("it joins counters and sets: what two devices add offline is added up", async () => {
  const id = await team.shared("Counted");
  const [one, two] = await Promise.all([team.app(), team.app({ user: "bob" })]);
  for (const app of [one, two]) {
    await eventually("it comes", async () => (await shownIn(app, id)) !== undefined, 30_000);
    app.device.online = false;
  }
  for (const [app, label] of [
    [one, "one"],
    [two, "two"],
  ] as const) {
    for (let times = 0; times < 3; times++) {
      const doc = await app.tasks.findOne(id).exec(true);
      await doc.incrementalModify((it) => ({
        ...it,
        minutesSpent: (it.minutesSpent ?? 0) + 1,
        labels: [...new Set([...(it.labels ?? []), label])],
      }));
    }
    await app.sync.inSync();
  }
  for (const { device } of [one, two]) device.online = true;
  for (const app of [one, two]) {
    await eventually("it adds up", async () => (await shownIn(app, id))?.minutesSpent === 6);
    assert.deepEqual([...((await shownIn(app, id))?.labels ?? [])].sort(), ["one", "two"]);
  }
  await Promise.all([one.close(), two.close()]);
});

test("it leaves no revoked text on disk", async () => {
  const secret = "The recipe of the sauce";
  const id = await team.shared(secret);
  const app = await team.app({ user: "eve", rxStorage: getRxStorageDexie(), short: true });
  await eventually("it comes", async () => (await shownIn(app, id)) !== undefined, 30_000);
  await (await app.tasks.findOne(id).exec(true)).incrementalPatch({ done: true });
  await quiet(app.device);
  await app.sync.inSync();
  assert.ok((await onDisk()).includes(secret));
  app.device.teams = [];
  await eventually("it goes", async () => (await shownIn(app, id)) === undefined);
  await app.sync.inSync();
  await eventually("its text goes", async () => !(await onDisk()).includes(secret));
  await app.close();
});

test("it leaves nothing on disk after a sign-out, and refuses to lose what is not sent", async () => {
  const secret = "A diary";
  const app = await team.app({ rxStorage: getRxStorageDexie(), online: false });
  await app.tasks.insert({ id: "diary", title: secret });
  await assert.rejects(app.sync.signOut(), { name: "ClientError", code: "UNSENT_EDITS" });
  app.device.online = true;
  await quiet(app.device);
  assert.ok((await onDisk()).includes(secret));
  await app.sync.signOut();
  assert.ok(!(await onDisk()).includes(secret));
  await app.rx.close();
});

test("what RxDB has no slot for is an outcome: REJECTED and MERGED", async () => {
  const id = await team.shared("Edited twice");
  const app = await team.app();
  await eventually("it comes", async () => (await shownIn(app, id)) !== undefined, 30_000);
  app.device.online = false;
  await (await app.tasks.findOne(id).exec(true)).incrementalPatch({ title: "Mine", notes: "Mine." });
  await app.tasks.insert({ id: "not-mine", title: "Carol's", audience: "user:carol" });
  await app.sync.inSync();
  const bob = team.device({ user: "bob" });
  await until(bob.client.tasks.live({ where: { id: { eq: id } } }), (found) => found.length === 1);
  await bob.client.tasks.update(id, { minutesSpent: increment(1) });
  await quiet(bob);
  app.device.online = true;
  const outcomes = await until(app.device.client.outcomes, (found) => found.length === 2);
  assert.deepEqual(outcomes.map(({ status, error }) => [status, error?.code]).sort(), [
    ["MERGED", undefined],
    ["REJECTED", "FORBIDDEN"],
  ]);
  await eventually("the rejected one goes", async () => (await shownIn(app, "not-mine")) === undefined);
  await eventually("the merged one shows both", async () => {
    const task = await shownIn(app, id);
    return task?.title === "Mine" && task.minutesSpent === 1;
  });
  await app.close();
});

test("an edit of a deleted document is a CONFLICT, with what was written", async () => {
  const id = await team.shared("Deleted meanwhile");
  const app = await team.app();
  await eventually("it comes", async () => (await shownIn(app, id)) !== undefined, 30_000);
  app.device.online = false;
  await (await app.tasks.findOne(id).exec(true)).incrementalPatch({ notes: "Typed on a train." });
  await app.sync.inSync();
  const bob = team.device({ user: "bob" });
  await until(bob.client.tasks.live({ where: { id: { eq: id } } }), (found) => found.length === 1);
  await bob.client.tasks.delete(id);
  await quiet(bob);
  app.device.online = true;
  const [outcome] = await until(app.device.client.outcomes, (found) => found.length > 0);
  assert.ok(outcome?.type === "Task");
  assert.deepEqual([outcome.status, outcome.mine.notes], ["CONFLICT", "Typed on a train."]);
  await eventually("RxDB shows what is there", async () => (await shownIn(app, id)) === undefined);
  await app.close();
});

test("a reset reads everything again, and RxDB loses nothing", async () => {
  const id = await team.shared("Kept");
  const app = await team.app();
  await eventually("it comes", async () => (await shownIn(app, id)) !== undefined, 30_000);
  for (let times = 0; times < 3; times++) {
    const doc = await app.tasks.findOne(id).exec(true);
    await doc.incrementalModify((it) => ({ ...it, minutesSpent: (it.minutesSpent ?? 0) + 1 }));
    await app.device.client.reset();
  }
  await app.sync.inSync();
  await quiet(app.device);
  await app.sync.inSync();
  assert.equal((await shownIn(app, id))?.minutesSpent, 3);
  await app.close();
});

test("an edit made offline outlasts a restart of both databases, and arrives once", async () => {
  const id = await team.shared("Restarted");
  const options = { storage: newStorage(), name: "restarted", rxStorage: getRxStorageDexie() };
  const first = await team.app(options);
  await eventually("it comes", async () => (await shownIn(first, id)) !== undefined);
  first.device.online = false;
  const doc = await first.tasks.findOne(id).exec(true);
  await doc.incrementalModify((it) => ({ ...it, minutesSpent: (it.minutesSpent ?? 0) + 7 }));
  await first.tasks.insert({ id: `${id}-new`, title: "Made offline", audience: team.audience });
  await first.close();
  const again = await team.app(options);
  await again.sync.inSync();
  await quiet(again.device);
  const bob = team.device({ user: "bob" });
  const tasks = await until(bob.client.tasks.live({ where: { id: { in: [id, `${id}-new`] } } }), (found) => {
    return found.length === 2;
  });
  assert.deepEqual(tasks.map(({ minutesSpent }) => minutesSpent).sort(), [0, 7]);
  await again.close();
});

test("twenty edits made at once arrive, all of them and in their order", async () => {
  const app = await team.app();
  const ids = Array.from({ length: 20 }, (_, at) => `ordered-${at}`);
  await Promise.all(ids.map((id) => app.tasks.insert({ id, title: id, audience: team.audience })));
  await app.sync.inSync();
  await quiet(app.device);
  const sent = app.device.requests.filter((body) => body.includes("mutation PushChanges")).join("");
  const order = [...sent.matchAll(/"create":\{"id":"(ordered-[^"]*)"/g)].map(([, id]) => id);
  assert.deepEqual([...new Set(order)], ids);
  await app.close();
});

test("a row that no edit can carry is refused with its error, and a handler that throws stops nothing", async (t) => {
  t.mock.method(console, "error", () => undefined);
  const app = await team.app({ online: false });
  app.refused.push = () => {
    throw new Error("a mistake of the app");
  };
  await app.tasks.insert({ id: "half", title: "half a character: \ud83d" });
  await app.tasks.insert({ id: "whole", title: "A whole one" });
  await app.sync.inSync();
  assert.equal(await shownIn(app, "half"), undefined);
  assert.equal((await app.device.client.tasks.get("whole"))?.title, "A whole one");
  Reflect.deleteProperty(app.refused, "push");
  await app.tasks.insert({ id: "half", title: "half a character: \ud83d" });
  await app.sync.inSync();
  assert.deepEqual(
    app.refused.map(({ type, document, error }) => [type, document.id, error.code]),
    [["Task", "half", "INVALID_VALUE"]],
  );
  await app.close();
});

test("a schema that the adapter cannot use is refused", async () => {
  const device = team.device({ online: false });
  const rx = await createRxDatabase({ name: newName(), storage: getRxStorageMemory(), multiInstance: false });
  const { syncLocal: _, ...properties } = TASKS.properties;
  const { tasks } = await rx.addCollections({ tasks: { schema: { ...TASKS, properties } } });
  const replicate = (collections: Record<string, RxCollection>) => () =>
    replicateRxDB({ client: device.client, collections });
  assert.throws(replicate({ tasks: tasks as RxCollection }), {
    name: "TypeError",
    message: "Task needs an integer syncLocal",
  });
  assert.throws(replicate({ things: tasks as RxCollection }), {
    name: "TypeError",
    message: "the model has no collection things",
  });
  await rx.close();
});

/** Random writes on both sides while answers are lost after they were stored. */
async function history(seed: number): Promise<void> {
  let state = seed;
  const random = (below: number): number => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor(state / 65536) % below;
  };
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const client = offline();
  await client.tasks.create({ id: "a", title: "A" });
  let isLosing = true;
  const { tasks, mirror, close } = await pairOf({
    client,
    inTurn: async (work) => {
      const answer = await work();
      if (isLosing && random(3) === 0) throw new Error("the page ends here");
      await pause(random(4));
      return answer;
    },
  });
  await mirror.inSync();
  let [made, others] = [0, 0];
  for (let at = 0; at < 40; at++) {
    const what = random(10);
    if (what < 6) {
      const doc = await tasks.findOne("a").exec(true);
      await doc.incrementalModify((it: TaskDoc) => ({ ...it, minutesSpent: (it.minutesSpent ?? 0) + 1 }));
      made += 1;
    } else if (what < 8) {
      await client.tasks.update("a", { minutesSpent: increment(1) });
      others += 1;
    } else await pause(random(12));
  }
  isLosing = false;
  await mirror.inSync();
  const shown = (await tasks.findOne("a").exec(true)).minutesSpent;
  const held = (await client.tasks.get("a"))?.minutesSpent;
  assert.deepEqual([shown, held], [made + others, made + others], `seed ${seed}`);
  await close();
  await client.close();
}

test("each write becomes one edit, however often RxDB repeats its rows", async () => {
  const first = Number(process.env.TIDEGATE_RXDB_SEED ?? Math.floor(Math.random() * 1e6));
  for (let seed = first; seed < first + 8; seed++) await history(seed);
});
