/**
 * Each rule of the core broken alone: the compiled core is copied, one line of it is changed, and its tests have to
 * notice, and so does a trace of `conformance/`. So no rule stands there that no test holds.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

interface Slip {
  readonly rule: string;
  /** What the broken client does. */
  readonly does: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const SLIPS: readonly Slip[] = [
  {
    rule: "1.1",
    does: "takes pages that do not continue from its position",
    file: "pages",
    from: "if (arrival.from !== meta.checkpoint)",
    to: "if (false)",
  },
  {
    rule: "1.1",
    does: "sends before its first page",
    file: "pushes",
    from: "if (!draft.flight && draft.meta.epoch !== null)",
    to: "if (!draft.flight)",
  },
  {
    rule: "1.2",
    does: "takes older versions than it has",
    file: "pages",
    from: "if (doc && version <= versionOf(meta, doc))",
    to: "if (false)",
  },
  {
    rule: "1.2",
    does: "does not take the body of the version that it has",
    file: "pages",
    from: "body: change.document ?? doc.body",
    to: "body: doc.body",
  },
  {
    rule: "1.2",
    does: "does not mark an older UPSERT seen",
    file: "pages",
    from: "return docs.put({ ...doc, seen: meta.no });",
    to: "return;",
  },
  {
    rule: "1.3",
    does: "removes by a REVOKE wherever the document moved",
    file: "pages",
    from: 'kind === "DELETE" || doc?.scope === scope',
    to: "true",
  },
  {
    rule: "1.4",
    does: "keeps documents that a reset left unseen",
    file: "pages",
    from: "meta.floor = meta.no;",
    to: ";",
  },
  {
    rule: "1.4",
    does: "keeps versions in another epoch",
    file: "pages",
    from: "meta.ep += 1;",
    to: ";",
  },
  {
    rule: "1.4",
    does: "keeps the documents of revoked scopes",
    file: "records",
    from: "(own(meta.gone, doc.scope) ?? -1) < doc.at",
    to: "true",
  },
  {
    rule: "1.4",
    does: "removes what a page brings of a scope that it revokes",
    file: "pages",
    from: "[scope, meta.step - 1]",
    to: "[scope, meta.step]",
  },
  {
    rule: "1.5",
    does: "sends newer base versions in a retry",
    file: "pushes",
    from: "if (!draft.flight && draft.meta.epoch !== null) {",
    to: `if (draft.flight) {
      const newer = draft.flight.edits.map((it) => wire(draft.model, { ...it, bv: it.bv + 1 }));
      draft.flight = { ...draft.flight, changes: newer };
    } else if (draft.meta.epoch !== null) {`,
  },
  {
    rule: "1.6",
    does: "forgets removals while a push is unanswered",
    file: "pushes",
    from: "version <= deleted || version < left || flight.revoked.includes(scope)",
    to: "flight.revoked.includes(scope)",
  },
  {
    rule: "1.6",
    does: "forgets revoked scopes while a push is unanswered",
    file: "pushes",
    from: "|| flight.revoked.includes(scope)",
    to: "",
  },
  {
    rule: "1.6",
    does: "takes a remembered REVOKE for one of all scopes",
    file: "pages",
    from: "return `${key}\\u0000${scope}`;",
    to: "return key;",
  },
  {
    rule: "1.7",
    does: "keeps documents that no pull confirms",
    file: "pages",
    from: "doc.u < round",
    to: "false",
  },
  {
    rule: "1.7",
    does: "removes documents by a pull that began before the answer",
    file: "pages",
    from: "doc.u < round",
    to: "true",
  },
  {
    rule: "1.7",
    does: "stores outcomes of a push that a reset crossed",
    file: "pushes",
    from: "if (!flight.crossed)",
    to: "if (true)",
  },
  {
    rule: "2.5",
    does: "keeps documents of types that it no longer asks for",
    file: "pages",
    from: "draft.removeType(type);",
    to: ";",
  },
  {
    rule: "4.4",
    does: "keeps its client id in another epoch",
    file: "edits",
    from: "draft.meta.client = client;",
    to: ";",
  },
  {
    rule: "4.4",
    does: "keeps its base versions in another epoch",
    file: "edits",
    from: "else if (!(it.bv === 0 && created.has(key)))",
    to: "else if (false)",
  },
  {
    rule: "4.4",
    does: "rebases what is queued on a create under way",
    file: "edits",
    from: ", ...flying.map(keyOf)",
    to: "",
  },
  {
    rule: "4.4",
    does: "sends in another epoch before it has pulled",
    file: "refusals",
    from: "draft.meta.epoch = null;",
    to: ";",
  },
  {
    rule: "4.5",
    does: "sends what is queued on a create that failed",
    file: "edits",
    from: "drop(draft, it, failed.n);",
    to: ";",
  },
  {
    rule: "4.5",
    does: "drops an edit out of a transaction",
    file: "edits",
    from: "|| (it.tx !== undefined && transactions.has(it.tx))",
    to: "",
  },
  {
    rule: "4.5",
    does: "lets 0 stand for a create of an older client id",
    file: "pushes",
    from: "rebaseOn(draft, edit);",
    to: ";",
  },
  {
    rule: "1.8",
    does: "shows a counter as it was typed",
    file: "values",
    from: "return resolve(difference(merge, base, value), held);",
    to: "return value;",
  },
  {
    rule: "1.10",
    does: "joins edits though their fields show otherwise since",
    file: "edits",
    from: "if (!still)",
    to: "if (false)",
  },
  {
    rule: "1.8",
    does: "joins a counter that it has sent",
    file: "view",
    from: 'edit.sent && merge === "COUNTER"',
    to: "false",
  },
  {
    rule: "1.8",
    does: "shows what was sent as if an edit before it were in force that was refused",
    file: "refusals",
    from: "showSent(draft);\n",
    to: ";\n",
  },
  {
    rule: "1.8",
    does: "shows a create without the model's defaults",
    file: "view",
    from: "...own(model.types, edit.type)?.defaults, ",
    to: "",
  },
  {
    rule: "1.9",
    does: "takes bases of counters from another place than the view",
    file: "edits",
    from: "base: pick(seen, Object.keys(set))",
    to: "base: pick(draft.doc(type, id)?.body ?? {}, Object.keys(set))",
  },
  {
    rule: "1.10",
    does: "folds into what it has sent",
    file: "edits",
    from: "last.sent === undefined && ",
    to: "",
  },
  {
    rule: "1.11",
    does: "takes what waits for sent though an answer has ended the earlier copies",
    file: "pushes",
    from: "if (flight.behind > 0)",
    to: "if (false)",
  },
  {
    rule: "1.11",
    does: "sends edits of several policies and transactions in one push",
    file: "pushes",
    from: "it.tx === first?.tx && it.policy === first?.policy",
    to: "true",
  },
  {
    rule: "1.12",
    does: "takes a late answer to a refused push for one to the next push",
    file: "pushes",
    from: "same && flight.edits.length === to.edits.length && flight.edits[0]?.n === to.edits[0]?.n",
    to: "same",
  },
  {
    rule: "1.13",
    does: "takes the answer to an earlier question",
    file: "refusals",
    from: "flight?.asks?.number !== question",
    to: "flight?.asks === undefined",
  },
  {
    rule: "1.12",
    does: "divides a push that was applied",
    file: "refusals",
    from: "last - flight.to.firstMutationId + 1",
    to: "0",
  },
  {
    rule: "1.12",
    does: "sends again before it has asked",
    file: "pushes",
    from: "flight.asks ? ask(flight, flight.asks) : ",
    to: "",
  },
  {
    rule: "1.12",
    does: "does not give back the ids of what it did not send",
    file: "refusals",
    from: "draft.meta.next = to.firstMutationId;",
    to: ";",
  },
  {
    rule: "1.13",
    does: "forgets that an earlier copy was longer",
    file: "refusals",
    from: "...draft.queue.all().slice(0, flight.behind)",
    to: "",
  },
  {
    rule: "1.13",
    does: "sends the rest of a transaction when another push has some of its ids",
    file: "refusals",
    from: "flight.atomic && consumed < flight.edits.length ? 0 : consumed",
    to: "consumed",
  },
  {
    rule: "1.14",
    does: "forgets an unknown create once a pull has ended",
    file: "edits",
    from: "...draft.meta.unknownCreates, ",
    to: "",
  },
  {
    rule: "1.13",
    does: "takes an unknown create for one that took effect",
    file: "edits",
    from: "lingers.unknown || ",
    to: "",
  },
  {
    rule: "1.15",
    does: "sends what was queued on a create that failed",
    file: "edits",
    from: "const lost = queuedOn(draft.queue.all(), create);",
    to: "const lost = [];",
  },
  {
    rule: "1.15",
    does: "drops an edit without its transaction",
    file: "edits",
    from: "(it.tx !== undefined && transactions.has(it.tx))",
    to: "false",
  },
  {
    rule: "1.16",
    does: "does not say what it dropped",
    file: "edits",
    from: 'draft.outcomes.put({ n: edit.n, edit, status: "DROPPED", cause });',
    to: ";",
  },
  {
    rule: "1.17",
    does: "halts at a fault",
    file: "refusals",
    from: "TRANSIENT.has(code)",
    to: "false",
  },
  {
    rule: "1.17",
    does: "keeps a checkpoint that the gateway does not know",
    file: "refusals",
    from: "draft.meta.checkpoint = null;",
    to: ";",
  },
  {
    rule: "1.17",
    does: "asks only once to begin types again",
    file: "pages",
    from: 'draft.effects.push({ do: "pull", checkpoint, round, refresh, reread });',
    to: 'draft.effects.push({ do: "pull", checkpoint, round, refresh, reread }); draft.meta.refresh = [];',
  },
  {
    rule: "1.17",
    does: "begins types again for ever",
    file: "pages",
    from: "meta.refresh = meta.refresh.filter((type) => !arrival.refresh.includes(type));",
    to: ";",
  },
  {
    rule: "1.18",
    does: "compares digests with what an answer brought since",
    file: "digests",
    from: "round <= meta.answered",
    to: "false",
  },
  {
    rule: "1.18",
    does: "reads again for ever what differs",
    file: "digests",
    from: "own(known, scope) ?? true",
    to: "true",
  },
  {
    rule: "1.18",
    does: "makes no other pull when an answer kept one from being compared",
    file: "digests",
    from: 'draft.effects.push({ do: "compare" });',
    to: ";",
  },
  {
    rule: "1.18",
    does: "does not read again what differs",
    file: "digests",
    from: "own(known, scope) ?? true",
    to: "false",
  },
  {
    rule: "1.18",
    does: "asks only once to read a scope again",
    file: "pages",
    from: 'draft.effects.push({ do: "pull", checkpoint, round, refresh, reread });',
    to: `draft.effects.push({ do: "pull", checkpoint, round, refresh, reread });
      if (differing) draft.meta.differing = Object.fromEntries(Object.keys(differing).map((it) => [it, false]));`,
  },
  {
    rule: "1.18",
    does: "never asks again for what differed after it was read again, after a start either",
    file: "step",
    from: "draft.meta.differing = null;",
    to: ";",
  },
  {
    rule: "1.18",
    does: "says that it equals the server by a page that does not name all its scopes",
    file: "digests",
    from: "isProven || differing.length > 0 ? asks : null",
    to: "asks",
  },
];

const TESTS = ["pages", "edits", "pushes", "refusals", "digests"];
const BUILD = fileURLToPath(new URL("..", import.meta.url));
const TRACES = fileURLToPath(new URL("../../../../conformance/traces", import.meta.url));

/** Ends with the first trace that fails. */
const PLAYS_TRACES = `
import { difference } from "./test/core/player.js";
import { traces } from "./test/core/traces.js";
for (const { text } of await traces(process.argv[2])) if (await difference(text)) process.exit(1);
`;
let copy = "";

before(async () => {
  copy = await mkdtemp(join(tmpdir(), "tidegate-slips-"));
  await cp(join(BUILD, "src"), join(copy, "src"), { recursive: true });
  await cp(join(BUILD, "test/core"), join(copy, "test/core"), { recursive: true });
  await cp(join(BUILD, "test/models"), join(copy, "test/models"), { recursive: true });
  await writeFile(join(copy, "package.json"), '{"type": "module"}');
  const all = TESTS.map((name) => `import "./test/core/${name}.test.js";\n`);
  await writeFile(join(copy, "all.js"), all.join(""));
  await writeFile(join(copy, "traces.js"), PLAYS_TRACES);
});

after(() => rm(copy, { recursive: true }));

test("the tests of the core and the traces pass on a copy", async () => {
  assert.equal(await passes("all.js"), true);
  assert.equal(await passes("traces.js"), true);
});

for (const slip of SLIPS) {
  test(`${slip.rule} a client that ${slip.does} is noticed`, async () => {
    const file = join(copy, "src/core", `${slip.file}.js`);
    const text = await readFile(file, "utf8");
    assert.equal(text.split(slip.from).length, 2, `${slip.from} stands once in ${slip.file}`);
    await writeFile(
      file,
      text.replace(slip.from, () => slip.to),
    );
    try {
      const [tests, traces] = await Promise.all([passes("all.js"), passes("traces.js")]);
      assert.equal(tests, false, "a test of the core fails");
      assert.equal(traces, false, "a trace fails");
    } finally {
      await writeFile(file, text);
    }
  });
}

async function passes(program: string): Promise<boolean> {
  // The child is a test run of its own, not a part of this one.
  const { NODE_TEST_CONTEXT, ...env } = process.env;
  return new Promise((resolve) => {
    execFile(process.execPath, [join(copy, program), TRACES], { env }, (error) => {
      resolve(error === null);
    });
  });
}
