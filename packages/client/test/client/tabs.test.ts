import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Deposed, Engine } from "../../src/client/engine.js";
import { Tabs } from "../../src/client/tabs.js";
import { freshMeta } from "../../src/core/records.js";
import { memoryStorage } from "../../src/storage/memory.js";
import type { Storage } from "../../src/storage/storage.js";
import { model } from "../models/example.js";

const BEAT_MS = 20;

interface Member {
  readonly tabs: Tabs<string>;
  readonly heard: string[];
  /** The terms in which it leads, or has led. */
  readonly terms: number[];
  leads: boolean;
}

let members: Member[] = [];

afterEach(() => {
  for (const { tabs } of members) tabs.close();
  members = [];
});

function member(storage: Storage): Member {
  const engine = new Engine(model, storage);
  const made: Omit<Member, "tabs"> = { heard: [], terms: [], leads: false };
  const tabs = new Tabs<string>({
    name: "tabs",
    locks: undefined,
    beatMs: BEAT_MS,
    raise: () => engine.lead(),
    lead: async (term, signal) => {
      made.terms.push(term);
      made.leads = true;
      await new Promise((resolve) => {
        signal.addEventListener("abort", resolve);
      });
      made.leads = false;
    },
    hear: (news) => {
      made.heard.push(news);
    },
    state: () => "a beat",
    awake: () => undefined,
  });
  const all = Object.assign(made, { tabs });
  members.push(all);
  return all;
}

async function opened(): Promise<Storage> {
  const storage = memoryStorage();
  await storage.open(freshMeta("c1"));
  return storage;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
}

test("no step of an earlier leader is stored", async () => {
  const storage = await opened();
  const [one, two] = [new Engine(model, storage), new Engine(model, storage)];
  const [earlier, later] = [await one.lead(), await two.lead()];
  await assert.rejects(one.do({ is: "begin" }, earlier), Deposed);
  assert.equal((await storage.read({})).meta.round, 0);
  await two.do({ is: "begin" }, later);
  await one.do({ is: "refresh", types: ["Task"] });
  const { meta } = await storage.read({});
  assert.deepEqual([meta.round, meta.refresh, meta.term], [1, ["Task"], 2]);
});

test("without locks the newest tab leads, and the one before it follows", async () => {
  const storage = await opened();
  const first = member(storage);
  await until(() => first.leads);
  const second = member(storage);
  await until(() => second.leads && !first.leads);
  first.tabs.post("an edit");
  await until(() => second.heard.includes("an edit"));
  assert.deepEqual([first.terms, second.terms], [[1], [2]]);
});

test("without locks a leader that is silent is followed", async () => {
  const storage = await opened();
  const first = member(storage);
  const second = member(storage);
  await until(() => second.leads && !first.leads);
  second.tabs.close();
  await until(() => first.leads);
  assert.deepEqual(first.terms.at(-1), 3);
});

test("a tab that leaves is followed, and still hears and posts", async () => {
  const storage = await opened();
  const [first, second] = [member(storage), member(storage)];
  await until(() => second.leads && !first.leads);
  second.tabs.leave();
  await until(() => !second.leads && first.leads);
  second.tabs.post("an edit");
  await until(() => first.heard.includes("an edit"));
  await until(() => second.heard.includes("a beat"));
});
