import assert from "node:assert/strict";
import { test } from "node:test";
import type { Effect } from "../../src/core/draft.js";
import { increment } from "../../src/core/values.js";
import { body, deviceWith, result, upsert } from "./device.js";

/** The clients that it asks about, if it does nothing else. */
function asksOf(effects: readonly Effect[]): readonly (string | undefined)[] {
  return effects.map((effect) => (effect.do === "ask" ? effect.client : undefined));
}

test("4.4 after EPOCH_CHANGED everything goes under a new client id, on no known version", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.update("a", { title: "1" });
  await device.create("b");
  await device.update("b", { title: "2" });
  const before = await device.send();
  assert.deepEqual(await device.refused("EPOCH_CHANGED"), [{ do: "reread" }]);
  assert.equal(await device.send(), undefined, "a pull comes first");
  await device.pull({ reset: true, epoch: "e2", changes: [upsert("a", 1)] });
  const after = await device.send();
  assert.notEqual(after?.to.id, before?.to.id);
  assert.deepEqual([after?.to.firstMutationId, after?.epoch], [1, "e2"]);
  assert.deepEqual(
    after?.edits.map((it) => it.bv),
    [-1, 0, 0],
  );
});

test("4.4 what is queued on a create in flight keeps its 0 until that create is settled", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.create("b");
  await device.send();
  await device.update("b", { title: "1" });
  await device.update("a", { title: "2" });
  await device.pull({ reset: true, epoch: "e2", changes: [upsert("a", 1)] });
  assert.deepEqual(
    (await device.queue()).map((it) => it.bv),
    [0, -1],
  );
  await device.answer(result("APPLIED", body("b", 1)));
  assert.deepEqual(
    (await device.queue()).map((it) => it.bv),
    [-1, -1],
  );
});

test("4.4 EPOCH_CHANGED after a page with the new epoch needs no further page", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.update("a", { title: "1" });
  await device.send();
  await device.pull({ reset: true, epoch: "e2", changes: [upsert("a", 1)] });
  assert.deepEqual(await device.refused("EPOCH_CHANGED"), []);
  assert.equal((await device.send())?.epoch, "e2");
});

test("a late refusal of another push is dropped", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.update("a", { title: "1" });
  const push = await device.send();
  const refusal = { code: "EPOCH_CHANGED", message: "", extensions: {} };
  if (!push) throw new Error("there is a push");
  await device.do({ is: "refused", to: { ...push, to: { id: "c1", firstMutationId: 9 } }, refusal, newId: "x" });
  assert.deepEqual(await device.flight(), push);
});

test("1.17 what may succeed later is repeated, after the pause that the gateway asks for", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.update("a", { title: "1" });
  const push = await device.send();
  assert.deepEqual(await device.refused("RATE_LIMITED", { retryAfter: 3 }), [{ do: "again", after: 3 }]);
  assert.deepEqual(await device.refused("DEADLINE_EXCEEDED"), [{ do: "again", after: 0 }]);
  assert.deepEqual(await device.refused("UNAUTHENTICATED"), [{ do: "token" }]);
  assert.deepEqual(await device.send(), push);
});

test("1.17 an unknown code halts and keeps the queue", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.update("a", { title: "1" });
  const push = await device.send();
  assert.equal((await device.refused("SOMETHING_NEW"))[0]?.do, "halt");
  assert.equal((await device.refused("CLIENT_TOO_OLD"))[0]?.do, "halt", "the operation itself does not fit");
  assert.deepEqual(await device.flight(), push);
});

test("1.12 a push that is too large goes in parts, in order, from the same id", async () => {
  const device = await deviceWith();
  for (const id of "abcdef") await device.create(id);
  await device.send();
  assert.deepEqual(asksOf(await device.refused("PUSH_TOO_LARGE", { max: 2 })), ["c1"]);
  await device.asked(0);
  const part = await device.send();
  assert.deepEqual([part?.to.firstMutationId, part?.edits.map((it) => it.id)], [1, ["a", "b"]]);
  await device.answer(result("APPLIED", body("a", 1)), result("APPLIED", body("b", 1)));
  const rest = await device.send();
  assert.deepEqual([rest?.to.firstMutationId, rest?.edits.map((it) => it.id)], [3, ["c", "d", "e", "f"]]);
});

test("1.12 a part that is still too large goes in smaller ones, and nothing is folded into what was sent", async () => {
  const device = await deviceWith(...["a", "b", "c", "d"].map((id) => upsert(id, 1)));
  for (const id of "abcd") await device.update(id, { title: id });
  await device.send();
  await device.refused("PAYLOAD_TOO_LARGE");
  await device.asked(0);
  await device.refused("PAYLOAD_TOO_LARGE");
  await device.asked(0);
  await device.update("d", { title: "later" });
  assert.deepEqual(
    (await device.queue()).map((it) => it.set.title),
    ["b", "c", "d", "later"],
  );
  assert.deepEqual((await device.flight())?.changes.length, 1);
  await device.answer(result("APPLIED", body("a", 2)));
  assert.equal(
    (await device.queue()).some((it) => it.sent),
    false,
    "1.11 an answer ends the earlier copies",
  );
});

test("1.12 a late answer to a push that was refused says nothing of the next one, which has its ids", async () => {
  const device = await deviceWith();
  await device.create("a");
  const refused = await device.send();
  if (!refused) throw new Error("there is a push");
  await device.refused("BAD_USER_INPUT");
  await device.asked(0);
  await device.create("b");
  const next = await device.send();
  assert.deepEqual(next?.to, refused.to);
  await device.do({ is: "answer", to: refused, results: [result("APPLIED", body("a", 1))] });
  assert.deepEqual(await device.flight(), next);
});

test("1.13 what was asked before a refusal says nothing about it", async () => {
  const device = await deviceWith();
  await device.create("a");
  await device.send();
  await device.refused("PAYLOAD_TOO_LARGE");
  const before = (await device.flight())?.asks?.number ?? -1;
  await device.refused("MUTATION_ID_REUSED");
  await device.do({ is: "asked", question: before, last: 0, newId: "x" });
  assert.equal((await device.queue()).length, 0, "it would be sent once more");
  await device.asked(1);
  assert.deepEqual(
    (await device.outcomes()).map((it) => it.status),
    ["UNKNOWN"],
  );
});

test("1.8 counters of what was sent show without an edit before them that was refused", async () => {
  const device = await deviceWith(upsert("a", 1, { spent: 0 }));
  for (let nth = 0; nth < 3; nth++) {
    await device.edit({ op: "update", type: "Task", id: "a", changes: { spent: increment(1) } }, { folds: false });
  }
  await device.send();
  assert.equal((await device.view("a"))?.spent, 3);
  await device.refused("PUSH_TOO_LARGE", { max: 1 });
  await device.asked(0);
  await device.refused("PUSH_TOO_LARGE", { max: 1 });
  await device.asked(0);
  assert.deepEqual(
    (await device.outcomes()).map((it) => it.status),
    ["REFUSED"],
  );
  assert.equal((await device.view("a"))?.spent, 2);
  await device.page({ changes: [upsert("a", 3, { spent: 2 })] });
  assert.equal((await device.view("a"))?.spent, 2);
});

test("1.12 until the gateway has said what it consumed, nothing is sent", async () => {
  const device = await deviceWith();
  for (const id of "ab") await device.create(id);
  await device.send();
  await device.refused("PUSH_TOO_LARGE");
  assert.deepEqual(asksOf(await device.do({ is: "send" })), ["c1"]);
});

test("1.13 an earlier copy was applied: its outcomes are unknown, and it stays in view", async () => {
  const device = await deviceWith(upsert("a", 1, { spent: 1 }));
  await device.update("a", { spent: 2 });
  await device.create("b");
  await device.send();
  await device.refused("PUSH_TOO_LARGE", { max: 1 });
  assert.deepEqual(await device.asked(2), [{ do: "reread" }]);
  assert.deepEqual(
    (await device.outcomes()).map((it) => it.status),
    ["UNKNOWN", "UNKNOWN"],
  );
  assert.equal((await device.view("a"))?.spent, 2);
  await device.update("b", { title: "t" });
  assert.equal((await device.queue())[0]?.bv, 0, "the create may have failed");
  assert.equal((await device.send())?.to.firstMutationId, 3);
});

test("1.13 an earlier, longer copy was applied while a part was sent", async () => {
  const device = await deviceWith();
  for (const id of "abc") await device.create(id);
  await device.send();
  await device.refused("PUSH_TOO_LARGE", { max: 1 });
  await device.asked(0);
  await device.create("d");
  await device.refused("MUTATION_ID_REUSED");
  await device.asked(3);
  assert.deepEqual(
    (await device.outcomes()).map((it) => [it.edit.id, it.status]),
    [
      ["a", "UNKNOWN"],
      ["b", "UNKNOWN"],
      ["c", "UNKNOWN"],
    ],
  );
  const next = await device.send();
  assert.deepEqual(
    next?.edits.map((it) => it.id),
    ["d"],
  );
  assert.equal(next.to.firstMutationId, 1);
});

test("1.12 the change that does not fit the API is found, and alone refused", async () => {
  const device = await deviceWith();
  for (const id of ["a", "bad", "c"]) await device.create(id);
  await device.update("bad", { title: "queued on it" });
  await device.send();
  const sent: string[] = [];
  for (let push = await device.flight(); push; push = (await device.send()) ?? null) {
    const at = push.edits.findIndex((it) => it.id === "bad");
    if (at < 0) {
      sent.push(...push.edits.map((it) => it.id));
      await device.answer(...push.edits.map((it) => result("APPLIED", body(it.id, 1))));
    } else {
      const path = { inputPath: `$input.changes[${at}].task.create.document` };
      assert.equal((await device.refused("BAD_USER_INPUT", path))[0]?.do, "ask");
      await device.asked(push.to.firstMutationId - 1);
    }
  }
  assert.deepEqual(sent, ["a", "c"]);
  assert.deepEqual(
    (await device.outcomes()).map((it) => it.status),
    ["REFUSED", "DROPPED"],
  );
  assert.equal((await device.meta()).next, 3);
});

test("1.12 a transaction is refused whole", async () => {
  const device = await deviceWith();
  await device.transaction(
    { op: "create", type: "Task", id: "a", document: {} },
    { op: "create", type: "Task", id: "b", document: {} },
  );
  await device.send();
  await device.refused("PAYLOAD_TOO_LARGE");
  await device.asked(0);
  assert.deepEqual(
    (await device.outcomes()).map((it) => it.status),
    ["REFUSED", "REFUSED"],
  );
  assert.deepEqual([await device.send(), (await device.meta()).next], [undefined, 1]);
});

test("1.12 under an older client id a push is not divided: it goes under the new one", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1));
  for (const id of "ab") await device.update(id, { title: id });
  await device.send();
  await device.pull({ reset: true, epoch: "e2", changes: [upsert("a", 1), upsert("b", 1)] });
  await device.refused("PUSH_TOO_LARGE");
  await device.asked(0);
  const push = await device.send();
  assert.deepEqual([push?.edits.length, push?.to.firstMutationId, push?.epoch], [2, 1, "e2"]);
  assert.notEqual(push?.to.id, "c1");
});

test("1.13 ids that another push used: what is not consumed goes under a new client id", async () => {
  const device = await deviceWith();
  for (const id of ["a", "b"]) await device.create(id);
  const before = await device.send();
  assert.deepEqual(asksOf(await device.refused("MUTATION_ID_REUSED")), ["c1"]);
  await device.asked(1);
  assert.deepEqual(
    (await device.outcomes()).map((it) => [it.edit.id, it.status]),
    [["a", "UNKNOWN"]],
  );
  await device.update("a", { title: "the create may have failed" });
  assert.deepEqual(
    (await device.queue()).map((it) => it.bv),
    [0, 0],
  );
  const after = await device.send();
  assert.notEqual(after?.to.id, before?.to.id);
  assert.deepEqual([after?.to.firstMutationId, after?.edits.map((it) => it.id)], [1, ["b", "a"]]);
});

test("1.14 a 0 stays behind an unknown create under every later client id", async () => {
  const device = await deviceWith();
  for (const id of ["a", "b"]) await device.create(id);
  await device.update("a", { title: "the create may have failed" });
  await device.send();
  await device.refused("MUTATION_ID_REUSED");
  await device.asked(1);
  await device.pull();
  await device.pull({ reset: true, epoch: "e2" });
  const waits = async (): Promise<unknown> => (await device.queue()).map((it) => [it.id, it.op, it.bv]);
  assert.deepEqual(await waits(), [
    ["b", "create", 0],
    ["a", "update", 0],
  ]);
});

test("1.14 a known version of a document whose create is unknown is none in another epoch", async () => {
  const device = await deviceWith();
  await device.create("a");
  await device.send();
  await device.refused("MUTATION_ID_REUSED");
  await device.asked(1);
  await device.pull({ changes: [upsert("a", 7)] });
  await device.update("a", { title: "1" });
  await device.pull({ reset: true, epoch: "e2", changes: [upsert("a", 2)] });
  assert.deepEqual(
    (await device.queue()).map((it) => it.bv),
    [-1],
  );
});

test("1.13 a transaction goes back whole when another push has some of its ids", async () => {
  const device = await deviceWith();
  await device.create("a");
  await device.transaction(
    { op: "create", type: "Task", id: "b", document: {} },
    { op: "create", type: "Task", id: "c", document: {} },
  );
  await device.send();
  await device.refused("PAYLOAD_TOO_LARGE");
  await device.asked(0);
  await device.send();
  await device.refused("MUTATION_ID_REUSED");
  await device.asked(1);
  assert.deepEqual(
    (await device.outcomes()).map((it) => it.status),
    ["REFUSED"],
  );
  const next = await device.send();
  assert.deepEqual([next?.atomic, next?.edits.map((it) => it.id)], [true, ["b", "c"]]);
});
