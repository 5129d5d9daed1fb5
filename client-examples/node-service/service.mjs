// A service beside the gateway, in Node without packages: it adds the label `reviewed` and five minutes to each task that is
// done. It pulls a page, decides, pushes, and pulls again. A subscription only wakes it.
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { appendFile, open, rename } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const GATEWAY = process.env.GATEWAY ?? "http://127.0.0.1:4000";
const DIRECTORY = process.env.STATE ?? "state";
const STATE = join(DIRECTORY, "state.json");
/** Answers `{"token": …}`. This one is that of `tidegate dev`; elsewhere it is your identity provider. */
const TOKEN_URL = process.env.TOKEN_URL ?? `${GATEWAY}/dev/token?sub=reviewer&teams=demo`;

/** How long an answer may take, and how long a stream is kept open. */
const PATIENCE_MS = 60_000;

/** The same request may succeed later. */
const TRANSIENT = new Set(
  "NO_ANSWER SERVICE_UNAVAILABLE OVERLOADED RATE_LIMITED DEADLINE_EXCEEDED INTERNAL_SERVER_ERROR".split(" "),
);
/** The gateway's history is not the one of the state: what was not answered has no effect in it, or its answer is lost. */
const BEGIN_AGAIN = new Set("EPOCH_CHANGED MUTATION_ID_GAP MUTATION_ID_REUSED BAD_CHECKPOINT".split(" "));

const PAGE = `query Page($checkpoint: Checkpoint) {
  changesSince(checkpoint: $checkpoint, types: [Task], limit: 100) {
    changes { kind version document { ... on Task { id done labels minutesSpent } } }
    checkpoint hasMore epoch
  }
}`;
const PUSH = `mutation Push($input: PushChangesInput!) {
  pushChanges(input: $input) { results { type documentId mutationId status error { code message } } }
}`;
const NEWS = "subscription News { changes(from: NOW, types: [Task]) { hasMore } }";

/** What the service does about a change, as changes of its own. What it writes comes back, and has the label. */
function reaction({ kind, version, document }) {
  if (kind !== "UPSERT" || !document.done || document.labels.includes("reviewed")) return [];
  const { id, labels, minutesSpent } = document;
  const set = { labels: [...labels, "reviewed"], minutesSpent: minutesSpent + 5 };
  return [{ task: { update: { id, baseVersion: version, set, base: { labels, minutesSpent } } } }];
}

// A page's checkpoint and the push that it leads to are one write. No crash comes between them: the page is not read twice,
// and none of its reactions is lost.
const begin = () => ({ client: randomUUID(), next: 1, checkpoint: null, push: null });
let state;

/** Replaces the file whole, and returns once that outlasts a crash. */
async function save(next) {
  await synced(`${STATE}.new`, "w", (file) => file.writeFile(JSON.stringify(next)));
  await rename(`${STATE}.new`, STATE);
  await synced(DIRECTORY, "r", () => undefined);
  state = next;
}

async function synced(path, flags, write) {
  const file = await open(path, flags);
  try {
    await write(file);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** One step: settles the push under way, or reads the next page. Returns whether there is more to do now. */
async function step() {
  const { client, next, checkpoint, push } = state;
  if (push) {
    const { results } = (await request(PUSH, { input: push })).pushChanges;
    const failed = results.filter(({ status }) => status === "CONFLICT" || status === "REJECTED");
    // They are final. Written before the state: after a crash in between, a line may be there twice.
    const lines = failed.map((result) => `${JSON.stringify(result)}\n`);
    if (lines.length > 0) await appendFile(join(DIRECTORY, "problems.jsonl"), lines.join(""), { flush: true });
    await save({ ...state, next: next + results.length, push: null });
    return true;
  }
  const page = (await request(PAGE, { checkpoint })).changesSince;
  const changes = page.changes.flatMap(reaction);
  const made = { client: { id: client, firstMutationId: next }, epoch: page.epoch, changes };
  await save({ ...state, checkpoint: page.checkpoint, push: changes.length > 0 ? made : null });
  return page.hasMore || changes.length > 0;
}

/** Asks until there is an answer. A push is sent again exactly as it was. */
async function request(query, variables) {
  for (let attempt = 0; ; attempt += 1) {
    const answer = await send(query, variables, "application/graphql-response+json")
      .then((response) => response.json())
      .catch(() => ({ errors: [{ extensions: { code: "NO_ANSWER" } }] }));
    if (!answer.errors) return answer.data;
    const [{ message, extensions }] = answer.errors;
    const { code, retryAfter = 0 } = extensions ?? {};
    if (code === "UNAUTHENTICATED") token = undefined;
    else if (!TRANSIENT.has(code)) throw Object.assign(new Error(`${code}: ${message}`), { code });
    await sleep(Math.max(retryAfter * 1000, 100 * 2 ** Math.min(attempt, 6) * (0.5 + Math.random())));
  }
}

let token;

async function send(query, variables, accept) {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  token ??= (await (await fetch(TOKEN_URL, { signal })).json()).token;
  const headers = { "Content-Type": "application/json", Accept: accept, Authorization: `Bearer ${token}` };
  return fetch(`${GATEWAY}/graphql`, { method: "POST", headers, body: JSON.stringify({ query, variables }), signal });
}

// An event only wakes the service. A page of a subscription may be older than the last answer to a push, and the service would
// react to a document that it has changed already. A pull after the answer shows its own writes.
let wake = () => undefined;

/** Opens one stream after the other. A dead one is given up after a minute. What was missed in between is pulled then. */
async function follow() {
  for (;;) {
    try {
      for await (const _ of (await send(NEWS, {}, "text/event-stream")).body) wake();
    } catch {
      // The next one begins below.
    }
    wake();
    await sleep(500 + 1000 * Math.random());
  }
}

mkdirSync(DIRECTORY, { recursive: true });
if (existsSync(STATE)) state = JSON.parse(readFileSync(STATE, "utf8"));
else await save(begin());
void follow();
for (;;) {
  const woken = new Promise((resolve) => (wake = resolve));
  try {
    while (await step());
    await woken;
  } catch (error) {
    // Anything else is for a person: the service ends, and keeps its state.
    if (!BEGIN_AGAIN.has(error.code)) throw error;
    await save(begin());
  }
}
