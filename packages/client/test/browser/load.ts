import assert from "node:assert/strict";
import { test } from "node:test";
import { model } from "../models/example.js";
import { world, type Tab } from "./world.js";

const DOCUMENTS = Number(process.env.TIDEGATE_BROWSER_DOCUMENTS ?? 10_000);
const IN_A_PUSH = 500;

/** The longest task that users do not notice. It is measured always, and a machine with other work to do may not keep it. */
const TASK_MS = 100;
const IS_QUIET = process.env.TIDEGATE_BROWSER_QUIET !== undefined;

/** How many requests the storage makes at a time, and some for other steps. */
const REQUESTS = 110;

/** Creates documents of a user at the gateway. */
async function seed(user: string): Promise<void> {
  const { gateway } = world();
  for (let at = 0; at < DOCUMENTS; at += IN_A_PUSH) {
    const changes = Array.from({ length: IN_A_PUSH }, (_, nth) => {
      const document = { title: `Task ${at + nth}`, notes: "What is to be done, in some more words. ".repeat(5) };
      return { task: { create: { id: `${user}-${at + nth}`, document } } };
    });
    const response = await fetch(gateway.url, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${gateway.token(user)}` },
      body: JSON.stringify({ query: model.operations.pushChanges, variables: { input: { changes } } }),
    });
    const { data } = (await response.json()) as { data: { pushChanges: { results: { status: string }[] } } };
    assert.ok(data.pushChanges.results.every(({ status }) => status === "APPLIED"));
  }
}

/** How long a page took until it was quiet, and its longest task. */
async function measured(tab: Tab): Promise<readonly [said: string, longest: number]> {
  await tab.isQuiet();
  const took = await tab.page.evaluate(() => Math.round(performance.now()));
  const longest = await tab.longestTask();
  return [`${DOCUMENTS} documents in ${took} ms; longest task ${longest} ms`, longest];
}

test(`the page stays responsive during a first sync of ${DOCUMENTS} documents`, async (context) => {
  await seed("load");
  const device = await world().device("load");
  const tab = await device.tab();
  const [first, longest] = await measured(tab);
  const requests = await tab.page.evaluate(() => window.app.mostRequests);
  context.diagnostic(`first sync: ${first}; ${requests} requests at a time`);
  assert.ok(requests >= 50 && requests < REQUESTS, `${requests} requests at a time`);
  assert.deepEqual(await tab.page.evaluate(() => window.app.status()?.differing), []);
  await tab.reload();
  const [again, longestAgain] = await measured(tab);
  context.diagnostic(`next start, which counts them: ${again}`);
  for (const ms of IS_QUIET ? [longest, longestAgain] : []) assert.ok(ms < TASK_MS, `a task took ${ms} ms`);
  // A task that is too long is noticed.
  await tab.page.evaluate((ms) => {
    setTimeout(() => {
      for (const end = performance.now() + ms; performance.now() < end;);
    });
  }, TASK_MS);
  await tab.until((ms) => window.app.longTasks.some((it) => it >= ms), TASK_MS);
  await device.close();
  const unhashed = await world().device("load", { unhashed: "" });
  const [without] = await measured(await unhashed.tab());
  context.diagnostic(`first sync without hashes for digests: ${without}`);
  await unhashed.close();
});
