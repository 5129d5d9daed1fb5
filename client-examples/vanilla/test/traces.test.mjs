// The core on all traces of conformance/, which say line by line what a client must store and send (its README).
// TIDEGATE_TRACES names a directory of others.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { difference } from "./player.mjs";

const COMMITTED = fileURLToPath(new URL("../../../conformance/traces", import.meta.url));

test("the core stores and sends what the traces say", async (t) => {
  const directory = process.env.TIDEGATE_TRACES ?? COMMITTED;
  const names = (await readdir(directory)).filter((name) => name.endsWith(".jsonl"));
  assert.notEqual(names.length, 0);
  for (const name of names) {
    await t.test(name, async () => {
      const differs = difference(await readFile(join(directory, name), "utf8"));
      if (differs) assert.deepEqual(differs.now, differs.then, differs.line);
    });
  }
});
