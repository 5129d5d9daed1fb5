/**
 * Orders of writes that a busy machine can bring about, forced: between RxDB's write, its notes and the client's edits.
 */

import assert from "node:assert/strict";
import "fake-indexeddb/auto";
import { after, before, test } from "node:test";
import { RxDBLeaderElectionPlugin } from "rxdb/plugins/leader-election";
import { getRxStorageDexie } from "rxdb/plugins/storage-dexie";
import { getRxStorageMemory } from "rxdb/plugins/storage-memory";
import { addRxPlugin } from "rxdb";
import { increment, indexedDBStorage, type Status } from "../../src/index.js";
import { Gate, newName, offline, pairOf, shownIn, Team, watched, type Pair, type TaskDoc } from "./rxdb-app.js";
import { eventually, quiet, until, World } from "./world.js";

/** RxDB's names for what it writes. */
const NOTES_A_PULL = "replication-down-write-meta";

let world: World;

before(async () => {
  addRxPlugin(RxDBLeaderElectionPlugin);
  world = await World.start();
});

after(() => world.stop());

/** What the app does to the minutes of a task, as a user who sees it. */
async function spend({ tasks }: Pick<Pair, "tasks">, minutes: number): Promise<void> {
  const doc = await tasks.findOne("a").exec(true);
  await doc.incrementalModify((it: TaskDoc) => ({ ...it, minutesSpent: (it.minutesSpent ?? 0) + minutes }));
}

async function minutesOf({ client, tasks }: Pair): Promise<readonly (number | undefined)[]> {
  return [(await tasks.findOne("a").exec())?.minutesSpent, (await client.tasks.get("a"))?.minutesSpent];
}

test("the status says from the moment of a write that something is not sent", async () => {
  const team = new Team(world, "status");
  const app = await team.app();
  await quiet(app.device);
  await app.sync.inSync();
  const unsent = (): number | undefined => app.sync.status.value?.unsent;
  assert.equal(unsent(), 0);
  const said: Status[] = [];
  app.sync.status.subscribe((status) => said.push(status));
  const writes: readonly (() => Promise<unknown>)[] = [
    () => app.tasks.insert({ id: "said", title: "Said", audience: team.audience }),
    async () => (await app.tasks.findOne("said").exec(true)).incrementalPatch({ notes: "More." }),
    async () => (await app.tasks.findOne("said").exec(true)).incrementalRemove(),
  ];
  for (const [at, write] of writes.entries()) {
    said.length = 0;
    await write();
    assert.equal(unsent(), 1);
    await until(app.sync.status, (status) => status.unsent === 0);
    const sent = app.device.requests.filter((body) => body.includes("mutation PushChanges"));
    assert.equal(sent.length, at + 1);
    // Once it is said to be sent, it is.
    const first = said.findIndex((status) => status.unsent === 0);
    assert.ok(said.slice(first).every((status) => status.unsent === 0));
  }
  app.device.online = false;
  await app.tasks.insert({ id: "waits", title: "Waits", audience: team.audience });
  assert.equal(unsent(), 1);
  await app.sync.inSync();
  await until(app.sync.status, (status) => status.unsent === 1);
  await app.close();
});

test("what others did before RxDB has noted it is not the app's", async () => {
  const [notes, pushes] = [new Gate(), new Gate()];
  const pair = await pairOf({
    rxStorage: watched(getRxStorageMemory(), (purpose) =>
      purpose === NOTES_A_PULL ? notes.pass() : Promise.resolve(),
    ),
    inTurn: async (work) => {
      await pushes.pass();
      return work();
    },
  });
  const { client, mirror } = pair;
  await client.tasks.create({ id: "a", title: "A" });
  await mirror.inSync();
  notes.close();
  await client.tasks.update("a", { minutesSpent: increment(10) });
  await eventually("RxDB shows it", async () => (await minutesOf(pair))[0] === 10);
  assert.ok(notes.isReached);
  // The row begins with a state of 0 minutes. RxDB cannot note its answer, since it notes the pull meanwhile.
  pushes.close();
  await spend(pair, 5);
  await eventually("it is pushed", () => pushes.isReached);
  notes.open();
  await eventually("the pull is noted", () => !notes.isReached);
  pushes.open();
  await eventually("it is an edit", async () => (await minutesOf(pair))[1] === 15);
  await spend(pair, 5);
  await client.tasks.update("a", { minutesSpent: increment(10) });
  await mirror.inSync();
  assert.deepEqual(await minutesOf(pair), [30, 30]);
  // It goes on following.
  await client.tasks.delete("a");
  await mirror.inSync();
  assert.deepEqual(await minutesOf(pair), [undefined, undefined]);
  await pair.close();
  await client.close();
});

test("what RxDB was given and had not noted when the page was closed is not the app's", async () => {
  const client = offline();
  let isClosing = false;
  const rxStorage = watched(getRxStorageDexie(), (purpose) => {
    if (isClosing && purpose === NOTES_A_PULL) return Promise.reject(new Error("the page ends here"));
    return Promise.resolve();
  });
  const options = { client, rxStorage, name: newName() };
  const first = await pairOf(options);
  await client.tasks.create({ id: "a", title: "A" });
  await first.mirror.inSync();
  isClosing = true;
  await client.tasks.update("a", { title: "B", minutesSpent: increment(10) });
  await eventually("RxDB shows it", async () => (await minutesOf(first))[0] === 10);
  await first.close();
  isClosing = false;
  await client.tasks.update("a", { title: "C" });
  const again = await pairOf(options);
  await again.mirror.inSync();
  assert.deepEqual(await minutesOf(again), [10, 10]);
  assert.equal((await client.tasks.get("a"))?.title, "C");
  await again.close();
  await client.close();
});

test("a write that takes another one back is one too, whatever comes between", async () => {
  const pushes = new Gate();
  const pair = await pairOf({
    inTurn: async (work) => {
      const answer = await work();
      await pushes.pass();
      return answer;
    },
  });
  const { client, mirror } = pair;
  await client.tasks.create({ id: "a", title: "A" });
  await mirror.inSync();
  // While the client has more than the row says, so RxDB's answer is another document.
  pushes.close();
  await spend(pair, 5);
  await client.tasks.update("a", { notes: "Of others." });
  await eventually("it is an edit", async () => (await minutesOf(pair))[1] === 5);
  await spend(pair, -5);
  pushes.open();
  await mirror.inSync();
  assert.deepEqual(await minutesOf(pair), [0, 0]);
  await pair.close();
  await client.close();
});

test("what is typed while the document goes is sent, and its outcome has it", async () => {
  const team = new Team(world, "typed");
  const id = await team.shared("Deleted meanwhile");
  const { client } = team.device();
  const pushes = new Gate();
  const { tasks, mirror, close } = await pairOf({
    client,
    inTurn: async (work) => {
      await pushes.pass();
      return work();
    },
  });
  await eventually("it comes", async () => (await shownIn({ tasks }, id)) !== undefined);
  await mirror.inSync();
  // It is in RxDB and no edit yet when the client has the deletion.
  pushes.close();
  const doc = await tasks.findOne(id).exec(true);
  await doc.incrementalPatch({ notes: "In blue." });
  await doc.incrementalPatch({ minutesSpent: 15 });
  const bob = team.device({ user: "bob" });
  await until(bob.client.tasks.live({ where: { id: { eq: id } } }), (found) => found.length === 1);
  await bob.client.tasks.delete(id);
  await quiet(bob);
  await eventually("it goes", async () => (await client.tasks.get(id)) === undefined);
  pushes.open();
  // The type lets the latest edit win, so the document is there again.
  const [back] = await until(bob.client.tasks.live({ where: { id: { eq: id } } }), ([it]) => it?.minutesSpent === 15);
  assert.deepEqual([back?.notes, back?.title], ["In blue.", "Deleted meanwhile"]);

  // It is gone from RxDB, too, when it is written.
  await bob.client.tasks.delete(id);
  await eventually("it goes", async () => (await shownIn({ tasks }, id)) === undefined);
  await mirror.inSync();
  await doc.incrementalPatch({ notes: "In green." });
  const outcomes = await until(client.outcomes, (found) => found.length === 2);
  assert.deepEqual(
    outcomes.map((outcome) => [outcome.status, outcome.type === "Task" && outcome.mine.notes]),
    [
      ["MERGED", "In blue."],
      ["REJECTED", "In green."],
    ],
  );
  await mirror.inSync();
  await close();
});

test("what the app deletes leaves no text on the device", async () => {
  const pair = await pairOf();
  await pair.tasks.insert({ id: "a", title: "A diary", notes: "Dear diary" });
  await pair.mirror.inSync();
  await (await pair.tasks.findOne("a").exec(true)).incrementalRemove();
  await pair.mirror.inSync();
  const [left] = await pair.tasks.storageInstance.findDocumentsById(["a"], true);
  assert.deepEqual([left?._deleted, left?.title, left?.notes], [true, "", undefined]);
  await pair.tasks.insert({ id: "a", title: "Another diary" });
  await pair.mirror.inSync();
  assert.equal((await pair.client.tasks.get("a"))?.title, "Another diary");
  await pair.close();
  await pair.client.close();
});

test("a row that RxDB loses by an error of its own becomes an edit all the same", async () => {
  let isFailing = false;
  const pair = await pairOf({
    rxStorage: watched(getRxStorageMemory(), (purpose) => {
      return isFailing && purpose === "replication-up-write-meta"
        ? Promise.reject(new Error("disk"))
        : Promise.resolve();
    }),
  });
  const { client, mirror } = pair;
  await client.tasks.create({ id: "a", title: "A" });
  await mirror.inSync();
  isFailing = true;
  await spend(pair, 5);
  await eventually("it is an edit", async () => (await minutesOf(pair))[1] === 5);
  isFailing = false;
  await client.tasks.update("a", { minutesSpent: increment(10) });
  await spend(pair, 5);
  await mirror.inSync();
  assert.deepEqual(await minutesOf(pair), [20, 20]);
  await pair.close();
  await client.close();
});

test("two tabs show the same, send each write once, and go on when the first is closed", async () => {
  const team = new Team(world, "tabs");
  const id = await team.shared("In two tabs");
  const name = newName();
  const tab = () =>
    team.app({ name, tabs: true, rxStorage: getRxStorageDexie(), storage: indexedDBStorage(`client ${name}`) });
  const first = await tab();
  await eventually("it comes", async () => (await shownIn(first, id)) !== undefined);
  const other = await tab();
  const spendIn = async ({ tasks }: typeof first): Promise<void> => {
    const doc = await tasks.findOne(id).exec(true);
    await doc.incrementalModify((it) => ({ ...it, minutesSpent: (it.minutesSpent ?? 0) + 15 }));
  };
  for (const app of [first, other, first, other]) {
    await spendIn(app);
    assert.notEqual(app.sync.status.value?.unsent, 0);
    await Promise.all([first, other].map(({ sync }) => until(sync.status, ({ unsent }) => unsent === 0)));
  }
  // RxDB starts in a tab that becomes visible.
  await other.sync.mirrors.tasks?.replication.start();
  for (let times = 0; times < 5; times++) await Promise.all([spendIn(first), spendIn(other)]);
  await Promise.all([first.sync.inSync(), other.sync.inSync()]);
  await first.close();
  await spendIn(other);
  await other.sync.inSync();
  await until(other.sync.status, ({ unsent, phase }) => unsent === 0 && phase === "live");
  const bob = team.device({ user: "bob" });
  const [task] = await until(bob.client.tasks.live({ where: { id: { eq: id } } }), (found) => found.length === 1);
  assert.equal(task?.minutesSpent, 225);
  await eventually("RxDB shows it", async () => (await shownIn(other, id))?.minutesSpent === 225);
  await other.sync.signOut();
  await other.rx.close();
});
