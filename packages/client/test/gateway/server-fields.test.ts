import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Gateway } from "@tidegate/conformance";
import { WebSocket as NodeWebSocket } from "ws";
import { createClient } from "../../src/index.js";
import type { Client, Live, Status } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { model, type Card, type Model } from "../models/kept.js";
import { ROOT, serveGateway } from "./gateway.js";

let gateway: Gateway;
let stop: () => Promise<void>;

before(async () => {
  [gateway, stop] = await serveGateway({ TIDEGATE_MODEL: join(ROOT, "tests/it/models/kept.graphql") });
});

after(() => stop());

interface Device {
  readonly client: Client<Model>;
  /** Whether the device has no network. */
  isOffline: boolean;
}

function device(user: string): Device {
  const it: Device = {
    isOffline: false,
    client: createClient<Model>({
      url: gateway.url,
      token: () => gateway.token(user, ["demo"]),
      model,
      storage: memoryStorage(),
      webSocket: NodeWebSocket as unknown as typeof WebSocket,
      pauses: { minMs: 5, maxMs: 50 },
      fetch: (url, init) => (it.isOffline ? Promise.reject(new TypeError("no network")) : fetch(url, init)),
    }),
  };
  return it;
}

async function until<T>(live: Live<T>, holds: (value: T) => boolean): Promise<T> {
  for await (const value of live) if (holds(value)) return value;
  throw new Error("a live value does not end");
}

const isEqual = ({ phase, unsent, differing }: Status): boolean =>
  phase === "live" && unsent === 0 && differing?.length === 0;

function shown({ client }: Device, id: string, holds: (card: Card) => boolean): Promise<Card | undefined> {
  const live = client.cards.live({ where: { id: { eq: id } } });
  return until(live, ([card]) => card !== undefined && holds(card)).then(([card]) => card);
}

/** What the gateway keeps, without the times. */
const users = (card: Card | undefined): unknown => [card?.createdBy, card?.updatedBy];

test("a device shows what it has until the answer comes, and equals the gateway then", async () => {
  const [alice, bob] = [device("alice"), device("bob")];
  const from = Date.now() - 1_000;
  alice.isOffline = true;
  const id = await alice.client.cards.create({ title: "a", teamId: "demo" });
  const local = await alice.client.cards.get(id);
  assert.equal(local?.createdBy ?? null, null);
  assert.equal(local?.updatedAt ?? null, null);
  alice.isOffline = false;
  const made = await shown(alice, id, ({ createdBy }) => createdBy === "alice");
  assert.deepEqual(users(made), ["alice", "alice"]);
  const createdAt = made?.createdAt ?? "";
  assert.equal(made?.updatedAt, createdAt);
  assert.ok(Date.parse(createdAt) >= from && Date.parse(createdAt) <= Date.now() + 1_000, createdAt);

  // Both edit it without a network. They have only what the gateway keeps in common.
  await shown(bob, id, ({ title }) => title === "a");
  for (const it of [alice, bob]) {
    await until(it.client.status, isEqual);
    it.isOffline = true;
  }
  await alice.client.cards.update(id, { title: "b" });
  await bob.client.cards.update(id, { notes: "n" });
  const unconfirmed = await bob.client.cards.get(id);
  assert.equal(unconfirmed?.notes, "n");
  assert.deepEqual(users(unconfirmed), ["alice", "alice"]);
  alice.isOffline = false;
  await shown(alice, id, ({ title, updatedAt }) => title === "b" && updatedAt !== createdAt);
  bob.isOffline = false;
  for (const it of [alice, bob]) {
    const merged = await shown(
      it,
      id,
      ({ title, notes, updatedBy }) => title === "b" && notes === "n" && updatedBy === "bob",
    );
    assert.deepEqual(users(merged), ["alice", "bob"]);
    assert.equal(merged?.createdAt, createdAt);
    assert.ok((merged.updatedAt ?? "") >= createdAt);
    await until(it.client.status, isEqual);
  }
  const outcomes = await until(bob.client.outcomes, (found) => found.length > 0);
  const outcome = outcomes.find((it) => it.id === id);
  assert.equal(outcome?.status, "MERGED");
  assert.deepEqual(
    outcome.fields?.map(({ field }) => field),
    ["notes"],
  );
  await Promise.all([alice, bob].map(({ client }) => client.close()));
});

test("a query orders by the time of the last change", async () => {
  const { client } = device("carol");
  const [first, second] = [
    await client.cards.create({ title: "first", teamId: "demo" }),
    await client.cards.create({ title: "second", teamId: "demo" }),
  ];
  await until(client.status, isEqual);
  await client.cards.update(first, { notes: "later" });
  await until(client.status, isEqual);
  const live = client.cards.live({
    where: { createdBy: { eq: "carol" } },
    orderBy: ["updatedAt_DESC"],
  });
  const found = await until(live, (cards) => cards.length === 2 && cards[0]?.id === first);
  assert.deepEqual(
    found.map(({ id }) => id),
    [first, second],
  );
  await client.close();
});

test("what the gateway keeps is in no type that an app writes, and an app that sends it all the same is refused", async () => {
  const { client } = device("dave");
  // @ts-expect-error: the gateway alone sets it.
  const id = await client.cards.create({ title: "x", teamId: "demo", createdBy: "alice" });
  const outcomes = await until(client.outcomes, (found) => found.length > 0);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["REFUSED"],
  );
  assert.equal(await client.cards.get(id), undefined);
  // @ts-expect-error: the same.
  const forged: Parameters<typeof client.cards.update>[1] = { updatedBy: "alice" };
  assert.ok(forged);
  await client.close();
});
