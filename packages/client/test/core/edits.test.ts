import assert from "node:assert/strict";
import { test } from "node:test";
import { add, increment, remove } from "../../src/core/values.js";
import { body, deviceWith, rejected, removal, result, upsert } from "./device.js";

test("1.9 an edit keeps the version and the values that its user saw", async () => {
  const device = await deviceWith(upsert("a", 3, { title: "old", spent: 4 }));
  await device.update("a", { title: "new", due: "today" });
  const [edit] = await device.queue();
  assert.deepEqual([edit?.bv, edit?.base, edit?.set], [3, { title: "old", due: null }, { title: "new", due: "today" }]);
});

test("1.9 an intention becomes a value on what is in view", async () => {
  const device = await deviceWith(upsert("a", 1, { spent: 4, labels: ["x", "y"] }));
  await device.update("a", { spent: increment(2), labels: remove("x") });
  await device.update("a", (seen) => ({ title: `${seen.spent as number} spent`, labels: add("z", "y") }));
  assert.deepEqual(await device.view("a"), body("a", 1, { spent: 6, labels: ["y", "z"], title: "6 spent" }));
});

test("1.8 the view adds what an edit adds to a counter, and what it changes in a set", async () => {
  const device = await deviceWith(upsert("a", 1, { spent: 4, labels: ["x"] }));
  await device.update("a", { spent: 6, labels: ["y"] });
  await device.page({ changes: [upsert("a", 2, { spent: 10, labels: ["x", "z"] })] });
  const seen = await device.view("a");
  assert.deepEqual([seen?.spent, seen?.labels], [12, ["z", "y"]]);
});

test("1.8 a counter that was sent shows what its user saw, whatever pages hold of it", async () => {
  const device = await deviceWith(upsert("a", 1, { spent: 4, labels: ["x"] }));
  await device.update("a", { spent: increment(1), labels: add("y") });
  await device.send();
  await device.update("a", { spent: increment(10) });
  assert.equal((await device.view("a"))?.spent, 15);
  await device.page({ changes: [upsert("a", 2, { spent: 5, labels: ["x", "y"] })] });
  assert.deepEqual(await device.view("a"), body("a", 2, { spent: 15, labels: ["x", "y"] }));
});

test("a counter beyond what a number holds is exact", async () => {
  const device = await deviceWith(upsert("a", 1, { total: "9007199254740993" }));
  await device.update("a", { total: increment("2") });
  assert.equal((await device.view("a"))?.total, "9007199254740995");
});

test("a create shows the defaults of its type", async () => {
  const device = await deviceWith();
  await device.create("a", { title: "t" });
  assert.deepEqual(await device.view("a"), { id: "a", title: "t", spent: 0, labels: [] });
});

test("1.9 the view refuses to create what is there, and to edit what is not", async () => {
  const device = await deviceWith(upsert("a", 1));
  await assert.rejects(device.create("a"), { code: "EXISTS" });
  await assert.rejects(device.update("b", { title: "t" }), { code: "GONE" });
  await device.delete("a");
  await assert.rejects(device.delete("a"), { code: "GONE" });
});

test("a transaction is queued whole or not at all", async () => {
  const device = await deviceWith(upsert("a", 1));
  const gone = device.transaction(
    { op: "update", type: "Task", id: "a", changes: { title: "t" } },
    { op: "delete", type: "Task", id: "b" },
  );
  await assert.rejects(gone, { code: "GONE" });
  assert.deepEqual(await device.queue(), []);
});

test("a transaction that no push carries is refused", async () => {
  const device = await deviceWith();
  const intents = Array.from({ length: 501 }, (_, at) => {
    return { op: "create", type: "Task", id: `${at}`, document: {} } as const;
  });
  await assert.rejects(device.transaction(...intents), { code: "TOO_LARGE" });
});

test("1.10 an edit joins the last one of its document", async () => {
  const device = await deviceWith(upsert("a", 1, { spent: 1 }));
  await device.update("a", { spent: increment(1), title: "t" });
  await device.update("a", { spent: increment(1), done: true });
  const queue = await device.queue();
  assert.equal(queue.length, 1);
  assert.deepEqual(queue[0]?.set, { spent: 3, title: "t", done: true });
  assert.deepEqual(queue[0].base, { spent: 1, title: null, done: null });
});

test("1.10 an edit does not join one whose fields show otherwise since", async () => {
  const device = await deviceWith(upsert("a", 1, { spent: 0 }));
  await device.update("a", { spent: increment(1) });
  await device.send();
  await device.update("a", { spent: increment(1) });
  await device.answer(rejected("FORBIDDEN"));
  assert.equal((await device.view("a"))?.spent, 1);
  await device.update("a", { spent: increment(1) });
  assert.equal((await device.view("a"))?.spent, 2);
  assert.deepEqual(
    (await device.queue()).map((it) => [it.bv, it.base.spent, it.set.spent]),
    [
      [1, 1, 2],
      [1, 1, 2],
    ],
  );
});

test("1.10 an edit does not join one that is under way, of another policy, or of a transaction", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.update("a", { title: "1" });
  await device.send();
  await device.update("a", { title: "2" });
  await device.edit({ op: "update", type: "Task", id: "a", changes: { title: "3" } }, { policy: "CLIENT_WINS" });
  await device.transaction({ op: "update", type: "Task", id: "a", changes: { title: "4" } });
  await device.update("a", { title: "5" });
  assert.deepEqual(
    (await device.queue()).map((it) => it.set.title),
    ["2", "3", "4", "5"],
  );
});

test("4.5 the base is 0 while the own create has no answer, even if a page shows it", async () => {
  const device = await deviceWith();
  await device.create("a");
  await device.update("a", { title: "1" });
  await device.send();
  await device.page({ changes: [upsert("a", 1)] });
  await device.update("a", { title: "2" });
  assert.deepEqual(
    (await device.flight())?.edits.map((it) => it.bv),
    [0, 0],
  );
  assert.deepEqual(
    (await device.queue()).map((it) => it.bv),
    [0],
  );
});

test("1.15 what is queued on a failed create is dropped and reported", async () => {
  const device = await deviceWith();
  await device.create("a");
  await device.send();
  await device.update("a", { title: "lost" });
  await device.create("b");
  await device.answer(rejected("ID_TAKEN"));
  assert.deepEqual(
    (await device.queue()).map((it) => it.id),
    ["b"],
  );
  assert.deepEqual(
    (await device.outcomes()).map((it) => [it.status, it.cause]),
    [
      ["REJECTED", undefined],
      ["DROPPED", 1],
    ],
  );
});

test("1.15 a dropped edit takes its transaction along, and the creates in there theirs", async () => {
  const device = await deviceWith(upsert("x", 1));
  await device.create("a");
  await device.send();
  await device.transaction(
    { op: "update", type: "Task", id: "a", changes: { title: "lost" } },
    { op: "create", type: "Task", id: "b", document: {} },
    { op: "update", type: "Task", id: "x", changes: { title: "lost" } },
  );
  await device.update("b", { title: "lost" });
  await device.update("x", { title: "kept" });
  await device.answer(rejected("FORBIDDEN"));
  assert.deepEqual(
    (await device.queue()).map((it) => [it.id, it.set.title]),
    [["x", "kept"]],
  );
  assert.deepEqual(
    (await device.outcomes()).map((it) => it.status),
    ["REJECTED", "DROPPED", "DROPPED", "DROPPED", "DROPPED"],
  );
  assert.equal((await device.meta()).queued, 1);
});

test("1.15 another create of the document ends what is dropped", async () => {
  const device = await deviceWith();
  await device.create("a");
  await device.send();
  await device.delete("a");
  await device.create("a", { title: "again" });
  await device.update("a", { done: true });
  await device.answer(result("CONFLICT", null));
  assert.deepEqual(
    (await device.queue()).map((it) => it.op),
    ["create", "update"],
  );
});

test("an edit of a document that a page removes waits in the queue", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.update("a", { title: "t" });
  await device.page({ changes: [removal("DELETE", "a", 2)] });
  assert.equal(await device.view("a"), undefined);
  assert.equal((await device.queue()).length, 1);
});
