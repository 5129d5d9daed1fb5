import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import type { Moment, StepKind } from "./interrupted.js";
import { minutesOf, world, WORKED } from "./world.js";

const STEPS: readonly StepKind[] = ["edit", "flight", "answer", "page"];
const MOMENTS: readonly Moment[] = ["running", "stored"];

test("a page that is reloaded in the middle of any step goes on as if nothing had happened", async () => {
  const device = await world().device();
  const tab = await device.tab();
  const id = await tab.create("reloaded");
  await tab.isQuiet();
  let minutes = 0;
  for (const step of STEPS) {
    for (const moment of MOMENTS) {
      const reloaded = tab.page.waitForEvent("load");
      await tab.page.evaluate(
        ([it, at]) => {
          window.app.reloadIn(it, at);
        },
        [step, moment] as const,
      );
      // Whether an edit is made that was under way is for the database to say.
      await tab.bump(id).catch(() => undefined);
      await reloaded;
      await tab.until(() => "app" in window);
      await tab.isQuiet();
      const has = await tab.has(id);
      const made = [minutes + 1, ...(step === "edit" && moment === "running" ? [minutes] : [])];
      assert.ok(has !== undefined && made.includes(has), `${has ?? "no"} minutes after ${minutes}, ${step} ${moment}`);
      minutes = has;
    }
  }
  assert.equal(await minutesOf(id), minutes);
  await device.close();
});

test("edits made while a proxy cuts all connections are sent once it does not", async () => {
  const device = await world().device();
  const [leader, follower] = await device.leaderAndFollower();
  const id = await leader.create("cut off");
  await leader.isQuiet();
  for (let round = 1; round <= 3; round++) {
    device.proxy.setOnline(false);
    await Promise.all([leader.bump(id), follower.bump(id)]);
    await follower.until(() => window.app.status()?.phase === "offline");
    device.proxy.setOnline(true);
    await leader.isQuiet();
    device.proxy.cut();
    await follower.shows(id, 2 * round);
  }
  assert.equal(await minutesOf(id), 6);
  await device.close();
});

test("behind a service worker it reads, sends and follows, by an event stream too", async () => {
  const device = await world().device("alice", {}, WORKED);
  let isCut = false;
  device.proxy.plan = ({ kind, body }) => (isCut && kind === "stream" && body === "" ? { fault: "refuse" } : undefined);
  const tab = await device.tab();
  await tab.page.evaluate(() => navigator.serviceWorker.register("worker.js"));
  await tab.until(() => navigator.serviceWorker.controller !== null);
  const id = await tab.create("behind a worker");
  const other = await world().device();
  const elsewhere = await other.tab();
  for (const [round, stream] of (["socket", "events"] as const).entries()) {
    isCut = stream === "events";
    device.proxy.cut();
    await tab.until((it) => window.app.status()?.stream === it, stream);
    await tab.bump(id);
    await tab.isQuiet();
    await elsewhere.shows(id, 2 * round + 1);
    await elsewhere.bump(id);
    await tab.shows(id, 2 * round + 2);
  }
  await device.close();
  await other.close();
});

test("three tabs, of which leaders crash, close and freeze while answers are lost, count exactly", async () => {
  const device = await world().device();
  let requests = 0;
  // Of ten answers to pushes three are lost, in an order that does not repeat with the tabs' turns.
  device.proxy.plan = ({ kind }) =>
    kind === "push" && [0, 3, 4].includes(requests++ % 10) ? { fault: "lose" } : undefined;
  const first = await device.tab();
  const tabs = [first, await device.tab(), await device.tab()];
  const id = await first.create("three tabs");
  let made = 0;
  for (const end of ["freeze", "crash", "freeze", "close", "crash", "freeze", "close"] as const) {
    for (let round = 0; round < 4; round++) {
      await Promise.all(tabs.map((tab) => tab.bump(id)));
      made += tabs.length;
    }
    const leads = await Promise.all(tabs.map((tab) => tab.leads()));
    const [leader] = tabs.splice(Math.max(leads.indexOf(true), 0), 1);
    if (!leader) throw new Error("there are three tabs");
    await leader[end]();
    if (end === "freeze") {
      await Promise.all(tabs.map((tab) => tab.bump(id)));
      made += tabs.length;
      await pause(100);
      await leader.resume();
      tabs.push(leader);
    } else tabs.push(await device.tab());
  }
  for (const tab of tabs) {
    await tab.isQuiet();
    await tab.shows(id, made);
  }
  assert.ok(requests > 10, `${requests} pushes`);
  assert.equal(await minutesOf(id), made);
  await device.close();
});
