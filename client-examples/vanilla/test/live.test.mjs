// The client against a real gateway, by the live suite: random histories of three devices, behind proxies that fail.
// TIDEGATE_BINARY names the gateway.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Gateway, runSuite } from "@tidegate/conformance";

const HISTORIES = Number(process.env.TIDEGATE_LIVE_HISTORIES ?? 3);
const SEED = Number(process.env.TIDEGATE_LIVE_SEED ?? Date.now() % 1_000_000_007);
const BINARY = process.env.TIDEGATE_BINARY ?? fileURLToPath(new URL("../../../target/debug/tidegate", import.meta.url));
const DRIVER = [process.execPath, fileURLToPath(new URL("live/driver.mjs", import.meta.url))];

let gateway;

before(async () => (gateway = await Gateway.start({ binary: BINARY })));
after(() => gateway.stop());

test(`the live suite finds nothing in this client (${HISTORIES} histories)`, async () => {
  await runSuite({ gateway, command: DRIVER, histories: HISTORIES, seed: SEED, shrinks: false });
});

/** A device edits, and is killed while the gateway has not heard of its push. */
const REFUSED = {
  steps: [
    [0, { act: "count", id: 0 }],
    [0, { act: "wait", ms: 100 }],
    [0, { act: "kill" }],
  ],
  faults: [Array.from({ length: 20 }, () => ({ kind: "push", after: 0, fault: { fault: "refuse" } })), [], []],
};

test("the live suite finds a client that does not remember its push in flight", async () => {
  const options = { gateway, histories: 1, chosen: [REFUSED], seed: SEED, shrinks: false };
  await runSuite({ ...options, command: DRIVER });
  await assert.rejects(runSuite({ ...options, command: [...DRIVER, "--forgets-flight"] }), /the count of Task/);
});
