// The core's own SHA-256, and digests by the values in docs/rules.md (2.10).
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { digestsOf, hash } from "../src/digest.js";

test("the hash is the beginning of SHA-256, whatever the length", () => {
  for (let length = 0; length < 200; length += 1) {
    const text = "é🌊x".repeat(length).slice(0, length);
    const words = createHash("sha256")
      .update(text.replace(/\p{Surrogate}/gu, "\ufffd"))
      .digest();
    const expected = [0, 4, 8, 12].map((at) => words.readInt32BE(at));
    assert.deepEqual(hash(text), expected, String(length));
  }
});

test("digests are those of the rules", () => {
  const task = (id, version) => ({ type: "Task", id, version, scope: "team:red" });
  const note = { type: "Note", id: "n", version: 2, scope: "team:red" };
  const tasks = [task("b", 3), task("a", 1)];
  assert.deepEqual([...digestsOf([...tasks, note])], [["team:red", "6b88565cd8c77467862ed4dc3d2fe7fb"]]);
  assert.deepEqual([...digestsOf(tasks)], [["team:red", "9fb20f6b9b5b84e08c293dbe506745e0"]]);
});
