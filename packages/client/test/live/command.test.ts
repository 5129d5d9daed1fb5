/**
 * The command `tidegate-conformance` by each of its options, with the driver of this client.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Gateway } from "@tidegate/conformance";
import { BINARY, startGateway } from "../gateway/gateway.js";
import { Mongod } from "../gateway/mongod.js";

const MAIN = fileURLToPath(new URL("main.js", import.meta.resolve("@tidegate/conformance")));
const DRIVER = [process.execPath, fileURLToPath(new URL("driver.js", import.meta.url))];
const GOOD = /the client keeps every promise/;

let gateway: Gateway;

before(async () => {
  gateway = await startGateway();
});

after(() => gateway.stop());

/** What it prints. */
async function run(...options: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...options, "--", ...DRIVER]);
  return stdout;
}

test("--gateway and --store run a gateway on a database of a replica set", async () => {
  const mongod = await Mongod.start();
  try {
    const printed = await run("--gateway", BINARY, "--store", mongod.url("suite"), "--histories", "1", "--seed", "7");
    assert.match(printed, /1 histories with seed 7/);
    assert.match(printed, GOOD);
  } finally {
    await mongod.stop();
  }
});

test("--url and --key use a gateway that runs already, again and again", async () => {
  for (const seed of ["7", "7"]) {
    const where = ["--url", gateway.origin, "--key", gateway.key];
    assert.match(await run(...where, "--histories", "1", "--seed", seed), GOOD);
  }
});

test("it says which option is wrong", async () => {
  const url = ["--url", gateway.origin];
  const cases = [
    [[...url, "--key", "another"], /gives the suite no documents: .*UNAUTHENTICATED/],
    [["--url", "http://127.0.0.1:1", "--key", "a"], /gives the suite no documents: .*fetch failed/],
    [url, /--url needs the key/],
    [["--url", "https://127.0.0.1:1", "--key", "a"], /plain HTTP/],
    [[...url, "--key", "a", "--store", "mongodb://127.0.0.1/a"], /with a store of its own/],
    [["--key", "a"], /--key is that of the gateway of --url/],
    [["--histories", "many"], /--histories is a whole number, and not many/],
    [["--gateway", "/no/such/program"], /ENOENT/],
  ] as const;
  for (const [options, says] of cases) await assert.rejects(run(...options), says);
});
