import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Gateway } from "@tidegate/conformance";
import { WebSocket as NodeWebSocket } from "ws";
import { add, ClientError, createClient, increment, type Client, type Live, type Storage } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { model, type Model } from "../models/example.js";
import { startGateway } from "./gateway.js";

/** How much longer a gateway takes a token than it says. */
const LEEWAY_S = 10;

let gateway: Gateway;

before(async () => {
  gateway = await startGateway();
});

after(() => gateway.stop());

type Fetch = typeof fetch;

interface Options {
  readonly user?: string;
  readonly storage?: Storage;
  readonly fetch?: Fetch;
  readonly token?: () => string;
}

function client({
  user = "alice",
  storage = memoryStorage(),
  fetch: send = fetch,
  token,
}: Options = {}): Client<Model> {
  return createClient<Model>({
    url: gateway.url,
    token: token ?? (() => gateway.token(user)),
    model,
    storage,
    fetch: send,
    webSocket: NodeWebSocket as unknown as typeof WebSocket,
    pauses: { minMs: 5, maxMs: 50 },
  });
}

/** Waits for a value of which something holds. */
async function until<T>(live: Live<T>, holds: (value: T) => boolean): Promise<T> {
  for await (const value of live) if (holds(value)) return value;
  throw new Error("a live value does not end");
}

const isQuiet = (status: { phase: string; unsent: number }): boolean => status.phase === "live" && status.unsent === 0;

test("two devices see each other's edits, and counters and sets add up", async () => {
  const [one, two] = [client({ user: "alice" }), client({ user: "bob" })];
  const id = await one.tasks.create({ title: "Buy milk", audience: "team:demo" });
  assert.equal((await one.tasks.get(id))?.title, "Buy milk");
  const tasks = two.tasks.live({ where: { id: { eq: id } } });
  await until(tasks, (found) => found.length === 1);
  await Promise.all([
    one.tasks.update(id, { minutesSpent: increment(2), labels: add("shop") }),
    two.tasks.update(id, { minutesSpent: increment(3), labels: add("home"), done: true }),
  ]);
  for (const device of [one, two]) {
    const [task] = await until(
      device.tasks.live({ where: { id: { eq: id } } }),
      ([it]) => it?.minutesSpent === 5 && it.done,
    );
    assert.deepEqual([...(task?.labels ?? [])].sort(), ["home", "shop"]);
  }
  await Promise.all([one.close(), two.close()]);
});

test("edits made offline outlast the client, and are sent once by the next", async () => {
  const storage = memoryStorage();
  const offline = client({ storage, fetch: () => Promise.reject(new TypeError("offline")) });
  const id = await offline.tasks.create({ title: "Made offline", audience: "team:demo" });
  await offline.tasks.update(id, { minutesSpent: increment(4) });
  assert.equal((await offline.tasks.get(id))?.minutesSpent, 4);
  await offline.close();
  const online = client({ storage });
  await until(online.status, isQuiet);
  await online.close();
  const other = client({ user: "bob" });
  const [task] = await until(other.tasks.live({ where: { id: { eq: id } } }), (found) => found.length > 0);
  assert.deepEqual([task?.title, task?.minutesSpent], ["Made offline", 4]);
  await other.close();
});

test("a push whose answers are lost takes effect once", async () => {
  let lost = 0;
  const losing: Fetch = async (url, init) => {
    const answer = await fetch(url, init);
    if (!(init?.body as string).includes("mutation PushChanges") || lost++ > 2) return answer;
    await answer.text();
    throw new TypeError("the answer is lost");
  };
  const device = client({ fetch: losing });
  const id = await device.tasks.create({ title: "Once", audience: "team:demo" });
  await device.tasks.update(id, { minutesSpent: increment(7) });
  await until(device.status, isQuiet);
  assert.ok(lost > 2);
  await device.close();
  const other = client();
  await until(other.status, isQuiet);
  assert.equal((await other.tasks.get(id))?.minutesSpent, 7);
  await other.close();
});

test("a rejected edit is an outcome, and the document is as it was", async () => {
  const device = client();
  const id = await device.tasks.create({ title: "Mine", audience: "user:carol" });
  const [outcome] = await until(device.outcomes, (found) => found.length > 0);
  assert.deepEqual([outcome?.status, outcome?.error?.code], ["REJECTED", "FORBIDDEN"]);
  assert.equal(await device.tasks.get(id), undefined);
  await outcome?.discard();
  await until(device.outcomes, (found) => found.length === 0);
  await device.close();
});

test("a transaction takes effect whole or not at all", async () => {
  const device = client();
  let [good, bad] = ["", ""];
  await device.transaction((tx) => {
    good = tx.tasks.create({ title: "Good", audience: "team:demo" });
    bad = tx.projects.create({ name: "Bad", audience: "public" });
  });
  const outcomes = await until(device.outcomes, (found) => found.length === 2);
  assert.deepEqual(outcomes.map((it) => it.error?.code).sort(), ["ATOMIC_ABORTED", "FORBIDDEN"]);
  assert.deepEqual([await device.tasks.get(good), await device.projects.get(bad)], [undefined, undefined]);
  await device.close();
});

test("a refused token is asked for again", async () => {
  let asked = 0;
  const device = client({ token: () => (asked++ === 0 ? "no token" : gateway.token("alice")) });
  await until(device.status, isQuiet);
  assert.equal(asked, 2);
  await device.close();
});

test("documents and edits of one user are not given to another", async () => {
  const storage = memoryStorage();
  const alice = client({ storage });
  await until(alice.status, isQuiet);
  await alice.close();
  const offline = client({ storage, fetch: () => Promise.reject(new TypeError("offline")) });
  const id = await offline.tasks.create({ title: "Alice's", audience: "team:demo" });
  await offline.close();
  const bob = client({ user: "bob", storage });
  const { error, unsent } = await until(bob.status, ({ phase }) => phase === "halted");
  assert.deepEqual([error?.code, unsent], ["WRONG_USER", 1]);
  await bob.close();
  const other = client({ user: "bob" });
  await until(other.status, isQuiet);
  assert.equal(await other.tasks.get(id), undefined);
  await other.close();
});

test("signing out refuses to lose edits, unless they are discarded, and the client goes on", async () => {
  let online = false;
  const device = client({
    fetch: (url, init) => (online ? fetch(url, init) : Promise.reject(new TypeError("offline"))),
  });
  await device.tasks.create({ title: "Unsent" });
  await assert.rejects(device.signOut(), (error) => error instanceof ClientError && error.code === "UNSENT_EDITS");
  online = true;
  await until(device.status, isQuiet);
  await device.signOut();
  const other = client({ fetch: () => Promise.reject(new TypeError("offline")) });
  await other.tasks.create({ title: "Unsent" });
  await other.signOut({ unsent: "discard" });
});

test("unsent edits that are kept show again to their user, and to no other", async () => {
  const storage = memoryStorage();
  const first = client({ storage });
  await first.tasks.create({ title: "Sent" });
  await until(first.status, isQuiet);
  await first.close();
  const alice = client({ storage, fetch: () => Promise.reject(new TypeError("offline")) });
  const id = await alice.tasks.create({ title: "Not sent" });
  await alice.signOut({ unsent: "keep" });
  await assert.rejects(alice.tasks.get(id), { code: "CLOSED" });

  const bob = client({ user: "bob", storage });
  await assert.rejects(bob.tasks.create({ title: "Bob's" }), { code: "SEALED" });
  assert.equal(await bob.tasks.get(id), undefined);
  await until(bob.status, ({ error }) => error?.code === "WRONG_USER");
  await assert.rejects(bob.tasks.create({ title: "Bob's" }), { code: "WRONG_USER" });
  assert.deepEqual(await until(bob.tasks.pending(id), () => true), []);
  await bob.close();

  const again = client({ storage });
  await until(again.tasks.live(), (tasks) => {
    return ["Sent", "Not sent"].every((title) => tasks.some((it) => it.title === title));
  });
  await until(again.status, isQuiet);
  await again.close();
});

test("edits that nobody's token was ever named for are not kept", async () => {
  const device = client({ fetch: () => Promise.reject(new TypeError("offline")) });
  await device.tasks.create({ title: "Unsent" });
  await assert.rejects(device.signOut({ unsent: "keep" }), { code: "UNSENT_EDITS" });
  await device.signOut({ unsent: "discard" });
});

test("after a token of another user nothing of the first shows any more", async () => {
  let user = "alice";
  const device = client({ token: () => gateway.token(user, ["demo"], user === "alice" ? 2 - LEEWAY_S : 3600) });
  const id = await device.tasks.create({ title: "Alice's" });
  const tasks = device.tasks.live();
  await until(tasks, (found) => found.some((it) => it.id === id));
  user = "bob";
  await until(device.status, ({ error }) => error?.code === "WRONG_USER");
  assert.deepEqual(await until(tasks, (found) => found.length === 0), []);
  assert.equal(await device.tasks.get(id), undefined);
  await device.close();
});

test("a reset reads everything again, and loses no edit", async () => {
  const device = client();
  const id = await device.tasks.create({ title: "Counted", audience: "team:demo" });
  await until(device.status, isQuiet);
  for (let times = 0; times < 5; times++) {
    await device.tasks.update(id, { minutesSpent: increment(1) });
    await device.reset();
  }
  await until(device.status, isQuiet);
  await until(device.tasks.live({ where: { id: { eq: id } } }), ([task]) => task?.minutesSpent === 5);
  const outcomes = await until(device.outcomes, () => true);
  assert.ok(outcomes.every(({ status }) => status === "MERGED"));
  await device.close();
});

test("an outcome has base, mine and theirs, and another edit takes its place", async () => {
  const storage = memoryStorage();
  const [one, two] = [client(), client({ user: "bob", storage })];
  const id = await one.articles.create({ title: "Base", audience: "team:demo" });
  await until(one.status, isQuiet);
  await until(two.articles.live({ where: { id: { eq: id } } }), (found) => found.length === 1);
  await two.close();
  let online = false;
  const late = client({
    user: "bob",
    storage: storage,
    fetch: (url, init) => (online ? fetch(url, init) : Promise.reject(new TypeError("offline"))),
  });
  await late.articles.update(id, { title: "Mine" });
  await one.articles.update(id, { title: "Theirs" });
  await until(one.status, isQuiet);
  online = true;
  const [outcome] = await until(late.outcomes, (found) => found.length > 0);
  assert.ok(outcome?.type === "Article");
  assert.deepEqual(
    [outcome.status, outcome.op, outcome.base.title, outcome.mine.title, outcome.theirs?.title],
    ["CONFLICT", "update", "Base", "Mine", "Theirs"],
  );
  await outcome.edit({ title: "Both" });
  await until(late.status, isQuiet);
  await until(one.articles.live({ where: { id: { eq: id } } }), ([it]) => it?.title === "Both");
  assert.deepEqual(await until(late.outcomes, (found) => found.length === 0), []);
  await Promise.all([one.close(), late.close()]);
});

test("a closed client says so, and closing twice is closing once", async () => {
  const device = client();
  await Promise.all([device.close(), device.close()]);
  await assert.rejects(device.tasks.create({ title: "Late" }), { code: "CLOSED" });
  await assert.rejects(device.tasks.get("x"), { code: "CLOSED" });
  await assert.rejects(device.signOut(), { code: "CLOSED" });
});

test("when it last was in step outlasts a restart", async () => {
  const storage = memoryStorage();
  const device = client({ storage });
  await until(device.status, isQuiet);
  await device.close();
  const offline = client({ storage, fetch: () => Promise.reject(new TypeError("offline")) });
  const { lastSync } = await until(offline.status, (status) => status.lastSync !== undefined);
  assert.ok(lastSync && Math.abs(lastSync.getTime() - Date.now()) < 60_000);
  await offline.close();
});

test("a token that cannot be had now is asked for later", async () => {
  let asked = 0;
  const device = client({
    token: () => {
      if (asked++ < 3) throw new Error("the login server is out of reach");
      return gateway.token("alice");
    },
  });
  await until(device.status, isQuiet);
  await device.close();
});

test("a query sorts, bounds and filters what is in view", async () => {
  const device = client({ fetch: () => Promise.reject(new TypeError("offline")) });
  for (const title of ["b", "c", "a", "\u{1F600}", "\uFF5E"]) await device.tasks.create({ title, done: title === "c" });
  const titles = async (query: Parameters<typeof device.tasks.live>[0]): Promise<string[]> => {
    return (await until(device.tasks.live(query), () => true)).map((it) => it.title);
  };
  assert.deepEqual(await titles({ orderBy: ["title_ASC"] }), ["a", "b", "c", "\uFF5E", "\u{1F600}"]);
  assert.deepEqual(await titles({ orderBy: ["title_DESC"], limit: 2 }), ["\u{1F600}", "\uFF5E"]);
  assert.deepEqual(
    await titles({ where: { or: [{ done: { eq: true } }, { title: { lt: "b" } }] }, orderBy: ["title_ASC"] }),
    ["a", "c"],
  );
  await device.close();
});

test("what is wrong for the model does not compile", () => {
  const wrong = async (device: Client<Model>): Promise<void> => {
    await device.of("Task").update("x", { title: "" });
    // @ts-expect-error of("Project") has no title
    await device.of("Project").update("x", { title: "" });
    // @ts-expect-error title is no counter
    await device.tasks.update("x", { title: increment(5) });
    // @ts-expect-error labels are strings
    await device.tasks.update("x", { labels: add(5) });
    // @ts-expect-error fields of the sync are not edited
    await device.tasks.update("x", { syncVersion: 5 });
    // @ts-expect-error a title is required
    await device.tasks.create({ done: true });
    // @ts-expect-error there is no such field
    device.tasks.live({ orderBy: ["colour_ASC"] });
  };
  assert.equal(typeof wrong, "function");
});
