import assert from "node:assert/strict";
import { after, before, beforeEach, afterEach, test } from "node:test";
import { type Gateway, type Plan, Proxy } from "@tidegate/conformance";
import { WebSocket as NodeWebSocket } from "ws";
import { createClient, increment, type Client, type Live } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { model, type Model } from "../models/example.js";
import { startGateway } from "./gateway.js";

/** How much longer a gateway takes a token than it says. */
const LEEWAY_S = 10;

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

interface Options {
  readonly url?: string;
  readonly token?: () => string;
  readonly fetch?: typeof fetch;
}

function device({
  url = `${proxy.origin}/graphql`,
  token = () => gateway.token("alice"),
  fetch: send = fetch,
}: Options = {}): Client<Model> {
  const client = createClient<Model>({
    url,
    token,
    model,
    fetch: send,
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

/** Waits until a client shows what another has created just now. */
async function sees(client: Client<Model>): Promise<void> {
  const other = device({ url: gateway.url });
  const id = await other.tasks.create({ title: "From the other", audience: "team:demo" });
  await until(client.tasks.live({ where: { id: { eq: id } } }), (found) => found.length === 1);
}

/** A network that cuts sockets, or event streams, or both, and lets the rest pass. */
function cutting(...what: readonly ("sockets" | "events")[]): Plan {
  return ({ kind, body }) => {
    const isCut = kind === "stream" && what.includes(body === "" ? "sockets" : "events");
    return isCut ? { fault: "refuse" } : undefined;
  };
}

test("it follows by a socket, and answers to its requests are compressed", async () => {
  const other = device({ url: gateway.url });
  await other.tasks.create({ title: "Large", notes: "words ".repeat(1000), audience: "team:demo" });
  await until(other.status, ({ unsent }) => unsent === 0);
  const codings = new Set<string | null>();
  const client = device({
    fetch: async (url, init) => {
      const answer = await fetch(url, init);
      codings.add(answer.headers.get("Content-Encoding"));
      return answer;
    },
  });
  const { bytes } = await until(client.status, ({ stream }) => stream === "socket");
  assert.ok(bytes > 6000);
  await sees(client);
  assert.ok(codings.has("gzip") || codings.has("br"), [...codings].join());
});

test("where sockets are cut, it follows by an event stream, and asks no more", async () => {
  let reads = 0;
  const cut = cutting("sockets");
  proxy.plan = (traffic) => {
    if (traffic.kind === "read") reads += 1;
    return cut(traffic);
  };
  const client = device();
  await until(client.status, ({ stream }) => stream === "events");
  const before = reads;
  await sees(client);
  assert.equal(reads, before);
});

test("a stream that the client ends itself, to read the store again, is no failure", async () => {
  const cuts = { socket: cutting(), events: cutting("sockets"), polling: cutting("sockets", "events") };
  for (const [stream, plan] of Object.entries(cuts)) {
    proxy.plan = plan;
    const client = device();
    await until(client.status, (status) => status.phase === "live" && status.stream === stream);
    const codes: string[] = [];
    const end = client.status.subscribe(({ error }) => {
      if (error) codes.push(error.code);
    });
    for (let times = 0; times < 3; times++) {
      const { lastSync } = client.status.value ?? {};
      await client.refresh();
      await until(client.status, (status) => status.phase === "live" && status.lastSync !== lastSync);
    }
    end();
    assert.deepEqual([codes, client.status.value?.stream], [[], stream]);
  }
});

test("sockets that open and end before their first answer do not work either", async () => {
  proxy.plan = ({ kind, body }) => (kind === "stream" && body === "" ? { fault: "cut", bytes: 200 } : undefined);
  await until(device().status, ({ stream }) => stream === "events");
});

test("where all streams are cut, it asks again and again and says so, until the network is another one", async () => {
  const browser = new EventTarget();
  const global: Partial<EventTarget> = globalThis;
  global.addEventListener = browser.addEventListener.bind(browser);
  proxy.plan = cutting("sockets", "events");
  const client = device();
  await until(client.status, ({ phase, stream }) => phase === "live" && stream === "polling");
  await sees(client);
  delete global.addEventListener;
  proxy.plan = cutting();
  browser.dispatchEvent(new Event("online"));
  await until(client.status, ({ stream }) => stream === "socket");
});

test("a stream that is cut goes on where it was", async () => {
  for (const plan of [cutting(), cutting("sockets")]) {
    proxy.plan = plan;
    const client = device();
    for (let times = 0; times < 3; times++) {
      await until(client.status, ({ phase }) => phase === "live");
      proxy.cut();
      await sees(client);
    }
  }
});

test("a network that delays and cuts everything loses and doubles nothing", async () => {
  let answers = 0;
  proxy.plan = ({ kind }) => {
    if (kind === "stream") return { fault: "slow", ms: 20 };
    return answers++ % 3 === 1 ? { fault: "cut", bytes: 10 } : { fault: "slow", ms: 20 };
  };
  const client = device();
  const id = await client.tasks.create({ title: "Counted", audience: "team:demo" });
  for (let times = 0; times < 20; times++) {
    await client.tasks.update(id, { minutesSpent: increment(1) });
    if (times % 5 === 0) proxy.cut();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await until(client.status, ({ phase, unsent }) => phase === "live" && unsent === 0);
  const other = device({ url: gateway.url });
  await until(other.status, ({ phase }) => phase === "live");
  assert.equal((await other.tasks.get(id))?.minutesSpent, 20);
});

test("a proxy's pages for people are no answers: it goes on when the gateway is back", async () => {
  const statuses = [200, 502, 503, 404];
  proxy.plan = () => {
    const status = statuses.shift();
    return status ? { fault: "page", status } : undefined;
  };
  const client = device();
  const { error } = await until(client.status, (status) => status.error !== undefined);
  assert.equal(error?.code, "NETWORK");
  const { error: none } = await until(client.status, ({ phase }) => phase === "live");
  assert.deepEqual([statuses.length, none], [0, undefined]);
});

test("a token that expires is asked for again, over each stream, and nothing is lost", async () => {
  for (const plan of [cutting(), cutting("sockets")]) {
    proxy.plan = plan;
    let asked = 0;
    const client = device({ token: () => gateway.token("alice", ["demo"], asked++ === 0 ? 2 - LEEWAY_S : 3600) });
    await until(client.status, ({ phase }) => phase === "live");
    await until(client.status, ({ phase }) => phase !== "live");
    await until(client.status, ({ phase }) => phase === "live");
    await sees(client);
    assert.equal(asked, 2);
  }
});

test("a token that is refused each time is asked for after growing pauses", async () => {
  let [asked, requests] = [0, 0];
  proxy.plan = () => {
    requests += 1;
    return undefined;
  };
  const client = device({ token: () => `refused ${asked++}` });
  await until(client.status, ({ error }) => error?.code === "UNAUTHENTICATED" && asked > 4);
  assert.ok(requests <= 2 * asked, `${requests} requests, ${asked} tokens`);
});
