import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { bundle, TARGET } from "../bundle.mjs";

test("the committed page is the one that its sources make: `make devices` builds it", async () => {
  for (const [name, text] of Object.entries(await bundle())) {
    const committed = gunzipSync(await readFile(new URL(`${name}.gz`, TARGET))).toString();
    assert.ok(committed === text, `${name} is another one`);
  }
});
