// The core's own SHA-256, digests by the values in docs/rules.md (2.10), and when they are compared (1.18).
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { begin, step } from "../src/core.js";
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

test("a pull is not compared if an answer came since it began, and another one has to be", () => {
  const model = { Task: { root: "task", merges: {}, defaults: {} } };
  const digests = [{ scope: "team:red", digest: "f".repeat(32) }];
  const page = { changes: [], revokedScopes: [], hasMore: false, reset: false, epoch: "e", checkpoint: "c", digests };
  const play = (before, ...events) => events.reduce((state, event) => step(model, state, event), before);
  const pulled = (state) => step(model, state, { do: "page", page, from: "c", round: state.round, types: ["Task"] });

  const empty = { ...page, reset: true, digests: [] };
  const first = { do: "page", page: empty, from: null, round: 1, types: ["Task"], newId: "c2" };
  const create = { op: "create", type: "Task", id: "t", document: {} };
  const sent = play(begin("c1"), { do: "begin" }, first, { do: "edit", edits: [create] }, { do: "send" });
  const results = [{ status: "APPLIED", version: 1, document: null }];
  const disturbed = pulled(play(sent, { do: "begin" }, { do: "answer", to: sent.flight, results }));
  assert.deepEqual([disturbed.mustCompare, disturbed.differing], [true, []]);
  const later = pulled(play(disturbed, { do: "begin" }));
  assert.deepEqual([later.mustCompare, later.differing], [false, ["team:red"]]);
});
