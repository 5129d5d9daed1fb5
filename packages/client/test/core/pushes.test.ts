import assert from "node:assert/strict";
import { test } from "node:test";
import { body, Device, deviceWith, rejected, removal, result, upsert } from "./device.js";

test("1.1 nothing is sent before the first page", async () => {
  const device = new Device();
  await device.create("a");
  assert.equal(await device.send(), undefined);
  await device.pull({});
  assert.equal((await device.send())?.epoch, "e1");
});

test("1.5 one push is under way at a time, and a retry is the same push", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.update("a", { title: "1" });
  const first = await device.send();
  await device.page({ changes: [upsert("a", 2)] });
  await device.update("a", { title: "2" });
  assert.deepEqual(await device.send(), first);
  assert.equal(JSON.stringify(first?.changes).includes('"baseVersion":1'), true);
});

test("4.1 ids count up without holes", async () => {
  const device = await deviceWith();
  await device.create("a");
  await device.create("b");
  assert.equal((await device.send())?.to.firstMutationId, 1);
  await device.answer(result("APPLIED", body("a", 1)), result("APPLIED", body("b", 1)));
  await device.create("c");
  assert.equal((await device.send())?.to.firstMutationId, 3);
});

test("1.11 a push is a transaction, or plain edits of one policy", async () => {
  const device = await deviceWith();
  await device.create("a");
  await device.create("b");
  await device.transaction(
    { op: "create", type: "Note", id: "c", document: {} },
    { op: "create", type: "Note", id: "d", document: {} },
  );
  await device.edit({ op: "create", type: "Task", id: "e", document: {} }, { policy: "SERVER_WINS" });
  const pushes = [];
  for (let push = await device.send(); push; push = await device.send()) {
    pushes.push([push.atomic, push.policy, push.edits.map((it) => it.id).join("")]);
    await device.answer(...push.edits.map((it) => result("APPLIED", body(it.id, 1))));
  }
  assert.deepEqual(pushes, [
    [false, undefined, "ab"],
    [true, undefined, "cd"],
    [false, "SERVER_WINS", "e"],
  ]);
});

test("1.11 a push has at most 500 changes and 256 KiB, and at least one", async () => {
  const device = await deviceWith();
  for (let at = 0; at < 501; at++) await device.create(`${at}`);
  assert.equal((await device.send())?.edits.length, 500);
  const large = await deviceWith();
  for (const id of ["a", "b", "c"]) await large.create(id, { title: "x".repeat(200_000) });
  assert.equal((await large.send())?.edits.length, 1);
});

test("an answer to another push is dropped", async () => {
  const device = await deviceWith();
  await device.create("a");
  const sent = await device.send();
  if (!sent) throw new Error("there is a push");
  const results = [result("APPLIED", body("a", 1))];
  await device.do({ is: "answer", to: { ...sent, to: { id: "c1", firstMutationId: 7 } }, results });
  await device.do({ is: "answer", to: { ...sent, to: { id: "other", firstMutationId: 1 } }, results });
  assert.equal((await device.flight())?.edits.length, 1);
});

test("1.6 an outcome at or below a remembered DELETE is ignored", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.update("a", { title: "mine" });
  await device.send();
  await device.page({ changes: [removal("DELETE", "a", 3)] });
  await device.answer(result("APPLIED", body("a", 2)));
  assert.equal(await device.version("a"), undefined);
});

test("1.6 an outcome below a remembered REVOKE of its scope is ignored, in another scope it is not", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1));
  await device.update("a", { title: "mine" });
  await device.update("b", { title: "mine" });
  await device.send();
  await device.page({ changes: [removal("REVOKE", "a", 3), removal("REVOKE", "b", 3)] });
  await device.answer(result("APPLIED", body("a", 2)), result("APPLIED", body("b", 2, {}, "to")));
  assert.deepEqual([await device.version("a"), await device.version("b")], [undefined, 2]);
});

test("1.6 an outcome in a revoked scope is ignored", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.update("a", { title: "mine" });
  await device.send();
  await device.page({ revokedScopes: ["s"] });
  await device.answer(result("APPLIED", body("a", 2)));
  assert.equal(await device.version("a"), undefined);
});

test("1.7 an older outcome changes nothing, and an applied delete removes only what is lower", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1), upsert("c", 1));
  await device.update("a", { title: "mine" });
  await device.delete("b");
  await device.delete("c");
  await device.send();
  await device.page({ changes: [upsert("a", 3), upsert("b", 3)] });
  await device.answer(result("APPLIED", body("a", 2)), result("APPLIED", null, 2), result("APPLIED", null, 2));
  assert.deepEqual(
    [await device.version("a"), await device.version("b"), await device.version("c")],
    [3, 3, undefined],
  );
});

test("1.7 outcomes of a push that a reset crossed only settle the queue; its edits stay in view until a pull ends", async () => {
  const device = await deviceWith(upsert("a", 1, { title: "old" }));
  await device.update("a", { title: "mine" });
  await device.create("b");
  await device.send();
  await device.pull({ reset: true, changes: [upsert("a", 1, { title: "old" })] });
  const effects = await device.answer(result("APPLIED", body("a", 2)), result("APPLIED", body("b", 1)));
  assert.deepEqual(effects, [{ do: "reread" }]);
  assert.deepEqual([await device.version("a"), await device.version("b")], [1, undefined]);
  assert.equal((await device.view("a"))?.title, "mine");
  await device.update("b", { title: "t" });
  assert.equal((await device.queue())[0]?.bv, 0, "a create that lingers counts as unanswered");
  await device.pull({ changes: [upsert("a", 2, { title: "joined" }), upsert("b", 1)] });
  assert.equal((await device.view("a"))?.title, "joined");
});

test("1.16 an outcome that is not simply applied is kept for the user", async () => {
  const device = await deviceWith(upsert("a", 1, { title: "old" }));
  await device.update("a", { title: "mine" });
  await device.send();
  const fields = [
    { field: "title", base: "old", mine: "mine", theirs: "new", result: "new", taken: "THEIRS", rule: "LATEST" },
  ];
  await device.answer({ ...result("MERGED", body("a", 3, { title: "new" })), conflict: { conflictId: null, fields } });
  const [outcome] = await device.outcomes();
  assert.deepEqual([outcome?.status, outcome?.fields, outcome?.theirs?.title], ["MERGED", fields, "new"]);
  assert.equal(await device.version("a"), 3);
});

test("1.16 of merged outcomes the last 200 are kept, of others all", async () => {
  const device = await deviceWith();
  for (let at = 0; at < 210; at++) await device.create(`${at}`);
  await device.send();
  await device.answer(
    ...Array.from({ length: 210 }, (_, at) => (at < 5 ? rejected("FORBIDDEN") : result("MERGED", null))),
  );
  const outcomes = await device.outcomes();
  assert.deepEqual([outcomes.length, outcomes.filter((it) => it.status === "REJECTED").length], [205, 5]);
});
