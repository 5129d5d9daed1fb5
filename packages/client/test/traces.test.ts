/**
 * The core on the traces of `conformance/`, which say line by line what a client stores and sends (its README).
 * `TIDEGATE_TRACES` names a directory of others.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { difference } from "./core/player.js";
import { traces } from "./core/traces.js";

const COMMITTED = fileURLToPath(new URL("../../../../conformance/traces", import.meta.url));

test("the core stores and sends what the traces say", async (t) => {
  const all = await traces(process.env.TIDEGATE_TRACES ?? COMMITTED);
  assert.notEqual(all.length, 0);
  for (const { name, text } of all) {
    await t.test(name, async () => {
      const differs = await difference(text);
      if (differs) assert.deepEqual(differs.now, differs.then, differs.line);
    });
  }
});
