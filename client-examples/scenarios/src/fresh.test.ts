/**
 * Carries out the commands of each example's README in a fresh clone, and opens the page. `make nightly` does it: the first
 * example builds the gateway, the others find it built.
 */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import type { Browser } from "playwright-core";
import { until } from "./device.js";
import { EXAMPLES, ROOT } from "./examples.js";
import { startBrowser } from "./world.js";

const MOST_COMMANDS = 3;

/** A release build of the gateway takes long. */
const START_MS = 30 * 60_000;

const run = promisify(execFile);

let browser: Browser;
let clone: string;

before(async () => {
  browser = await startBrowser();
  clone = await mkdtemp(join(tmpdir(), "tidegate-clone-"));
  await run("git", ["clone", "--quiet", ROOT, clone]);
});

after(async () => {
  await browser.close();
  await rm(clone, { recursive: true });
});

for (const { name } of EXAMPLES) {
  test(`${name} runs by the commands of its README`, async () => {
    const readme = await readFile(join(clone, "client-examples", name, "README.md"), "utf8");
    const [, commands = ""] = /^```sh\n(.*?)^```$/ms.exec(readme) ?? [];
    const [address] = /http:\/\/127\.0\.0\.1:\d+\//.exec(readme) ?? [];
    assert.ok(commands !== "" && address !== undefined);
    assert.ok(commands.trim().split("\n").length <= MOST_COMMANDS);

    // A process group of its own, since a command goes on in the background.
    const shell = spawn("bash", ["-e", "-c", commands], {
      cwd: clone,
      detached: true,
      stdio: ["ignore", "inherit", "inherit"],
      env: { CARGO_TARGET_DIR: `${ROOT}target`, ...process.env },
    });
    const ended = new Promise((resolve) => shell.once("exit", resolve));
    try {
      const answers = (): Promise<boolean> =>
        Promise.all([address, "http://127.0.0.1:4000/"].map((it) => fetch(it))).then(
          () => true,
          () => false,
        );
      await until(answers, () => `${address} and the gateway answer`, START_MS);
      const page = await browser.newPage();
      await page.goto(address);
      await page.getByLabel("New task").fill("Paint the boat");
      await page.getByLabel("New task").press("Enter");
      await page.getByRole("listitem", { name: "Paint the boat" }).first().waitFor();
      await page.locator('[role="status"][data-phase="live"][data-unsent="0"]').waitFor();
      await page.close();
    } finally {
      if (shell.pid !== undefined) process.kill(-shell.pid, "SIGKILL");
      await ended;
    }
  });
}
