/**
 * Carries out the commands of each example's README in a fresh clone, as they stand there, and sees that the example works.
 * `make nightly` does it. The first example builds the gateway, the others find it built; with TIDEGATE_BINARY that program
 * stands in for `cargo run`.
 */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import type { Browser } from "playwright-core";
import { until } from "./device.js";
import { EXAMPLES, ROOT } from "./examples.js";
import { readmeOf } from "./readme.js";
import { startBrowser } from "./world.js";

/** A release build of the gateway takes long. */
const START_MS = 30 * 60_000;

const GATEWAY = "http://127.0.0.1:4000";

/** Commands of a README, and what shows that they work. */
interface Recipe {
  readonly promise: string;
  readonly example: string;
  /** Which block of commands, from 0. */
  readonly block: number;
  readonly works: (readme: string, printed: () => string) => Promise<void>;
}

const RECIPES: readonly Recipe[] = [
  ...EXAMPLES.map(({ name }) => ({ promise: `${name} runs`, example: name, block: 0, works: opens })),
  { promise: "the service in Node runs", example: "node-service", block: 0, works: reviews },
  { promise: "the service in Python runs", example: "node-service", block: 1, works: reviews },
  { promise: "types are generated and used", example: "codegen", block: 0, works: prints },
];

const run = promisify(execFile);

let browser: Browser;
let scratch: string;
let clone: string;

before(async () => {
  browser = await startBrowser();
  scratch = await mkdtemp(join(tmpdir(), "tidegate-fresh-"));
  clone = join(scratch, "tidegate");
  await run("git", ["clone", "--quiet", ROOT, clone]);
  await writeFile(
    join(scratch, "cargo"),
    `#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$TIDEGATE_BINARY" "$@"\n`,
  );
  await chmod(join(scratch, "cargo"), 0o755);
});

after(async () => {
  await browser.close();
  await rm(scratch, { recursive: true });
});

for (const recipe of RECIPES) {
  test(`${recipe.promise} by the commands of its README`, async (t) => {
    const { text, blocks } = await readmeOf(clone, recipe.example);
    const commands = blocks[recipe.block] ?? assert.fail("it has no commands");
    await whileTheyRun(t, commands, (printed) => recipe.works(text, printed));
  });
}

/** They run in a process group of their own, since one of them goes on in the background. */
async function whileTheyRun(
  t: TestContext,
  commands: string,
  look: (printed: () => string) => Promise<void>,
): Promise<void> {
  const { PATH = "", TIDEGATE_BINARY } = process.env;
  const shell = spawn("bash", ["-e", "-c", commands], {
    cwd: clone,
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      CARGO_TARGET_DIR: `${ROOT}target`,
      ...process.env,
      TIDEGATE_LOG: "warn",
      STATE: await mkdtemp(join(scratch, "state-")),
      PATH: TIDEGATE_BINARY === undefined ? PATH : `${scratch}:${PATH}`,
    },
  });
  let printed = "";
  shell.stdout.on("data", (chunk: Buffer) => {
    printed += chunk.toString();
  });
  const ended = new Promise((resolve) => shell.once("exit", resolve));
  const began = Date.now();
  try {
    await look(() => printed);
    t.diagnostic(`it works after ${Math.round((Date.now() - began) / 1000)} s`);
  } finally {
    if (shell.pid !== undefined) process.kill(-shell.pid, "SIGKILL");
    await ended;
  }
}

/** A task that is added on the page arrives. */
async function opens(readme: string): Promise<void> {
  const [address] = /http:\/\/127\.0\.0\.1:\d+\//.exec(readme) ?? [];
  assert.ok(address !== undefined);
  await answer(address, `${GATEWAY}/`);
  const page = await browser.newPage();
  await page.goto(address);
  await page.getByLabel("New task").fill("Paint the boat");
  await page.getByLabel("New task").press("Enter");
  await page.getByRole("listitem", { name: "Paint the boat" }).first().waitFor();
  await page.locator('[role="status"][data-phase="live"][data-unsent="0"]').waitFor();
  await page.close();
}

/** A task that is done gets the label of the service. */
async function reviews(): Promise<void> {
  await answer(`${GATEWAY}/`);
  const id = `done-${Date.now()}`;
  const create = { id, document: { title: "Paint the boat", audience: "team:demo", done: true } };
  const push = "mutation ($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
  await ask(push, { input: { changes: [{ task: { create } }] } });
  const labels = (): Promise<string> => ask("query ($id: ID!) { task(id: $id) { labels } }", { id });
  await until(async () => (await labels()).includes('"reviewed"'), labels, START_MS);
}

/** What the generated code has asked. */
async function prints(_: string, printed: () => string): Promise<void> {
  await until(() => Promise.resolve(printed().includes("APPLIED: Made by TypeScript")), printed, START_MS);
}

/** A gateway that begins answers that it waits for its store. */
async function answer(...addresses: readonly string[]): Promise<void> {
  const all = (): Promise<boolean> =>
    Promise.all(addresses.map((it) => fetch(it))).then(
      (answers) => answers.every(({ ok }) => ok),
      () => false,
    );
  await until(all, () => `${addresses.join(" and ")} answer`, START_MS);
}

/** The answer to Alice's operation, as text. */
async function ask(query: string, variables: object): Promise<string> {
  const { token } = (await (await fetch(`${GATEWAY}/dev/token?sub=alice&teams=demo`)).json()) as { token: string };
  const response = await fetch(`${GATEWAY}/graphql`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify({ query, variables }),
  });
  const text = await response.text();
  assert.ok(response.ok && !text.includes('"errors"'), text);
  return text;
}
