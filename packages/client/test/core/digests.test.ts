import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { keyOf } from "../../src/core/records.js";
import { sha256 } from "../../src/core/sha256.js";
import type { Change, Page } from "../../src/protocol.js";
import { body, Device, deviceWith, removal, result, upsert } from "./device.js";

const NOTHING = "0".repeat(32);

test("SHA-256 is that of the platform, for texts of all lengths", () => {
  for (let length = 0; length < 300; length++) {
    const text = Array.from("a\u0000\u00e9\u{1F600}".repeat(length)).slice(0, length).join("");
    const words = [...sha256(text)].map((word) => (word >>> 0).toString(16).padStart(8, "0"));
    assert.equal(words.join(""), createHash("sha256").update(text).digest("hex"), `${length}`);
  }
});

/** What a gateway says of a scope, written once more after rule 2.10. */
function digestOf(types: Readonly<Record<string, Readonly<Record<string, number>>>>): string {
  const hash = (text: string): Buffer => createHash("sha256").update(text).digest().subarray(0, 16);
  const join = (hashes: readonly Buffer[]): Buffer =>
    hashes.reduce((joined, it) => Buffer.from(joined.map((byte, at) => byte ^ (it[at] ?? 0))), Buffer.alloc(16));
  const sums = Object.entries(types).flatMap(([type, documents]) => {
    const all = Object.entries(documents).map(([id, version]) => hash(`${id}\u0000${version}`));
    return all.length > 0 ? [hash(`${type}\u0000${all.length}\u0000${join(all).toString("hex")}`)] : [];
  });
  return join(sums).toString("hex");
}

function note(id: string, version: number): Change {
  return { ...upsert(id, version), type: "Note" };
}

function says(scopes: Readonly<Record<string, string>>): Partial<Page> {
  return { digests: Object.entries(scopes).map(([scope, digest]) => ({ scope, digest })) };
}

/** Pulls a last page that says these digests. Returns the scopes that then count as different. */
async function compared(device: Device, scopes: Record<string, string>, page: Partial<Page> = {}): Promise<unknown> {
  await device.pull({ ...page, ...says(scopes) });
  return Object.keys((await device.meta()).differing ?? { "never compared": true });
}

test("2.10 a digest is computed as the rules say", async () => {
  const device = await deviceWith(upsert("b", 3), upsert("a", 1));
  assert.deepEqual(await compared(device, { s: "9fb20f6b9b5b84e08c293dbe506745e0" }), []);
  assert.deepEqual(await compared(device, { s: "6b88565cd8c77467862ed4dc3d2fe7fb" }, { changes: [note("n", 2)] }), []);
  assert.deepEqual(await compared(device, { s: "6b88565cd8c77467862ed4dc3d2fe7fb", other: NOTHING }), []);
});

test("2.10 what changes, moves and goes is counted where it is", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1), upsert("c", 1, {}, "t"));
  const s = (tasks: Record<string, number>): string => digestOf({ Task: tasks });
  const page = { changes: [upsert("a", 2), upsert("b", 2, {}, "t"), removal("DELETE", "c", 2, "t")] };
  assert.deepEqual(await compared(device, { s: s({ a: 2 }), t: s({ b: 2 }) }, page), []);
  const gone = { changes: [removal("REVOKE", "a", 3), upsert("b", 1, {}, "s")] };
  assert.deepEqual(await compared(device, { s: NOTHING, t: s({ b: 2 }) }, gone), []);
  assert.deepEqual(await compared(device, { s: NOTHING }, { revokedScopes: ["t"] }), []);
  const again = { revokedScopes: ["s"], changes: [upsert("z", 1)] };
  assert.deepEqual(await compared(device, { s: s({ z: 1 }), t: NOTHING }, again), []);
});

test("2.10 a reset counts what it shows, and nothing that it leaves unseen", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1));
  await device.pull({ reset: true, changes: [upsert("a", 1)], hasMore: true });
  const digest = digestOf({ Task: { a: 1, c: 4 } });
  assert.deepEqual(await compared(device, { s: digest }, { changes: [upsert("c", 4)] }), []);
  await device.do({ is: "reset" });
  assert.deepEqual(
    await compared(device, { s: digestOf({ Task: { c: 5 } }) }, { reset: true, changes: [upsert("c", 5)] }),
    [],
  );
});

test("2.10 the digest is that of the types that were asked for", async () => {
  const device = await deviceWith(upsert("a", 1), note("n", 1));
  device.types = ["Task"];
  assert.deepEqual(await compared(device, { s: digestOf({ Task: { a: 1 } }) }), []);
});

test("1.18 a scope that differs is reported, and asked for once", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1, {}, "t"));
  const theirs = { s: digestOf({ Task: { a: 1, lost: 1 } }), t: digestOf({ Task: { b: 1 } }) };
  const effects = await device.pull(says(theirs));
  assert.deepEqual([effects, (await device.meta()).differing], [[{ do: "reread" }], { s: true }]);
  const [begun] = await device.do({ is: "begin" });
  assert.deepEqual(begun?.do === "pull" && begun.reread, ["s"]);
  // The answer to the question says the same again.
  const still = await device.pull({ revokedScopes: ["s"], changes: [upsert("a", 1)], ...says(theirs) });
  assert.deepEqual([device.reread, still, (await device.meta()).differing], [["s"], [], { s: false }]);
  for (let turn = 0; turn < 3; turn++) assert.deepEqual([await device.pull(says(theirs)), device.reread], [[], []]);
});

test("1.18 what was lost is there after the scope was read again", async () => {
  const device = await deviceWith(upsert("a", 1));
  const theirs = { s: digestOf({ Task: { a: 1, lost: 1 } }) };
  assert.deepEqual(await compared(device, theirs), ["s"]);
  const again = { revokedScopes: ["s"], changes: [upsert("a", 1), upsert("lost", 1)] };
  assert.deepEqual(await compared(device, theirs, again), []);
  assert.deepEqual([await device.version("a"), await device.version("lost")], [1, 1]);
});

test("1.18 a request for a scope is kept until a page answers it", async () => {
  const device = await deviceWith(upsert("a", 1));
  const theirs = { s: digestOf({ Task: { lost: 1 } }) };
  await device.pull(says(theirs));
  await device.do({ is: "begin" });
  await device.pull({ hasMore: true });
  assert.deepEqual(device.reread, ["s"], "the first answer was lost");
  await device.pull({ hasMore: true });
  assert.deepEqual(device.reread, []);
});

test("1.18 a scope is asked for again only after it was equal once, or after a reset", async () => {
  const device = await deviceWith(upsert("a", 1));
  const [equal, other] = [{ s: digestOf({ Task: { a: 1 } }) }, { s: NOTHING }];
  const asks = async (digests: Record<string, string>, page: Partial<Page> = {}): Promise<boolean> =>
    (await device.pull({ ...page, ...says(digests) })).some((it) => it.do === "reread");
  assert.equal(await asks(other), true);
  assert.equal(await asks(other, { hasMore: false }), false);
  assert.deepEqual(
    [await asks({}), (await device.meta()).differing],
    [false, { s: false }],
    "no gateway says it is equal",
  );
  assert.equal(await asks(equal), false);
  assert.equal(await asks(other), true);
  await device.pull(says(other));
  assert.equal(await asks(other, { reset: true, changes: [upsert("a", 1)] }), true);
});

test("1.18 a scope that is withdrawn differs no more", async () => {
  const device = await deviceWith(upsert("a", 1));
  assert.deepEqual(await compared(device, { s: NOTHING }), ["s"]);
  assert.deepEqual(await compared(device, {}, { revokedScopes: ["s"] }), []);
});

test("1.18 a page is not compared if an answer came since its pull began, but another one is", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.update("a", { title: "x" });
  await device.send();
  const [begun] = await device.do({ is: "begin" });
  const round = begun?.do === "pull" ? begun.round : 0;
  await device.answer(result("APPLIED", body("a", 2)));
  const ahead = says({ s: digestOf({ Task: { a: 1 } }) });
  assert.deepEqual([await device.page(ahead, round), (await device.meta()).differing], [[{ do: "compare" }], null]);
  assert.deepEqual(await compared(device, { s: digestOf({ Task: { a: 2 } }) }, { changes: [upsert("a", 2)] }), []);
});

test("1.18 live pages, and pages of a gateway without digests, are not compared", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.page(says({ s: NOTHING }));
  await device.pull({ digests: null });
  assert.equal((await device.meta()).differing, null);
});

test("1.18 nothing is proven while a scope of which it keeps something has no digest", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1, {}, "t"));
  const [s, t] = [digestOf({ Task: { a: 1 } }), digestOf({ Task: { b: 1 } })];
  const differing = async (page: Partial<Page>): Promise<unknown> => {
    await device.pull(page);
    return (await device.meta()).differing;
  };
  assert.deepEqual(await differing(says({})), null, "a gateway that keeps none");
  assert.deepEqual(await differing(says({ s })), null);
  assert.deepEqual(await differing(says({ s: NOTHING })), { s: true }, "what differs is reported all the same");
  assert.deepEqual(await differing(says({ s })), null);
  assert.deepEqual(await differing(says({ s, t })), {});
});

test("1.18 a client of too many scopes proves nothing until a start finds fewer", async () => {
  const scopes = Array.from({ length: 2_001 }, (_, n) => `s${n}`);
  const digests = Object.fromEntries(scopes.map((scope) => [scope, digestOf({ Task: { [`in ${scope}`]: 1 } })]));
  const device = await deviceWith(...scopes.map((scope) => upsert(`in ${scope}`, 1, {}, scope)));
  assert.deepEqual(await compared(device, digests), ["never compared"]);
  const [first = "", ...rest] = scopes;
  const fewer = Object.fromEntries(rest.map((scope) => [scope, digests[scope] ?? ""]));
  assert.deepEqual(await compared(device, fewer, { revokedScopes: [first] }), ["never compared"]);
  await device.do({ is: "lead" });
  await device.sweep();
  assert.deepEqual(await compared(device, fewer), []);
});

test("1.18 nothing is compared until all documents are counted after a start", async () => {
  const device = await deviceWith(upsert("a", 1));
  await device.do({ is: "lead" });
  assert.deepEqual(await compared(device, { s: NOTHING }), ["never compared"]);
  await device.pull({ changes: [upsert("b", 1)] });
  await device.do({ is: "sweep" });
  await device.pull({ changes: [upsert("a", 2), upsert("c", 1)], ...says({ s: NOTHING }) });
  assert.equal((await device.meta()).differing, null);
  await device.sweep();
  assert.deepEqual(await compared(device, { s: digestOf({ Task: { a: 2, b: 1, c: 1 } }) }), []);
});

test("1.18 what has changed without a step is found after the next start", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1), upsert("c", 1));
  const key = keyOf({ type: "Task", id: "b" });
  await device.storage.step(
    () => ({}),
    ({ meta, flight }) => ({ meta, flight, docs: [[key, null]], queue: [], lingering: [], outcomes: [], types: [] }),
    { strict: true },
  );
  const theirs = { s: digestOf({ Task: { a: 1, b: 1, c: 1 } }) };
  assert.deepEqual(await compared(device, theirs), [], "the sums are those of the steps");
  await device.do({ is: "lead" });
  await device.sweep();
  assert.deepEqual(await compared(device, theirs), ["s"]);
});

test("1.18 a scope that still differs after it was read again is read again after the next start", async () => {
  const device = await deviceWith(upsert("a", 1));
  const theirs = says({ s: digestOf({ Task: { a: 1, lost: 1 } }) });
  await device.pull(theirs);
  await device.pull(theirs);
  assert.deepEqual((await device.meta()).differing, { s: false });
  await device.do({ is: "lead" });
  assert.equal((await device.meta()).differing, null, "nothing is compared yet");
  await device.sweep();
  assert.deepEqual(await device.pull(theirs), [{ do: "reread" }]);
  await device.pull(theirs);
  assert.deepEqual([device.reread, (await device.meta()).differing], [["s"], { s: false }]);
});

test("1.18 a database of a client without digests is counted first", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1));
  await device.storage.step(
    () => ({}),
    ({ meta, flight }) => {
      const { sums, swept, differing, answered, ...older } = meta;
      return { meta: older as typeof meta, flight, docs: [], queue: [], lingering: [], outcomes: [], types: [] };
    },
    { strict: true },
  );
  const theirs = { s: digestOf({ Task: { a: 1, b: 1 } }) };
  assert.deepEqual(await compared(device, theirs), ["never compared"]);
  await device.sweep();
  assert.deepEqual(await compared(device, theirs), []);
});

test("1.18 a scope that is withdrawn while documents are counted does not count", async () => {
  const device = await deviceWith(upsert("a", 1), upsert("b", 1, {}, "t"));
  await device.do({ is: "lead" });
  await device.do({ is: "sweep" });
  await device.pull({ revokedScopes: ["s"] });
  await device.sweep();
  assert.deepEqual(await compared(device, { s: NOTHING, t: digestOf({ Task: { b: 1 } }) }), []);
  assert.equal(await device.stored(), 1);
});
