/**
 * Plays the scenarios on the examples, in one browser. `SCENARIOS=night` plays all of them on all examples, and REPEAT so
 * many times; STORES names the stores: `embedded`, `mongodb`. EXAMPLES and ONLY play some.
 */

import { after, before, describe, test } from "node:test";
import { Gateway } from "@tidegate/conformance";
import type { Browser } from "playwright-core";
import { EXAMPLES, type Example } from "./examples.js";
import { Mongod } from "./mongod.js";
import { SCENARIOS, type Scenario } from "./scenarios.js";
import { BINARY, startBrowser, World } from "./world.js";

const SCENARIO_MS = 5 * 60_000;

const isNight = process.env.SCENARIOS === "night";
const repeat = Number(process.env.REPEAT ?? 1);
const stores = (process.env.STORES ?? (isNight ? "embedded mongodb" : "embedded")).split(" ");

let browser: Browser;
let mongod: Mongod | undefined;

before(async () => {
  browser = await startBrowser();
  if (stores.includes("mongodb")) mongod = await Mongod.start();
});

after(async () => {
  await browser.close();
  await mongod?.stop();
});

for (const example of EXAMPLES) {
  for (const store of stores) {
    for (let round = 1; round <= repeat; round += 1) {
      // Scenarios mostly wait. The gateway that one of them kills comes back for all, which have to survive it.
      describe(`${example.name} on the store ${store}, round ${round}`, { concurrency: 3 }, () => {
        play(example, store, round);
      });
    }
  }
}

function play(example: Example, store: string, round: number): void {
  let world: World;
  before(async () => {
    const database = `tidegate-${example.name}-${round}`;
    const gateway = await Gateway.start({
      binary: BINARY,
      ...(mongod && store === "mongodb" && { store: mongod.url(database) }),
    });
    world = await World.start(browser, gateway, example);
  });
  after(async () => {
    await world.stop();
    await world.gateway.stop();
  });
  for (const [index, scenario] of SCENARIOS.entries()) {
    if (!isPlayed(scenario, example)) continue;
    test(scenario.promise, { timeout: SCENARIO_MS }, async (t) => {
      const own = world.fork((text) => {
        t.diagnostic(text);
      });
      try {
        await scenario.play(own, `harbour${index}`);
      } finally {
        await own.closeDevices();
      }
    });
  }
}

function isPlayed({ runs, promise, tabs: needsTabs }: Scenario, { whole, tabs }: Example): boolean {
  if (needsTabs && !tabs) return false;
  if (process.env.ONLY !== undefined) return promise.includes(process.env.ONLY);
  return isNight || runs === "road" || (runs === "whole" && whole);
}
