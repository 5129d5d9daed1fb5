/**
 * What every example has to do: users at their devices, as a page shows them. Each scenario has teams of its own.
 */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Traffic, Fault } from "@tidegate/conformance";
import { converge, until } from "./device.js";
import type { World } from "./world.js";

export interface Scenario {
  readonly promise: string;
  /** `road`: each example in `make test`; `whole`: the whole examples in `make test`; `night`: `make nightly` only. */
  readonly runs: "road" | "whole" | "night";
  /** Only for examples whose tabs work side by side. */
  readonly tabs?: true;
  readonly play: (world: World, team: string) => Promise<void>;
}

/** The gateway accepts a token for 10 s after its end. */
const LEEWAY_SECONDS = 10;

/** How long the gateway accepts a token that ends soon. */
const SHORT_SECONDS = 3;

export const SCENARIOS: readonly Scenario[] = [
  {
    promise: "edits made offline outlast a reload, arrive, and are on all devices of all users",
    runs: "road",
    async play(world, team) {
      const laptop = await world.device("alice", [team]);
      await laptop.addTask("Paint the boat");
      await laptop.isInStep();
      const phone = await world.device("alice", [team]);
      const tablet = await world.device("bob", [team]);
      for (const device of [phone, tablet]) await device.shows("Paint the boat");

      laptop.offline();
      await laptop.spend("Paint the boat");
      await laptop.label("Paint the boat", "urgent");
      await laptop.addTask("Buy paint");
      await laptop.saysThatItWaits(3);
      await laptop.load();
      await laptop.saysThatItWaits(3);
      await laptop.task("Paint the boat").getByTestId("waits").waitFor();
      await laptop.shows("Buy paint");

      await phone.spend("Paint the boat");
      await tablet.label("Paint the boat", "outside");
      await tablet.rename("Paint the boat", "Paint the blue boat");
      await laptop.online();
      const tasks = await converge(laptop, phone, tablet);
      assert.deepEqual(tasks, [
        { title: "Buy paint", done: false, minutes: "0 min", labels: [] },
        { title: "Paint the blue boat", done: false, minutes: "30 min", labels: ["outside", "urgent"] },
      ]);
      await laptop.task("Paint the blue boat").getByTestId("waits").waitFor({ state: "detached" });
      assert.equal(await laptop.page.getByRole("alert").count(), 0);
    },
  },
  {
    promise: "the page has no serious fault of accessibility, in light and in dark, on a desktop and on a phone",
    runs: "road",
    async play(world, team) {
      const other = await world.device("bob", [team]);
      await other.addTask("Paint the boat");
      await other.label("Paint the boat", "urgent");
      await other.addArticle("Tides");
      const device = await world.device("alice", [team]);
      await device.shows("Tides");
      other.offline();
      await other.rename("Tides", "Low tides");
      await device.rename("Tides", "High tides");
      await device.isInStep();
      await other.online();
      await device.card("conflict", "Low tides").waitFor();
      // The page has all that it can show: a conflict, details, edits that wait, and no network.
      device.offline();
      await device.spend("Paint the boat");
      await device.task("Paint the boat").locator("summary").click();
      await device.page.evaluate(await readFile(createRequire(import.meta.url).resolve("axe-core"), "utf8"));
      for (const colorScheme of ["light", "dark"] as const) {
        for (const width of [1200, 390]) {
          await device.page.emulateMedia({ colorScheme });
          await device.page.setViewportSize({ width, height: 800 });
          const faults = await device.page.evaluate(async () => {
            const { violations } = await (window as unknown as Axe).axe.run();
            return violations
              .filter(({ impact }) => impact === "serious" || impact === "critical")
              .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
          });
          assert.deepEqual(faults, [], `${colorScheme}, ${width} pixels`);
          const overflow = await device.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(overflow <= 0, `${overflow} pixels are beside the page`);
        }
      }
    },
  },
  {
    promise: "a gateway that is killed and started again has all that it has answered, and gets the rest",
    runs: "whole",
    async play(world, team) {
      const laptop = await world.device("alice", [team]);
      const tablet = await world.device("bob", [team]);
      await laptop.addTask("Paint the boat");
      await laptop.isInStep();
      const killed = world.gateway.crash();
      await laptop.spend("Paint the boat");
      await laptop.addTask("Buy paint");
      await killed;
      await tablet.shows("Buy paint");
      await tablet.spend("Paint the boat");
      const tasks = await converge(laptop, tablet);
      assert.deepEqual(
        tasks.map(({ minutes }) => minutes),
        ["0 min", "30 min"],
      );
    },
  },
  {
    promise: "a network that loses, cuts, delays and freezes loses no edit and makes none twice",
    runs: "whole",
    async play(world, team) {
      const devices = [
        await world.device("alice", [team]),
        await world.device("alice", [team]),
        await world.device("bob", [team]),
      ] as const;
      const [laptop, phone, tablet] = devices;
      await laptop.addTask("Paint the boat");
      for (const device of devices) await device.shows("Paint the boat");
      for (const [index, device] of devices.entries()) device.options.proxy.plan = faulty(index);
      for (let round = 0; round < 4; round += 1) {
        for (const device of devices) await device.spend("Paint the boat");
        await tablet.addTask(`Task ${round} of Bob`);
        await phone.label("Paint the boat", `label ${round}`);
        // Users pause; meanwhile faults meet what was edited so far.
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
      await Promise.all(devices.map((device) => device.heal()));
      const tasks = await converge(...devices);
      assert.equal(tasks.length, 5);
      assert.deepEqual(tasks.at(-1), {
        title: "Paint the boat",
        done: false,
        minutes: "3 h 0 min",
        labels: ["label 0", "label 1", "label 2", "label 3"],
      });
    },
  },
  {
    promise: "a connection that stays open and silent is given up, and what was missed comes",
    runs: "night",
    async play(world, team) {
      const laptop = await world.device("alice", [team]);
      await laptop.addTask("Paint the boat");
      await laptop.isInStep();
      let frozen = 0;
      laptop.options.proxy.plan = ({ kind }) => {
        if (kind !== "stream" || frozen > 0) return undefined;
        frozen += 1;
        return { fault: "silence", bytes: 600 };
      };
      laptop.options.proxy.cut();
      await until(
        () => Promise.resolve(frozen > 0),
        () => "no stream has come",
      );
      const tablet = await world.device("bob", [team]);
      for (let task = 0; task < 10; task += 1) await tablet.addTask(`Task ${task} of Bob`);
      await converge(laptop, tablet);
    },
  },
  {
    promise: "a task that one deletes and another edits is in the same state everywhere, and nothing is lost unseen",
    runs: "whole",
    async play(world, team) {
      const laptop = await world.device("alice", [team]);
      const tablet = await world.device("bob", [team]);
      await laptop.addTask("Paint the boat");
      await tablet.shows("Paint the boat");
      tablet.offline();
      await tablet.note("Paint the boat", "In blue.");
      await tablet.spend("Paint the boat");
      await laptop.delete("Paint the boat");
      await laptop.isInStep();
      await tablet.online();
      // What he wrote is no longer anywhere but in the outcome.
      await tablet.card("outcome", "In blue.").waitFor();
      await tablet.discardAll();
      assert.deepEqual(await converge(laptop, tablet), []);
    },
  },
  {
    promise: "of two texts of one article a person makes one, which all then have",
    runs: "whole",
    async play(world, team) {
      const laptop = await world.device("alice", [team]);
      const tablet = await world.device("bob", [team]);
      await laptop.addArticle("Tides");
      await tablet.shows("Tides");
      tablet.offline();
      await tablet.rename("Tides", "Low tides");
      await laptop.rename("Tides", "High tides");
      await laptop.isInStep();
      await tablet.online();
      for (const device of [laptop, tablet]) {
        const card = device.card("conflict", "tides");
        await card.getByText("Low tides", { exact: true }).waitFor();
        await card.getByText("High tides", { exact: true }).waitFor();
      }
      await laptop.page.getByLabel("New title").fill("All tides");
      await laptop.press("Save a new version");
      for (const device of [laptop, tablet]) {
        await device.shows("All tides");
        await device.card("conflict", "tides").waitFor({ state: "detached" });
      }
    },
  },
  {
    promise: "a token that ends is renewed without a word, and the page goes on following",
    runs: "whole",
    async play(world, team) {
      const tablet = await world.device("bob", [team]);
      const laptop = await world.device("alice", [team]);
      await laptop.isInStep();
      laptop.nextToken = { teams: [team], seconds: SHORT_SECONDS - LEEWAY_SECONDS };
      const given = laptop.tokens;
      await laptop.load();
      await until(
        () => Promise.resolve(laptop.tokens >= given + 2),
        () => laptop.tokens,
      );
      await tablet.addTask("Paint the boat");
      await laptop.shows("Paint the boat");
      await laptop.spend("Paint the boat");
      await converge(laptop, tablet);
    },
  },
  {
    promise: "of a team that is withdrawn nothing stays on the device, not even in its database",
    runs: "whole",
    async play(world, team) {
      const [secret, open] = [`${team}-secret`, `${team}-open`];
      const laptop = await world.device("alice", [secret, open]);
      await laptop.addTask("Hide the treasure", `team:${secret}`);
      await laptop.note("Hide the treasure", "Under the old oak.");
      await laptop.addTask("Paint the boat", `team:${open}`);
      await laptop.isInStep();
      assert.match(await laptop.stored(), /Hide the treasure/);

      // Her next token ends soon, and the one after it is without the team.
      laptop.nextToken = { teams: [secret, open], seconds: SHORT_SECONDS - LEEWAY_SECONDS };
      laptop.token = { teams: [open] };
      await laptop.load();
      await laptop.hides("Hide the treasure");
      await laptop.shows("Paint the boat");
      let stored = "";
      await until(
        async () => {
          stored = await laptop.stored();
          return !/Hide the treasure|old oak/.test(stored);
        },
        () => stored,
      );
      assert.match(stored, /Paint the boat/);
    },
  },
  {
    promise: "a user who signs out leaves nothing behind but edits to send, if she wants to keep them",
    runs: "whole",
    async play(world, team) {
      const laptop = await world.device("alice", [team]);
      const tablet = await world.device("bob", [team]);
      await laptop.addTask("Hide the treasure");
      await laptop.addTask("Paint the boat");
      await laptop.isInStep();
      for (const answer of ["Keep them", "Delete them"] as const) {
        laptop.offline();
        await laptop.spend("Paint the boat");
        await laptop.saysThatItWaits(1);
        await laptop.press("Sign out");
        await laptop.press("Stay signed in");
        await laptop.shows("Paint the boat");
        await laptop.signOut(answer);
        assert.doesNotMatch(await laptop.stored(), /Hide the treasure/);
        await laptop.online();
        await laptop.press("Sign in as Alice");
        // Of the two edits one arrives.
        const tasks = await converge(laptop, tablet);
        assert.deepEqual(
          tasks.map(({ title, minutes }) => `${title}: ${minutes}`),
          ["Paint the boat: 15 min", "Hide the treasure: 0 min"],
        );
      }
      await laptop.signOut();
      assert.doesNotMatch(await laptop.stored(), /Paint the boat/);
    },
  },
  {
    promise: "tabs of one browser show the same, send each edit once, and go on when the first of them is closed",
    runs: "road",
    tabs: true,
    async play(world, team) {
      const laptop = await world.device("alice", [team]);
      const tablet = await world.device("bob", [team]);
      await laptop.addTask("Paint the boat");
      await laptop.isInStep();
      const other = await laptop.newTab();
      await other.shows("Paint the boat");
      const pushed: string[] = [];
      laptop.options.proxy.plan = ({ kind, body }) => {
        if (kind === "push") pushed.push(body);
        return undefined;
      };
      for (const tab of [laptop, other, laptop, other]) {
        await tab.spend("Paint the boat");
        for (const it of [laptop, other]) await it.isInStep();
      }
      assert.equal(pushed.length, 4);
      await Promise.all([laptop, other].map((tab) => tab.spend("Paint the boat")));
      await converge(laptop, other, tablet);

      // The first tab speaks with the gateway for both until it is closed.
      await other.addTask("Buy paint");
      await laptop.shows("Buy paint");
      await laptop.page.close();
      await other.spend("Paint the boat");
      const tasks = await converge(other, tablet);
      assert.deepEqual(
        tasks.map(({ title, minutes }) => `${title}: ${minutes}`),
        ["Buy paint: 0 min", "Paint the boat: 1 h 45 min"],
      );
    },
  },
  {
    promise: "the first sync of 10,000 documents ends, and the page can be used meanwhile",
    runs: "whole",
    async play(world, team) {
      const count = 10_000;
      // A list shows the newest ids first. These are older than what a user adds, so her task stays on the page.
      for (let first = 0; first < count; first += 500) {
        const changes = Array.from({ length: 500 }, (_, index) => ({
          task: {
            create: {
              id: `a-${String(first + index).padStart(5, "0")}-${team}`,
              document: { title: `Task ${first + index}`, audience: `team:${team}` },
            },
          },
        }));
        await world.push("alice", [team], changes);
      }
      const began = Date.now();
      const laptop = await world.device("alice", [team]);
      await laptop.addTask("Paint the boat");
      await laptop.isInStep();
      world.say(`${count} documents after ${((Date.now() - began) / 1000).toFixed(1)} s`);
      await laptop.shows(`Task ${count - 1}`);
      await laptop.press("Show more");
      await until(
        async () => (await laptop.tasks()).length === 100,
        () => laptop.tasks(),
      );
      const stored = await laptop.stored();
      for (const index of [0, count / 2, count - 1]) assert.match(stored, new RegExp(`"Task ${index}"`));
    },
  },
];

interface Axe {
  readonly axe: { run(): Promise<{ readonly violations: readonly Violation[] }> };
}

interface Violation {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string }[];
}

/** Every third request or so meets a fault; each device has an order of its own. */
function faulty(seed: number): (traffic: Traffic) => Fault | undefined {
  const faults: readonly (Fault | undefined)[] = [
    undefined,
    { fault: "lose" },
    { fault: "slow", ms: 200 },
    undefined,
    { fault: "cut", bytes: 40 },
    { fault: "double" },
    undefined,
    { fault: "refuse" },
    { fault: "silence", bytes: 200 },
    { fault: "late", ms: 500 },
    undefined,
    { fault: "page", status: 502 },
  ];
  let next = seed * 5;
  return () => faults[next++ % faults.length];
}
