import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { minutesOf, world } from "./world.js";

// One of them waits most of its time.
describe("tabs", { concurrency: 2 }, () => {
  test("another tab takes the place of a leader that hangs with the lock, and the two lead one after the other", async () => {
    const device = await world().device();
    // The election does not hear that the page freezes. The storage does, or its transaction might block the other tab.
    const [leader, follower] = await device.leaderAndFollower(() => {
      const listen = window.addEventListener.bind(window);
      window.addEventListener = (name: string, ...more: [EventListenerOrEventListenerObject]) => {
        if (name !== "freeze" && name !== "resume") listen(name, ...more);
      };
    });
    const id = await leader.create("a leader hangs");
    await leader.isQuiet();
    await leader.freeze();
    await follower.bump(id);
    await follower.until(() => window.app.sockets > 0);
    await follower.isQuiet();
    await leader.resume();
    await leader.bump(id);
    await leader.until(() => window.app.sockets === 0);
    for (const tab of [leader, follower]) await tab.isQuiet();
    await follower.close();
    await leader.bump(id);
    await leader.isQuiet();
    // A push may be answered before the socket of a new leader stands.
    await leader.until(() => window.app.sockets > 0);
    assert.equal(await minutesOf(id), 3);
    await device.close();
  });

  test("each tab reads and writes at once, and one of them syncs", async () => {
    const device = await world().device();
    const [leader, follower] = await device.leaderAndFollower();
    const id = await follower.create("by the follower");
    await leader.shows(id, 0);
    await Promise.all([leader.bump(id), follower.bump(id)]);
    for (const tab of [leader, follower]) {
      await tab.shows(id, 2);
      await tab.isQuiet();
    }
    assert.equal(await minutesOf(id), 2);
    await device.close();
  });

  for (const end of ["close", "crash", "freeze"] as const) {
    test(`another tab goes on at once after the leader's ${end}, without loss`, async () => {
      const device = await world().device();
      const [leader, follower] = await device.leaderAndFollower();
      device.proxy.setOnline(false);
      const id = await leader.create("offline");
      await Promise.all([leader.bump(id), follower.bump(id)]);
      await leader[end]();
      await follower.bump(id);
      device.proxy.setOnline(true);
      await follower.isQuiet();
      await follower.until(() => window.app.sockets > 0);
      assert.equal(await minutesOf(id), 3);
      if (end === "freeze") {
        await leader.resume();
        await leader.shows(id, 3);
        await leader.isQuiet();
        assert.equal(await leader.leads(), false);
      }
      await device.close();
    });
  }

  test("a page that freezes in a transaction does not block the other tabs, and does it again when it resumes", async () => {
    const device = await world().device();
    const [one, two] = [await device.tab(), await device.tab()];
    const id = await two.create("a page freezes");
    await one.page.evaluate((it) => {
      window.app.freezeInStep();
      void window.app.bump(it);
    }, id);
    await one.until(() => window.app.hasFrozen);
    await two.bump(id);
    assert.equal(await two.has(id), 1);
    await one.page.evaluate(() => document.dispatchEvent(new Event("resume")));
    await two.shows(id, 2);
    assert.equal(await two.has(id), 2);
    await device.close();
  });

  test("tabs of an earlier version stop with a clear error, and keep nothing from the later one", async () => {
    const device = await world().device();
    const tabs = await device.leaderAndFollower();
    const openLater = (): Promise<void> => {
      return new Promise((resolve, reject) => {
        const opening = indexedDB.open(window.app.database, 1000);
        opening.onsuccess = () => {
          opening.result.close();
          resolve();
        };
        opening.onerror = () => {
          reject(opening.error ?? new Error());
        };
      });
    };
    await tabs[1].page.evaluate(openLater);
    for (const tab of tabs) await tab.halts("OUTDATED");
    await assert.rejects(tabs[0].create("too late"), /the storage is not open/);
    const late = await device.tab();
    await late.halts("OUTDATED");
    await device.close();
  });

  test("all tabs stop when one signs out", async () => {
    const device = await world().device();
    const [leader, follower] = await device.leaderAndFollower();
    await follower.page.evaluate(() => window.app.client.signOut());
    await leader.halts("REMOVED");
    assert.equal(await leader.leads(), false);
    await device.close();
  });

  test("a sign-out and an edit of another tab at the same time lose nothing: one of them is refused", async () => {
    const device = await world().device();
    const [leader, follower] = await device.leaderAndFollower();
    const id = await leader.create("signing out");
    await leader.isQuiet();
    device.proxy.setOnline(false);
    const signOut = follower.page.evaluate(() => window.app.client.signOut());
    const [signedOut, edited] = await Promise.allSettled([signOut, leader.bump(id)]);
    assert.deepEqual([signedOut.status, edited.status].sort(), ["fulfilled", "rejected"]);
    await device.close();
  });

  test("edits that are kept at a sign-out are sent by the next tab of their user, and by no tab before", async () => {
    const device = await world().device();
    const [leader, follower] = await device.leaderAndFollower();
    const id = await leader.create("kept");
    await leader.isQuiet();
    device.proxy.setOnline(false);
    await leader.bump(id);
    await follower.page.evaluate(() => window.app.client.signOut({ unsent: "keep" }));
    await leader.halts("REMOVED");
    device.proxy.setOnline(true);
    await assert.rejects(leader.bump(id), /SEALED|the gateway has not named the user yet/);
    assert.equal(await minutesOf(id), 0);
    await leader.close();
    const next = await device.tab();
    await next.shows(id, 1);
    await next.isQuiet();
    assert.equal(await minutesOf(id), 1);
    await device.close();
  });

  test("a page whose storage is in memory syncs for itself, and says that it keeps nothing", async () => {
    const device = await world().device();
    const lacking = (): void => {
      Object.defineProperty(window, "indexedDB", { value: undefined });
    };
    const tabs = [await device.tab(lacking), await device.tab(lacking)] as const;
    const id = await tabs[0].create("in memory");
    for (const tab of tabs) {
      await tab.shows(id, 0);
      assert.equal(await tab.page.evaluate(() => window.app.status()?.durable), false);
      assert.equal(await tab.leads(), true);
    }
    await device.close();
  });
});
