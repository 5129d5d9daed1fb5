/**
 * What every adapter of a normalised cache has to do, over a real gateway.
 */

import assert from "node:assert/strict";
import "fake-indexeddb/auto";
import { after, before, test } from "node:test";
import { ClientError } from "../../src/index.js";
import { eventually, newStorage, quiet, until, World, type Device } from "./world.js";

/** A cache over a device, as an app uses it. */
export interface CacheApp {
  /** Answers once. */
  query(document: string, variables?: object): Promise<Answer>;
  /** Answers now and later. Returns how to end it. */
  watch(document: string, variables: object, listener: (answer: Answer) => void): () => void;
  /** Rejects with what the client rejects with. */
  mutate(document: string, variables?: object): Promise<Answer>;
  /** All that the cache holds, as text. */
  held(): string;
}

export type Answer = Readonly<Record<string, unknown>>;

interface Task {
  readonly id: string;
  readonly title: string;
  readonly minutesSpent: number;
}

const TASKS = `query Tasks($where: TaskWhere, $orderBy: [TaskOrder!], $first: Int) {
  tasks(where: $where, orderBy: $orderBy, first: $first) { nodes { id title minutesSpent } }
}`;
const TASK = `query OneTask($id: ID!) { task(id: $id) { id title minutesSpent } }`;
const CREATE = `mutation Create($id: ID, $document: TaskInput!) { createTask(id: $id, document: $document) { id title } }`;
const UPDATE = `mutation Update($id: ID!, $set: TaskPatch, $increment: TaskPatch, $add: TaskPatch) {
  updateTask(id: $id, set: $set, increment: $increment, add: $add) { id title minutesSpent }
}`;
const DELETE = `mutation Delete($id: ID!) { deleteTask(id: $id) }`;

const tasksOf = (answer: Answer): readonly Task[] => (answer.tasks as { nodes: readonly Task[] }).nodes;

/** Tries all promises on an adapter. */
export function contract(open: (device: Device) => CacheApp): void {
  let world: World;

  before(async () => {
    world = await World.start();
  });

  after(() => world.stop());

  const opened = (...options: Parameters<World["device"]>): { device: Device; app: CacheApp } => {
    const device = world.device(...options);
    return { device, app: open(device) };
  };

  /** A task of the team, in view of other devices. */
  const shared = async (title: string): Promise<string> => {
    const device = world.device({ user: "bob" });
    const id = await device.client.tasks.create({ title, audience: "team:demo" });
    await quiet(device);
    return id;
  };

  test("lists are answered from storage offline, filtered, ordered and bounded", async () => {
    const storage = newStorage();
    const first = world.device({ storage, user: "dora" });
    for (const title of ["b", "a", "c"]) await first.client.tasks.create({ title });
    await quiet(first);
    await first.client.close();
    const { app } = opened({ storage, user: "dora", online: false });
    const all = await app.query(TASKS, { where: { title: { ne: "c" } }, orderBy: ["title_ASC"] });
    assert.deepEqual(
      tasksOf(all).map(({ title }) => title),
      ["a", "b"],
    );
    const last = await app.query(TASKS, { orderBy: ["title_DESC"], first: 1 });
    assert.deepEqual(
      tasksOf(last).map(({ title }) => title),
      ["c"],
    );
    assert.deepEqual(await app.query(TASK, { id: "no task" }), { task: null });
  });

  test("an active query shows own edits and those of others", async () => {
    const { app } = opened();
    const id = await shared("Theirs");
    let shown: readonly Task[] = [];
    const stop = app.watch(TASKS, { where: { id: { in: [id, `${id}-mine`] } }, orderBy: ["title_ASC"] }, (answer) => {
      shown = tasksOf(answer);
    });
    await eventually("it shows what others make", () => shown.length === 1);
    await app.mutate(CREATE, { id: `${id}-mine`, document: { title: "Mine", audience: "team:demo" } });
    await app.mutate(UPDATE, { id, increment: { minutesSpent: 5 } });
    await eventually("it shows what is edited here", () => shown.map((it) => it.title).join() === "Mine,Theirs");
    await eventually("it shows the counter", () => shown[1]?.minutesSpent === 5);
    const other = world.device({ user: "bob" });
    await until(other.client.tasks.live({ where: { id: { eq: id } } }), ([task]) => task?.minutesSpent === 5);
    await other.client.tasks.update(id, { title: "A new title" });
    await eventually("it shows what others edit", () => shown[0]?.title === "A new title");
    await other.client.tasks.delete(id);
    await eventually("it shows what others delete", () => shown.length === 1);
    await app.mutate(DELETE, { id: `${id}-mine` });
    await eventually("it shows what is deleted here", () => shown.length === 0);
    stop();
  });

  test("a list shows what its documents refer to, and what others change of that", async () => {
    const { device, app } = opened();
    const id = await shared("With a project");
    const bob = world.device({ user: "bob" });
    const projectId = await bob.client.projects.create({ name: "Before", audience: "team:demo" });
    await until(bob.client.tasks.live({ where: { id: { eq: id } } }), (found) => found.length === 1);
    await bob.client.tasks.update(id, { projectId });
    await quiet(bob);
    await quiet(device);
    const document = `query ($where: TaskWhere) { tasks(where: $where) { nodes { id project { id name } } } }`;
    let name: string | undefined;
    const stop = app.watch(document, { where: { id: { eq: id } } }, (answer) => {
      const [task] = (answer.tasks as { nodes: readonly { project: { name: string } | null }[] }).nodes;
      name = task?.project?.name;
    });
    await eventually("it shows the project", () => name === "Before");
    await bob.client.projects.update(projectId, { name: "After" });
    await eventually("it shows its new name", () => name === "After");
    await bob.client.projects.delete(projectId);
    await eventually("it shows none", () => name === undefined);
    stop();
  });

  test("a query that begins again shows what has changed while nobody watched", async () => {
    const { app } = opened();
    const id = await shared("Before");
    const titles: string[] = [];
    const watch = (): (() => void) =>
      app.watch(TASK, { id }, ({ task }) => {
        if (task) titles.push((task as Task).title);
      });
    const first = watch();
    await eventually("it shows the task", () => titles.includes("Before"));
    first();
    await app.mutate(UPDATE, { id, set: { title: "After" } });
    titles.length = 0;
    const second = watch();
    await eventually("it shows the edit", () => titles.at(-1) === "After");
    await app.mutate(UPDATE, { id, set: { title: "Later" } });
    await eventually("it follows again", () => titles.at(-1) === "Later");
    second();
  });

  test("a document that leaves one list is up to date in another, and lists do not ask for ever", async () => {
    const { device, app } = opened();
    const id = await shared("First");
    const [open, titled]: [string[], string[]] = [[], []];
    const stops = [
      app.watch(TASKS, { where: { done: { eq: false }, id: { eq: id } } }, (answer) => {
        open.push(
          tasksOf(answer)
            .map(({ title }) => title)
            .join(),
        );
      }),
      app.watch(TASKS, { where: { id: { eq: id } } }, (answer) => {
        titled.push(
          tasksOf(answer)
            .map(({ title }) => title)
            .join(),
        );
      }),
    ];
    await eventually("both show it", () => open.at(-1) === "First" && titled.at(-1) === "First");
    await app.mutate(UPDATE, { id, set: { done: true, title: "Second" } });
    await eventually("it leaves one", () => open.at(-1) === "" && titled.at(-1) === "Second");
    await device.client.tasks.update(id, { title: "Third" });
    await eventually("the other one shows edits", () => titled.at(-1) === "Third");
    await quiet(device);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const answers = open.length + titled.length;
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(open.length + titled.length, answers);
    assert.ok(answers < 30, `${answers} answers`);
    for (const stop of stops) stop();
  });

  test("an edit made offline outlasts a restart, and arrives once", async () => {
    const storage = newStorage();
    const id = await shared("Counted");
    const { device, app } = opened({ storage });
    await until(device.client.tasks.live({ where: { id: { eq: id } } }), (found) => found.length === 1);
    device.online = false;
    await app.mutate(UPDATE, { id, increment: { minutesSpent: 3 }, add: { labels: ["offline"] } });
    await app.mutate(CREATE, { id: `${id}-new`, document: { title: "Made offline", audience: "team:demo" } });
    await device.client.close();
    const again = opened({ storage });
    await quiet(again.device);
    const other = world.device({ user: "bob" });
    const found = other.client.tasks.live({ where: { id: { in: [id, `${id}-new`] } }, orderBy: ["title_ASC"] });
    const tasks = await until(found, (it) => it.length === 2);
    assert.deepEqual(
      tasks.map(({ title, minutesSpent, labels }) => [title, minutesSpent, labels]),
      [
        ["Counted", 3, ["offline"]],
        ["Made offline", 0, []],
      ],
    );
    await quiet(again.device);
    assert.deepEqual(await until(again.device.client.outcomes, () => true), []);
  });

  test("twenty edits made at once arrive, all of them and in their order", async () => {
    const { device, app } = opened();
    const ids = Array.from({ length: 20 }, (_, at) => `many-${at}-${Date.now()}`);
    await Promise.all(ids.map((id) => app.mutate(CREATE, { id, document: { title: id, audience: "team:demo" } })));
    await quiet(device);
    const sent = device.requests.filter((body) => body.includes("mutation PushChanges")).join("");
    const order = [...sent.matchAll(/"create":\{"id":"(many-[^"]*)"/g)].map(([, id]) => id);
    assert.deepEqual([...new Set(order)], ids);
    const other = world.device({ user: "bob" });
    await until(other.client.tasks.live({ where: { id: { in: ids } } }), (found) => found.length === 20);
  });

  test("a rejected edit is reported, and what it showed goes", async () => {
    const { device, app } = opened({ online: false });
    let shown: readonly Task[] | undefined;
    const stop = app.watch(TASKS, { where: { audience: { eq: "user:carol" } } }, (answer) => {
      shown = tasksOf(answer);
    });
    await app.mutate(CREATE, { document: { title: "Carol's", audience: "user:carol" } });
    await eventually("it shows while it waits", () => shown?.length === 1);
    device.online = true;
    const [outcome] = await until(device.client.outcomes, (found) => found.length > 0);
    assert.deepEqual([outcome?.status, outcome?.error?.code], ["REJECTED", "FORBIDDEN"]);
    await eventually("it goes", () => shown?.length === 0);
    await eventually("it leaves the cache", () => !app.held().includes("Carol's"));
    stop();
  });

  test("a revoked document leaves the cache", async () => {
    const id = await shared("For the team only");
    const { device, app } = opened({ user: "eve" }, true);
    let [list, one]: [readonly Task[] | undefined, unknown] = [undefined, undefined];
    const stops = [
      app.watch(TASKS, { where: { id: { eq: id } } }, (answer) => (list = tasksOf(answer))),
      app.watch(TASK, { id }, ({ task }) => (one = task)),
    ];
    await eventually("it shows the task", () => list?.length === 1 && one !== null);
    await eventually("the cache holds it", () => app.held().includes("For the team only"));
    device.teams = [];
    await eventually("it goes", () => list?.length === 0 && one === null);
    await eventually("it leaves the cache", () => !app.held().includes("For the team only"));
    for (const stop of stops) stop();
  });

  test("what the client refuses, the app is given with its code", async () => {
    const { device, app } = opened();
    const codeOf = async (promise: Promise<unknown>): Promise<string> => {
      try {
        await promise;
      } catch (error) {
        assert.ok(error instanceof ClientError, String(error));
        return error.code;
      }
      return "none";
    };
    assert.equal(await codeOf(app.mutate(UPDATE, { id: "no task", set: { title: "x" } })), "GONE");
    assert.equal(
      await codeOf(app.mutate(UPDATE, { id: "x", set: { minutesSpent: 1 }, increment: { minutesSpent: 1 } })),
      "INVALID_VALUE",
    );
    assert.equal(await codeOf(app.query(TASKS, { where: { title: { eq: null } } })), "INVALID_QUERY");
    const push = `mutation Push($input: PushChangesInput!) { pushChanges(input: $input) { lastMutationId } }`;
    assert.equal(await codeOf(app.mutate(push, { input: { changes: [] } })), "INVALID_QUERY");
    await device.client.close();
    assert.equal(await codeOf(app.query(TASKS)), "CLOSED");
    assert.equal(await codeOf(app.mutate(CREATE, { document: { title: "Late" } })), "CLOSED");
  });

  test("a handler that throws stops nothing", async (t) => {
    t.mock.method(console, "error", () => undefined);
    const { device, app } = opened();
    const [id, other] = [await shared("Steady"), await shared("Of a broken page")];
    let thrown = 0;
    const bad = app.watch(TASK, { id: other }, () => {
      thrown += 1;
      throw new Error("a mistake of the app");
    });
    const unsubscribe = device.client.status.subscribe(() => {
      throw new Error("another mistake of the app");
    });
    let shown = -1;
    const good = app.watch(TASKS, { where: { id: { eq: id } } }, (answer) => {
      shown = tasksOf(answer)[0]?.minutesSpent ?? -1;
    });
    await eventually(
      "it shows the task",
      async () => shown === 0 && (await device.client.tasks.get(other)) !== undefined,
    );
    for (let times = 1; times <= 3; times++) {
      await device.client.tasks.update(other, { title: `${times}` });
      await app.mutate(UPDATE, { id, increment: { minutesSpent: 1 } });
      await eventually("it shows the edit", () => shown === times);
    }
    await quiet(device);
    assert.ok(thrown > 1);
    const bob = world.device({ user: "bob" });
    await until(bob.client.tasks.live({ where: { id: { eq: id } } }), ([task]) => task?.minutesSpent === 3);
    for (const stop of [bad, good, unsubscribe]) stop();
  });
}
