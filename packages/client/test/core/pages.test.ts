import assert from "node:assert/strict";
import { test } from "node:test";
import { body, deviceWith, removal, result, upsert } from "./device.js";

test("1.1 a page that does not continue from the checkpoint is dropped", async () => {
  const device = await deviceWith(upsert("a", 2));
  const { checkpoint } = await device.meta();
  await device.page({ changes: [removal("DELETE", "a", 3)], checkpoint: "later" });
  await device.page({ changes: [upsert("a", 2)], checkpoint: "stale" }, null, checkpoint);
  assert.equal(await device.version("a"), undefined);
  assert.equal((await device.meta()).checkpoint, "later");
});

test("1.2 an older version changes nothing", async () => {
  const device = await deviceWith(upsert("a", 3, { title: "new" }));
  await device.page({ changes: [upsert("a", 2, { title: "old" }), removal("DELETE", "a", 3)] });
  assert.equal((await device.view("a"))?.title, "new");
});

test("1.2 an UPSERT of the version that is held brings what is selected now", async () => {
  const device = await deviceWith(upsert("a", 3, { title: "t" }));
  await device.page({ changes: [upsert("a", 3, { title: "t", done: true })] });
  assert.equal((await device.view("a"))?.done, true);
});

test("1.2 an UPSERT below the version that is held marks it seen", async () => {
  const device = await deviceWith(upsert("a", 3, { title: "t" }));
  await device.pull({ reset: true, changes: [upsert("a", 2, { title: "old" })] });
  assert.equal((await device.view("a"))?.title, "t");
});

test("1.3 a REVOKE removes only the copy of its scope", async () => {
  const device = await deviceWith(upsert("a", 1, {}, "from"), upsert("b", 1, {}, "from"));
  await device.page({
    changes: [upsert("a", 2, {}, "to"), removal("REVOKE", "a", 3, "from"), removal("REVOKE", "b", 2, "from")],
  });
  assert.equal(await device.version("a"), 2);
  assert.equal(await device.version("b"), undefined);
});

test("1.4 a revoked scope goes, and what the same page brings of it stays", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1), upsert("c", 1, {}, "other"));
  await device.page({ revokedScopes: ["s"], changes: [upsert("b", 1)] });
  assert.deepEqual(
    [await device.version("a"), await device.version("b"), await device.version("c")],
    [undefined, 1, 1],
  );
});

test("1.4 what a reset leaves unseen goes at its end", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1));
  await device.pull({ reset: true, changes: [upsert("a", 1)], hasMore: true });
  assert.equal(await device.version("b"), 1);
  await device.page({}, device.round);
  assert.deepEqual([await device.version("a"), await device.version("b")], [1, undefined]);
});

test("1.4 in another epoch documents have no version", async () => {
  const device = await deviceWith(upsert("a", 5, { title: "new" }));
  await device.pull({ reset: true, epoch: "e2", changes: [upsert("a", 2, { title: "restored" })] });
  assert.equal(await device.version("a"), 2);
  assert.equal((await device.view("a"))?.title, "restored");
});

test("1.4 an edit of a document of another epoch has the base -1", async () => {
  const device = await deviceWith(upsert("a", 5));
  await device.pull({ reset: true, epoch: "e2", hasMore: true });
  await device.update("a", { title: "mine" });
  assert.equal((await device.queue())[0]?.bv, -1);
});

test("a dead document does not come back with a later reset, and a sweep deletes it", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1));
  await device.page({ revokedScopes: ["s"] });
  assert.equal(await device.stored(), 2);
  await device.pull({ reset: true });
  assert.equal(await device.version("a"), undefined);
  await device.sweep();
  assert.equal(await device.stored(), 0);
  assert.deepEqual((await device.meta()).gone, {});
});

test("a sweep keeps what a scope has again", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1));
  await device.page({ revokedScopes: ["s"] });
  await device.page({ changes: [upsert("a", 1)] });
  await device.sweep();
  assert.deepEqual([await device.version("a"), await device.stored()], [1, 1]);
});

test("a scope may be named like what every object inherits", async () => {
  const device = await deviceWith(upsert("a", 1, {}, "constructor"), upsert("b", 1, {}, "__proto__"));
  assert.deepEqual([await device.version("a"), await device.version("b")], [1, 1]);
  await device.page({ revokedScopes: ["__proto__"] });
  assert.deepEqual([await device.version("a"), await device.version("b")], [1, undefined]);
});

test("1.7 what only an answer brought goes when a later pull does not show it", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.update("a", { title: "mine" });
  await device.send();
  await device.answer(result("APPLIED", body("a", 2)));
  await device.page({});
  assert.equal(await device.version("a"), 2, "a live page proves nothing");
  await device.pull({});
  assert.equal(await device.version("a"), undefined);
});

test("1.7 a pull that began before the answer proves nothing", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.update("a", { title: "mine" });
  await device.send();
  await device.pull({ hasMore: true });
  await device.answer(result("APPLIED", body("a", 2)));
  await device.page({}, device.round);
  assert.equal(await device.version("a"), 2);
});

test("1.7 a page with its version confirms a document", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.update("a", { title: "mine" });
  await device.send();
  await device.answer(result("APPLIED", body("a", 2)));
  await device.page({ changes: [upsert("a", 2)] });
  await device.pull({});
  assert.equal(await device.version("a"), 2);
});

test("2.5 documents of a type go with the first page that was asked for without it", async () => {
  const device = await deviceWith(upsert("a", 1));
  const { checkpoint } = await device.meta();
  const page = { changes: [], checkpoint: "next", hasMore: false, reset: false, revokedScopes: [], epoch: "e1" };
  await device.do({ is: "page", page, from: checkpoint, types: ["Note"], refresh: [], round: null, newId: "x" });
  assert.deepEqual([await device.version("a"), await device.stored()], [undefined, 0]);
});

test("2.5b a refresh is asked for until a page answers it", async () => {
  const device = await deviceWith();
  await device.do({ is: "refresh", types: ["Task"] });
  // The first page gets lost.
  for (let pull = 1; pull <= 2; pull += 1) {
    const [begun] = await device.do({ is: "begin" });
    assert.deepEqual(begun?.do === "pull" && begun.refresh, ["Task"]);
  }
  const { checkpoint } = await device.meta();
  const page = { changes: [], checkpoint: "next", hasMore: true, reset: false, revokedScopes: [], epoch: "e1" };
  await device.do({ is: "page", page, from: checkpoint, types: ["Task"], refresh: ["Task"], round: 3, newId: "x" });
  assert.deepEqual((await device.meta()).refresh, []);
});

test("a refused checkpoint is dropped", async () => {
  const device = await deviceWith(upsert("a", 1));
  const effects = await device.do({ is: "unread", refusal: { code: "BAD_CHECKPOINT", message: "", extensions: {} } });
  assert.deepEqual(effects, [{ do: "reread" }]);
  assert.equal((await device.meta()).checkpoint, null);
});

test("another user's token halts", async () => {
  const device = await deviceWith();
  assert.deepEqual(await device.do({ is: "user", id: "alice" }), []);
  assert.equal((await device.do({ is: "user", id: "bob" }))[0]?.do, "halt");
});
