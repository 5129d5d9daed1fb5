/**
 * What tabs show of their leader: clients over one database, and messages that come late from a leader before it.
 */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import "fake-indexeddb/auto";
import { createClient, indexedDBStorage, type Client, type ClientOptions, type Status } from "../../src/index.js";
import { model, type Model } from "../models/example.js";

const clients: Client<Model>[] = [];
let channel: BroadcastChannel | undefined;

afterEach(async () => {
  channel?.close();
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

/** One of the tabs of a database. */
function tab(database: string, send: typeof fetch): Client<Model> {
  const options: ClientOptions = {
    url: "http://127.0.0.1:1/graphql",
    token: () => "a token",
    model,
    storage: indexedDBStorage(database),
    fetch: send,
    pauses: { minMs: 1, maxMs: 5 },
  };
  const client = createClient<Model>(options);
  clients.push(client);
  return client;
}

/** The gateway is out of reach for this tab. */
const away = (): Promise<Response> => Promise.reject(new TypeError("there is no network"));
/** The gateway hears this tab, and does not answer. */
const silent: typeof fetch = (_, init) => {
  return new Promise((_, reject) => {
    init?.signal?.addEventListener("abort", () => {
      reject(new DOMException("aborted", "AbortError"));
    });
  });
};

/** All that was posted before it has been heard after this. */
async function heard(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** The second tab leads in term 2, and the first one follows: it has found that out and asked who leads. */
async function leaderAndFollower(database: string): Promise<readonly [Client<Model>, Client<Model>]> {
  const posted = new BroadcastChannel(`tidegate:${database}`);
  channel = posted;
  const saidIn = (term: number): Promise<void> => {
    return new Promise((resolve) => {
      posted.onmessage = ({ data }: MessageEvent<{ term?: number; news?: { status?: Status } }>) => {
        if (data.term === term && data.news?.status) resolve();
      };
    });
  };
  const first = saidIn(1);
  const follower = tab(database, away);
  await first;
  const second = saidIn(2);
  const leader = tab(database, silent);
  await second;
  posted.onmessage = null;
  return [leader, follower];
}

function says(term: number | undefined): void {
  const status = { phase: "live", stream: "socket", done: 0, bytes: 7, lastSync: undefined, error: undefined };
  channel?.postMessage({ is: "news", term, news: { status: { ...status, unsent: 0, lost: 0, durable: true } } });
}

test("no tab takes the status of a leader before the present one, however late it comes", async () => {
  const tabs = await leaderAndFollower("a late status");
  for (const term of [1, undefined]) says(term);
  await heard();
  for (const { status } of tabs) assert.deepEqual([status.value?.phase, status.value?.bytes], ["offline", 0]);
});

test("a tab shows the status of the leader after it at once", async () => {
  const tabs = await leaderAndFollower("the next leader");
  says(3);
  for (const { status } of tabs) {
    for await (const { phase } of status) if (phase === "live") break;
    assert.equal(status.value?.bytes, 7);
  }
});

test("a leader that another one has replaced asks for its status at once", async () => {
  const [leader] = await leaderAndFollower("a question");
  const said: unknown[] = [];
  const hear = ({ data: { is, news } }: MessageEvent<{ is: string; news?: { status?: Status } }>): void => {
    // What a step has touched that was under way, it may still say.
    if (is !== "news" || news?.status) said.push(is);
  };
  if (channel) channel.onmessage = hear;
  channel?.postMessage({ is: "question", term: 3 });
  await heard();
  assert.deepEqual(said, ["question"]);
  assert.equal(leader.status.value?.phase, "offline");
});
