import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Gateway, runSuite, type History } from "@tidegate/conformance";
import { BINARY } from "../gateway/gateway.js";

const HISTORIES = Number(process.env.TIDEGATE_LIVE_HISTORIES ?? 5);
const SEED = Number(process.env.TIDEGATE_LIVE_SEED ?? Date.now() % 1_000_000_007);
const DRIVER = [process.execPath, fileURLToPath(new URL("driver.js", import.meta.url))];

let gateway: Gateway;

before(async () => {
  gateway = await Gateway.start({ binary: BINARY });
});

after(() => gateway.stop());

test(`the live suite finds nothing in this client (${HISTORIES} histories)`, async () => {
  await runSuite({ gateway, command: DRIVER, histories: HISTORIES, seed: SEED, shrinks: false });
});

/** A device edits, and is killed while the gateway has not heard of its push. */
const REFUSED: History = {
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
