import assert from "node:assert/strict";
import { test } from "node:test";
import { add, increment } from "../../src/core/values.js";
import type { FieldConflict, Value } from "../../src/protocol.js";
import { body, deviceWith, rejected, result, upsert } from "./device.js";

test("a retry is a new edit on today's document", async () => {
  const device = await deviceWith(upsert("a", 1, { spent: 1, title: "old" }));
  await device.update("a", { spent: 3, title: "mine" });
  await device.send();
  await device.answer(result("CONFLICT", body("a", 2, { spent: 10, title: "theirs" })));
  await device.retry(1);
  const [edit] = await device.queue();
  assert.deepEqual(
    [edit?.bv, edit?.set, edit?.base],
    [2, { spent: 12, title: "mine" }, { spent: 10, title: "theirs" }],
  );
  assert.deepEqual(await device.outcomes(), []);
});

test("a retry of a taken id takes another, with what was dropped", async () => {
  const device = await deviceWith();
  await device.create("a", { title: "t" });
  await device.send();
  await device.update("a", { title: "u" });
  await device.answer(rejected("ID_TAKEN"));
  await device.retry(1);
  assert.deepEqual(
    (await device.queue()).map((it) => [it.id, it.op, it.bv]),
    [
      ["new", "create", 0],
      ["new", "update", 0],
    ],
  );
  assert.equal((await device.view("new"))?.title, "u");
});

test("a retry that the view refuses keeps the outcome", async () => {
  const device = await deviceWith();
  await device.create("a");
  await device.send();
  await device.answer(result("CONFLICT", body("a", 4)));
  await assert.rejects(device.retry(1), { code: "EXISTS" });
  assert.equal((await device.outcomes()).length, 1);
  await device.do({ is: "discard", n: 1 });
  assert.deepEqual(await device.outcomes(), []);
});

test("a retry of a merged edit leaves out what is in force", async () => {
  const device = await deviceWith(upsert("a", 1, { spent: 0, total: 0, title: "old", note: "old" }));
  await device.update("a", { spent: increment(5), total: increment(1), title: "mine", note: "mine" });
  await device.send();
  const field = (name: string, taken: string): FieldConflict => {
    return { field: name, base: null, mine: null, theirs: null, result: null, taken, rule: "" };
  };
  const fields = [field("spent", "BOTH"), field("title", "THEIRS"), field("note", "MINE"), field("total", "BOTH")];
  const document = body("a", 3, { spent: 7, total: 1, title: "theirs", note: "mine" });
  await device.answer({ ...result("MERGED", document), conflict: { conflictId: null, fields } });
  await device.retry(1);
  assert.deepEqual(
    (await device.queue()).map((it) => [it.set, it.bv]),
    [[{ title: "mine" }, 3]],
  );
});

test("a retry of a merged edit whose fields are not known adds no difference twice", async () => {
  const device = await deviceWith(upsert("a", 1, { spent: 0, labels: [], title: "old" }));
  await device.update("a", { spent: increment(5), labels: add("x"), title: "mine" });
  await device.send();
  const document = body("a", 3, { spent: 5, labels: ["x"], title: "theirs" });
  await device.answer({ ...result("MERGED", document), conflict: { conflictId: "c", fields: [] } });
  await device.retry(1);
  assert.deepEqual((await device.queue())[0]?.set, { title: "mine" });
});

test("a transaction that failed is made again whole", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1));
  await device.transaction(
    { op: "update", type: "Task", id: "a", changes: { title: "a" } },
    { op: "update", type: "Task", id: "b", changes: { title: "b" } },
  );
  await device.send();
  await device.answer(rejected("FORBIDDEN"), rejected("ATOMIC_ABORTED"));
  await device.retry(2);
  assert.deepEqual(await device.outcomes(), []);
  const flight = await device.send();
  assert.deepEqual([flight?.atomic, flight?.edits.map((it) => it.id)], [true, ["a", "b"]]);
});

test("another edit takes the place of one that failed", async () => {
  const device = await deviceWith(upsert("a", 1, { title: "old" }));
  await device.update("a", { title: "too long" });
  await device.send();
  await device.answer(rejected("CONSTRAINT"));
  await device.retry(1, { title: "short" });
  assert.deepEqual([(await device.queue())[0]?.set, await device.outcomes()], [{ title: "short" }, []]);
});

test("a create that failed is made with other values, and what was dropped with it follows", async () => {
  const device = await deviceWith();
  await device.create("a", { title: "too long", spent: 1 });
  await device.send();
  await device.update("a", { spent: increment(2) });
  await device.answer(rejected("CONSTRAINT"));
  await device.retry(1, { title: "short" });
  assert.deepEqual(
    (await device.queue()).map((it) => [it.op, it.set]),
    [
      ["create", { title: "short", spent: 1 }],
      ["update", { spent: 3 }],
    ],
  );
});

test("an edit with a value that JSON does not carry is refused, and with an intention that the field does not have", async () => {
  const device = await deviceWith(upsert("a", 1));
  const wrong: readonly unknown[] = [
    NaN,
    Infinity,
    new Date(0),
    "\ud83d",
    { a: [undefined] },
    1n,
    increment(1),
    add(1),
  ];
  for (const title of wrong) {
    await assert.rejects(device.update("a", { title: title as Value }), { code: "INVALID_VALUE" });
    await assert.rejects(device.create("b", { title: title as Value }), { code: "INVALID_VALUE" });
  }
  await device.update("a", { title: { a: ["\u{1F600}", null, true] }, other: undefined as unknown as Value });
  assert.deepEqual((await device.queue())[0]?.set, { title: { a: ["\u{1F600}", null, true] } });
});

test("a reset reads everything again and keeps what waits", async () => {
  const device = await deviceWith(upsert("a", 5, { title: "wrong" }), upsert("b", 1));
  await device.update("a", { spent: increment(1) });
  await device.do({ is: "reset" });
  assert.equal((await device.view("a"))?.title, "wrong");
  await device.create("c");
  await device.pull({ changes: [upsert("a", 4, { title: "right", spent: 1 })], reset: true });
  assert.deepEqual([(await device.view("a"))?.title, (await device.view("a"))?.spent], ["right", 2]);
  assert.equal(await device.view("b"), undefined);
  assert.deepEqual(
    (await device.queue()).map((it) => it.bv),
    [5, 0],
  );
});

test("what is sealed takes no edits, and opens for its user alone", async () => {
  const device = await deviceWith(upsert("a", 5));
  await device.do({ is: "user", id: "alice" });
  await device.create("mine");
  await device.do({ is: "seal", unsent: "keep" });
  assert.equal(await device.stored(), 0);
  await assert.rejects(device.create("other"), { code: "SEALED" });
  const [halt] = await device.do({ is: "user", id: "bob" });
  assert.deepEqual([halt?.do, (await device.meta()).sealed], ["halt", true]);
  await device.do({ is: "user", id: "alice" });
  assert.equal((await device.meta()).sealed, false);
  assert.deepEqual(
    (await device.queue()).map((it) => it.id),
    ["mine"],
  );
});

test("it knows when it last stood at the end of what there is", async () => {
  const device = await deviceWith();
  await device.pull({ serverTime: "2026-03-01T12:00:00Z", hasMore: true });
  assert.equal((await device.meta()).syncedAt, null);
  await device.page({ serverTime: "2026-03-01T12:00:01Z" });
  assert.equal((await device.meta()).syncedAt, "2026-03-01T12:00:01Z");
});
