/**
 * The command `tidegate-conformance` by each of its options, with the driver of this client.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { backupsBy, Gateway, runSuite, type History } from "@tidegate/conformance";
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

test("--backup and --restore put the database back, by the commands of its operator", async () => {
  const mongod = await Mongod.start();
  const { backups } = mongod;
  const heard: string[] = [];
  const server = createServer(({ url = "" }, response) => {
    heard.push(url);
    (url === "/backup" ? backups.backUp() : backups.restore()).then(
      () => response.end(),
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const ask = (what: string): string => `"${process.execPath}" -e "fetch('http://127.0.0.1:${port}/${what}')"`;
  const made = { act: "create", id: 0 } as const;
  const chosen: History = {
    steps: [
      [0, made],
      ["operator", "backup"],
      [0, made],
      ["operator", "restore"],
      [1, { act: "count", id: 0 }],
    ],
    faults: [[], [], []],
  };
  const backed = { store: mongod.url("suite"), backups: backupsBy(ask("backup"), ask("restore")) };
  const own = await Gateway.start({ binary: BINARY, ...backed });
  try {
    await runSuite({ gateway: own, command: DRIVER, histories: 1, chosen: [chosen], seed: 7, shrinks: false });
    assert.deepEqual(heard, ["/backup", "/restore"]);
  } finally {
    await own.stop();
    server.close();
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
    [["--backup", "true"], /need each other/],
    [["--backup", "true", "--restore", "true"], /for the database of --store/],
    [["--key", "a"], /--key is that of the gateway of --url/],
    [["--histories", "many"], /--histories is a whole number, and not many/],
    [["--gateway", "/no/such/program"], /ENOENT/],
  ] as const;
  for (const [options, says] of cases) await assert.rejects(run(...options), says);
});
