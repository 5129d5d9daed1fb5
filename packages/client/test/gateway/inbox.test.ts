import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { type Gateway, Proxy } from "@tidegate/conformance";
import { WebSocket as NodeWebSocket } from "ws";
import { createClient, type Client, type Conflict, type Live } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { model, type Model } from "../models/example.js";
import { startGateway } from "./gateway.js";

let gateway: Gateway;
let proxy: Proxy;
let open: Client<Model>[] = [];

before(async () => {
  gateway = await startGateway();
});

after(() => gateway.stop());

beforeEach(async () => {
  proxy = await Proxy.start(new URL(gateway.url).origin);
});

afterEach(async () => {
  await Promise.all(open.map((it) => it.close()));
  open = [];
  await proxy.stop();
});

function device(user: string, url = gateway.url): Client<Model> {
  const client = createClient<Model>({
    url,
    token: () => gateway.token(user),
    model,
    storage: memoryStorage(),
    webSocket: NodeWebSocket as unknown as typeof WebSocket,
    pauses: { minMs: 5, maxMs: 100 },
  });
  open.push(client);
  return client;
}

async function until<T>(live: Live<T>, holds: (value: T) => boolean): Promise<T> {
  for await (const value of live) if (holds(value)) return value;
  throw new Error("a live value does not end");
}

async function quiet(client: Client<Model>): Promise<void> {
  await until(client.status, ({ phase, unsent }) => phase === "live" && unsent === 0);
}

interface Met {
  readonly id: string;
  /** Alice wrote first; Bob's edit waits in the inbox. Bob's network is the proxy. */
  readonly alice: Client<Model>;
  readonly bob: Client<Model>;
  readonly conflict: Conflict<Model>;
}

async function meeting(): Promise<Met> {
  const [alice, bob] = [device("alice"), device("bob", `${proxy.origin}/graphql`)];
  const id = await alice.articles.create({ title: "Base", text: "Words", audience: "team:demo" });
  await until(bob.articles.live({ where: { id: { eq: id } } }), (found) => found.length === 1);
  proxy.setOnline(false);
  await until(bob.status, ({ phase }) => phase === "offline");
  await bob.articles.update(id, { title: "Bob's" });
  await alice.articles.update(id, { title: "Alice's" });
  await quiet(alice);
  proxy.setOnline(true);
  const found = await until(bob.conflicts, (all) => all.some((it) => it.documentId === id));
  const conflict = found.find((it) => it.documentId === id);
  assert.ok(conflict);
  return { id, alice, bob, conflict };
}

async function shows(client: Client<Model>, id: string, title: string | undefined): Promise<void> {
  await until(client.articles.live({ where: { id: { eq: id } } }), ([it]) => it?.title === title);
}

test("a conflict shows base, mine and theirs, and each way to resolve it holds for everybody", async () => {
  for (const [resolution, title] of [
    [{ take: "mine" }, "Bob's"],
    [{ take: "theirs" }, "Alice's"],
    [{ set: { title: "Both" } }, "Both"],
    [{ delete: true }, undefined],
  ] as const) {
    const { id, alice, bob, conflict } = await meeting();
    assert.ok(conflict.type === "Article");
    assert.deepEqual(conflict.fields, ["title"]);
    assert.deepEqual([conflict.base, conflict.mine], [{ title: "Base" }, { title: "Bob's" }]);
    assert.deepEqual(
      [conflict.theirs?.title, conflict.theirs?.text, conflict.current?.title],
      ["Alice's", "Words", "Alice's"],
    );
    assert.equal(conflict.openedBy, "bob");
    await until(bob.outcomes, ([it]) => it?.conflictId === conflict.id);
    const settled = until(bob.conflicts, (all) => all.every((it) => it.id !== conflict.id));
    await bob.resolve(conflict.id, resolution);
    await settled;
    await Promise.all([shows(alice, id, title), shows(bob, id, title)]);
    // Its outcome has been seen to.
    await until(bob.outcomes, (found) => found.length === 0);
  }
});

test("a resolution whose answer is lost is made once, and the caller learns that it was made", async () => {
  const { id, alice, bob, conflict } = await meeting();
  let pushes = 0;
  proxy.plan = ({ body }) => (body.includes("ResolveConflict") && pushes++ < 2 ? { fault: "lose" } : undefined);
  await conflict.resolve({ take: "mine" });
  assert.equal(pushes, 3);
  await Promise.all([shows(alice, id, "Bob's"), shows(bob, id, "Bob's")]);
  assert.equal((await alice.articles.get(id))?.syncVersion, 3);
});

test("a resolution of what the user has not seen is refused, and the conflict stays", async () => {
  const { id, alice, bob, conflict } = await meeting();
  await alice.articles.update(id, { title: "Alice's second" });
  await quiet(alice);
  await assert.rejects(conflict.resolve({ take: "mine" }), { code: "STALE" });
  const [now] = await until(bob.conflicts, ([it]) => it?.currentVersion === 3);
  await assert.rejects(bob.resolve(conflict.id, { set: { title: "" } }), { code: "REJECTED" });
  await now?.resolve({ take: "mine" });
  await shows(alice, id, "Bob's");
});

test("a conflict that another user resolves leaves the inbox, and its outcome the list", async () => {
  const { alice, bob, conflict } = await meeting();
  const [same] = await until(alice.conflicts, (all) => all.length > 0);
  const watched = until(bob.conflicts, (all) => all.length === 0);
  await until(bob.outcomes, ([it]) => it?.conflictId === conflict.id);
  await same?.resolve({ take: "theirs" });
  await watched;
  await until(bob.outcomes, (found) => found.length === 0);
  await assert.rejects(conflict.resolve({ take: "mine" }), { code: "GONE" });
  await assert.rejects(bob.resolve("unknown", { take: "mine" }), { code: "GONE" });
});

test("offline the inbox shows what it had, and a resolution rejects and stays possible", async () => {
  const { id, alice, bob, conflict } = await meeting();
  const shown: (readonly { readonly id: string }[])[] = [];
  const end = bob.conflicts.subscribe((all) => shown.push(all));
  proxy.setOnline(false);
  await assert.rejects(conflict.resolve({ take: "mine" }), { code: "OFFLINE" });
  assert.ok(shown.every((all) => all.some((it) => it.id === conflict.id)));
  proxy.setOnline(true);
  await conflict.resolve({ take: "mine" });
  await shows(alice, id, "Bob's");
  end();
});

test("an inbox of several pages shows whole, over each stream", async () => {
  const { alice, bob } = await meeting();
  const ids = await Promise.all(
    Array.from({ length: 120 }, (_, at) => alice.articles.create({ title: `Base ${at}`, audience: "team:demo" })),
  );
  await quiet(alice);
  await until(bob.articles.live(), (found) => ids.every((id) => found.some((it) => it.id === id)));
  proxy.setOnline(false);
  await until(bob.status, ({ phase }) => phase === "offline");
  for (const id of ids) await bob.articles.update(id, { title: "Bob's" });
  for (const id of ids) await alice.articles.update(id, { title: "Alice's" });
  await quiet(alice);
  for (const cut of [0, 1, 2]) {
    proxy.plan = ({ kind, body }) => {
      return kind === "stream" && (cut === 2 || (cut === 1 && body === "")) ? { fault: "refuse" } : undefined;
    };
    proxy.setOnline(true);
    const client = device("bob", `${proxy.origin}/graphql`);
    await quiet(bob);
    const all = await until(client.conflicts, (found) => found.length >= 120);
    assert.ok(ids.every((id) => all.some((it) => it.documentId === id)));
  }
});
