// The client's side of docs/rules.md, section 1, as a pure function: a state and an event give the next state. Each step is
// one local transaction. There is no clock, network, storage or randomness in it. Numbers in comments are the rules'.
import { digestsOf, EMPTY } from "./digest.js";
import { difference, equal, intended, pick } from "./values.js";

/** What a new client keeps. `client` is random, and was never used before. */
export function begin(client) {
  return {
    ...{ client, next: 1, n: 1, round: 0, questions: 0 },
    ...{ epoch: null, pageEpoch: null, checkpoint: null, types: [], refresh: [], isResetting: false },
    ...{ reread: [], doubted: [], differing: [], answered: 0, mustCompare: false },
    ...{ docs: new Map(), queue: [], flight: null, lingering: [], outcomes: [], unknownCreates: [] },
  };
}

/** The state of a client that starts. What differed is asked for again: the disk may have lost more since (1.18). */
export const starts = (state) => ({ ...state, doubted: [] });

/** The edit cannot be made on what is in view. Nothing of the step is kept. */
export class EditError extends Error {
  /** `code` is `EXISTS` or `GONE`. */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** How many merged outcomes are kept; the others stay until the user has dealt with them. */
const MERGED_MAX = 200;

/**
 * One step. `event.do` names the event, as in a trace (conformance/README.md). The state it gives says by `todo` what follows, until the next step: `again`,
 * `token`, `pull` or `halt`, with a `reason` where there is one.
 */
export function step(model, before, event) {
  const s = { ...before, docs: new Map(before.docs), todo: null, reason: null };
  EVENTS[event.do](s, event, model);
  return s;
}

const EVENTS = { edit, discard, refresh, seal, begin: beginRound, page, unread, send, answer, refused, last };

export const keyOf = (type, id) => `${type}/${id}`;

const key = ({ type, id }) => keyOf(type, id);

// The view and edits on it: 1.8 to 1.10.

/** The documents in view, by key. */
export function views(model, s) {
  const shown = new Map([...s.docs].map(([name, { body }]) => [name, body]));
  for (const it of onTop(s)) shown.set(key(it), over(model, shown.get(key(it)), it));
  return shown;
}

/** A document in view. With `upTo`, no edit counts that was made later. */
export function view(model, s, name, upTo = Infinity) {
  const edits = onTop(s).filter((it) => key(it) === name && it.n <= upTo);
  return edits.reduce((body, it) => over(model, body, it), s.docs.get(name)?.body);
}

const unanswered = (s) => [...(s.flight?.edits ?? []), ...s.queue];

const onTop = (s) => [...s.lingering, ...unanswered(s)];

function over(model, body, { op, type, id, set, base, sent }) {
  const { merges, defaults } = model[type];
  if (op === "create") return { ...defaults, ...set, id };
  if (op === "delete" || !body) return undefined;
  const shown = Object.entries(set).map(([field, value]) => {
    if (sent && merges[field] === "COUNTER") return [field, sent[field] ?? body[field] ?? null];
    return [field, intended(difference(merges[field], base[field], value), body[field])];
  });
  return { ...body, ...Object.fromEntries(shown) };
}

/** The user edits. Several edits of an `atomic` event are a transaction. */
function edit(s, { edits, changedAt, atomic = false, policy, folds = true }, model) {
  const more = { changedAt, ...(atomic && { tx: s.n }), ...(policy && { policy }) };
  for (const it of edits) {
    const made = { n: s.n, ...frozen(model, s, it), ...more };
    const folded = folds ? fold(model, s, made) : undefined;
    s.queue = folded ? [...s.queue.slice(0, -1), folded] : [...s.queue, made];
    if (!folded) s.n += 1;
  }
}

/** 1.9: an edit with the version and the values that the user sees now. */
function frozen(model, s, { op, type, id, document, fields = {} }) {
  const seen = view(model, s, keyOf(type, id));
  if (op === "create") {
    if (seen) throw new EditError("EXISTS", "There is such a document already.");
    return { op, type, id, set: document, base: {}, baseVersion: 0 };
  }
  if (!seen) throw new EditError("GONE", "The document is no longer there.");
  const set = Object.fromEntries(Object.entries(fields).map(([field, it]) => [field, intended(it, seen[field])]));
  return { op, type, id, set, base: pick(seen, Object.keys(set)), baseVersion: baseVersion(s, keyOf(type, id)) };
}

/** 4.5: 0 while the own create has no answer or lingers, even if a page has shown the document. */
function baseVersion(s, name) {
  const creates = (it) => it.op === "create" && key(it) === name;
  if (unanswered(s).some(creates)) return 0;
  const lingers = s.lingering.findLast(creates);
  if (lingers) return lingers.isUnknown || lingers.by === s.client ? 0 : -1;
  const doc = s.docs.get(name);
  return doc ? doc.version || -1 : 0;
}

/** 1.10: one update of two. Not if its fields show otherwise since: a difference would count twice, or not at all. */
function fold(model, s, next) {
  const last = s.queue.at(-1);
  if (!last || key(last) !== key(next) || last.sent || last.tx !== undefined || next.tx !== undefined) return undefined;
  const alike = last.op === "update" && next.op === "update" && last.policy === next.policy;
  const seen = view(model, s, key(next));
  const still = () => Object.entries(last.set).every(([field, value]) => equal(seen[field], value));
  if (!alike || last.baseVersion !== next.baseVersion || !still()) return undefined;
  return {
    ...last,
    set: { ...last.set, ...next.set },
    base: { ...next.base, ...last.base },
    changedAt: next.changedAt,
  };
}

/** The user has dealt with an outcome (1.16). */
function discard(s, { n }) {
  s.outcomes = s.outcomes.filter((it) => it.n !== n);
}

// Pages: 1.1 to 1.4, and their part of 1.6, 1.7 and 1.17.

/** The app selects more of these types than before: they come once more. */
function refresh(s, { types }) {
  s.refresh = [...new Set([...s.refresh, ...types])];
}

/** The user signs out: what the server has goes, and what the user has made stays. */
function seal(s) {
  Object.assign(s, { docs: new Map(), lingering: [], checkpoint: null });
}

/** A pull or a subscription begins. */
function beginRound(s) {
  s.round += 1;
}

/** A page arrives, which continues from `from`. `round` is that of its pull or subscription, and null if it is live. */
function page(s, { page, from, round, types, refresh = [], reread = [], newId }) {
  s.differing = [];
  if (from !== s.checkpoint) return;
  removeDocs(s, (doc) => !types.includes(doc.type));
  s.types = types;
  if (page.reset) reset(s, page.epoch, newId);
  s.epoch = s.pageEpoch = page.epoch;
  removeDocs(s, (doc) => page.revokedScopes.includes(doc.scope));
  if (s.flight) s.flight = remember(s.flight, page);
  for (const change of page.changes) take(s, change);
  s.checkpoint = page.checkpoint;
  s.refresh = s.refresh.filter((type) => !refresh.includes(type));
  s.reread = s.reread.filter((scope) => !reread.includes(scope));
  if (page.hasMore) return;
  removeDocs(s, (doc) => doc.isUnseen);
  if (s.isResetting) s.doubted = [];
  s.isResetting = false;
  if (round === null) return;
  removeDocs(s, (doc) => doc.unconfirmed < round);
  s.lingering = s.lingering.filter((it) => it.heard >= round);
  // An answer that came meanwhile may be ahead of the page.
  s.mustCompare = round <= s.answered;
  if (page.digests && !s.mustCompare) compare(s, page.digests);
}

/** 1.18: what differs from the server is reported, and read again once. */
function compare(s, digests) {
  const kept = digestsOf(s.docs.values());
  s.differing = digests.filter(({ scope, digest }) => (kept.get(scope) ?? EMPTY) !== digest).map(({ scope }) => scope);
  const asks = s.differing.filter((scope) => !s.doubted.includes(scope));
  const equal = digests.map(({ scope }) => scope).filter((scope) => !s.differing.includes(scope));
  s.doubted = [...s.doubted.filter((scope) => !equal.includes(scope)), ...asks];
  s.reread = [...s.reread, ...asks];
  if (asks.length > 0) s.todo = "pull";
}

function removeDocs(s, condition) {
  for (const [name, doc] of s.docs) if (condition(doc)) s.docs.delete(name);
}

/** 1.4. */
function reset(s, epoch, newId) {
  s.isResetting = true;
  const isOther = epoch !== s.pageEpoch;
  for (const [name, doc] of s.docs) {
    s.docs.set(name, { ...doc, isUnseen: true, version: isOther ? 0 : doc.version });
  }
  if (s.flight) s.flight = { ...s.flight, isCrossed: true };
  if (isOther && s.pageEpoch !== null) beginClient(s, newId);
}

/** 1.2 and 1.3. */
function take(s, { type, documentId: id, kind, version, scope, document }) {
  const name = keyOf(type, id);
  const doc = s.docs.get(name);
  if (doc && version <= doc.version) {
    if (kind !== "UPSERT") return;
    const { unconfirmed, ...confirmed } = doc;
    const body = document ?? doc.body;
    s.docs.set(name, { ...(version === doc.version ? { ...confirmed, body } : doc), isUnseen: false });
  } else if (kind === "UPSERT") {
    if (document) s.docs.set(name, { type, id, version, scope, body: document, isUnseen: false });
  } else if (kind === "DELETE" || doc?.scope === scope) s.docs.delete(name);
}

/** 1.6: an answer on its way could bring back what a page removes. */
function remember(flight, { changes, revokedScopes }) {
  const removed = changes.filter(({ kind }) => kind !== "UPSERT");
  const removals = removed.map(({ type, documentId, kind, version, scope }) => {
    return { name: keyOf(type, documentId), kind, version, scope };
  });
  return { ...flight, removals: [...flight.removals, ...removals], revoked: [...flight.revoked, ...revokedScopes] };
}

/** A pull or a subscription was refused. */
function unread(s, { code }) {
  if (code !== "BAD_CHECKPOINT") return otherwise(s, code);
  s.checkpoint = null;
  s.todo = "pull";
}

// Pushes: 1.5 to 1.7, 1.11, 1.14 and 1.15.

/** The client sends what it has to send: see `request`. */
function send(s, { limit = 500 }, model) {
  if (s.flight || s.epoch === null || s.queue.length === 0) return;
  const [{ tx, policy }] = s.queue;
  const other = s.queue.findIndex((it) => it.tx !== tx || it.policy !== policy);
  const alike = other < 0 ? s.queue : s.queue.slice(0, other);
  const edits = tx === undefined ? alike.slice(0, limit) : alike;
  fly(
    s,
    edits.map((it) => (it.sent ? it : asSent(model, s, it))),
    model,
  );
}

/** What it has to send: the push under way once more, or a question about it (1.12). */
export function request({ flight }) {
  if (!flight) return {};
  return flight.asks ? { viewer: flight.input.client.id } : { pushChanges: flight.input };
}

/** 1.8: from now on its counters show as they are in view. A page may hold the edit before the answer comes. */
function asSent(model, s, it) {
  const counters = Object.keys(it.set).filter((field) => model[it.type].merges[field] === "COUNTER");
  return { ...it, sent: pick(view(model, s, key(it), it.n), it.op === "update" ? counters : []) };
}

function fly(s, edits, model) {
  const numbers = new Set(edits.map(({ n }) => n));
  s.queue = s.queue.filter(({ n }) => !numbers.has(n));
  const [{ tx, policy }] = edits;
  const input = {
    client: { id: s.client, firstMutationId: s.next },
    epoch: s.epoch,
    ...(tx !== undefined && { atomic: true }),
    ...(policy && { policy }),
    changes: edits.map((it) => change(model, it)),
  };
  s.flight = { input, edits, behind: sentAtFront(s).length, isCrossed: false, removals: [], revoked: [], asks: null };
  s.next += edits.length;
}

/** The edits at the front of the queue that an earlier copy of a push carried (1.12). */
function sentAtFront(s) {
  const first = s.queue.findIndex((it) => !it.sent);
  return first < 0 ? s.queue : s.queue.slice(0, first);
}

function change(model, { op, type, id, set, base, baseVersion, changedAt }) {
  const values = {
    create: { id, document: set, changedAt },
    update: { id, baseVersion, set, base, changedAt },
    delete: { id, baseVersion, changedAt },
  };
  return { [model[type].root]: { [op]: values[op] } };
}

/** An answer to another push than the one under way has no use, also if that one had the same ids (1.12). */
function isTo(flight, to) {
  const { client, changes } = to.input;
  const same = flight?.input.client.id === client.id && flight.input.client.firstMutationId === client.firstMutationId;
  return same && flight.edits.length === changes.length && flight.edits[0].n === to.edits[0].n;
}

/** The outcomes of a push arrive. */
function answer(s, { to, results }) {
  const { flight } = s;
  if (!isTo(flight, to)) return;
  s.flight = null;
  s.answered = s.round;
  if (flight.behind > 0) forgetCopies(s);
  flight.edits.forEach((it, nth) => settle(s, flight, it, results[nth]));
  if (flight.isCrossed) s.todo = "pull";
}

function settle(s, flight, it, { status, version, document, error, conflict }) {
  const failed = status === "CONFLICT" || status === "REJECTED";
  if (status !== "APPLIED") report(s, it, status, { error, conflict, theirs: document });
  if (it.op === "create") {
    s.unknownCreates = s.unknownCreates.filter((name) => name !== key(it));
    if (failed) dropQueuedOn(s, it);
    else if (flight.input.client.id !== s.client) rebase(s, queuedOn(s, it));
  }
  if (flight.isCrossed) {
    if (!failed) linger(s, flight, it, false);
    return;
  }
  const { type, id } = it;
  const held = s.docs.get(key(it))?.version ?? 0;
  if (document) {
    const { syncVersion, syncScope: scope, ...body } = document;
    if (syncVersion <= held || isRemoved(flight, key(it), syncVersion, scope) || !s.types.includes(type)) return;
    s.docs.set(key(it), { type, id, version: syncVersion, scope, body, isUnseen: false, unconfirmed: s.round });
  } else if (it.op === "delete" && status === "APPLIED" && held < version) s.docs.delete(key(it));
}

function isRemoved({ removals, revoked }, name, version, scope) {
  const removes = (it) => (it.kind === "DELETE" ? version <= it.version : it.scope === scope && version < it.version);
  return revoked.includes(scope) || removals.some((it) => it.name === name && removes(it));
}

function linger(s, flight, it, isUnknown) {
  s.lingering = [...s.lingering, { ...it, by: flight.input.client.id, heard: s.round, isUnknown }];
}

function report(s, it, status, more) {
  const merged = s.outcomes.filter((other) => other.status === "MERGED");
  const [oldest] = status === "MERGED" && merged.length >= MERGED_MAX ? merged : [];
  s.outcomes = [...s.outcomes.filter((other) => other !== oldest), { n: it.n, edit: it, status, ...more }];
}

/** 1.14: what waits is of no known version, except on a create that waits, is under way or is unknown: it may fail. */
function beginClient(s, newId) {
  Object.assign(s, { client: newId, next: 1 });
  const flying = s.flight?.edits.filter((it) => it.op === "create").map(key) ?? [];
  const created = new Set([...s.unknownCreates, ...flying]);
  s.queue = s.queue.map((it) => {
    if (it.op === "create") created.add(key(it));
    return it.op === "create" || (it.baseVersion === 0 && created.has(key(it))) ? it : { ...it, baseVersion: -1 };
  });
}

/** 1.11: no copy of what waits can have an effect any more. */
function forgetCopies(s) {
  s.queue = s.queue.map(({ sent, ...it }) => it);
}

/** The edits on a create that wait, up to another create of the document. */
function queuedOn(s, create) {
  const later = s.queue.filter((it) => it.n > create.n && key(it) === key(create));
  const again = later.findIndex((it) => it.op === "create");
  return (again < 0 ? later : later.slice(0, again)).filter((it) => it.baseVersion === 0);
}

function rebase(s, edits) {
  s.queue = s.queue.map((it) => (edits.includes(it) ? { ...it, baseVersion: -1 } : it));
}

/** 1.15: a create failed. An edit takes its transaction along, and the creates in there what is queued on them. */
function dropQueuedOn(s, failed) {
  const creates = [failed];
  for (let create = creates.pop(); create; create = creates.pop()) {
    const lost = queuedOn(s, create);
    const transactions = lost.map((it) => it.tx).filter((tx) => tx !== undefined);
    const dropped = s.queue.filter((it) => lost.includes(it) || transactions.includes(it.tx));
    s.queue = s.queue.filter((it) => !dropped.includes(it));
    for (const it of dropped) report(s, it, "DROPPED", { cause: failed.n });
    creates.push(...dropped.filter((it) => it.op === "create"));
  }
}

// Refusals: 1.12, 1.13 and 1.17.

const TRANSIENT = ["NETWORK", "SERVICE_UNAVAILABLE", "OVERLOADED", "RATE_LIMITED", "DEADLINE_EXCEEDED"];
TRANSIENT.push("INTERNAL_SERVER_ERROR");
const DIVISIBLE = ["PUSH_TOO_LARGE", "PAYLOAD_TOO_LARGE", "BAD_USER_INPUT", "CLIENT_TOO_OLD"];

/** A push was refused as a whole. */
function refused(s, { to, code, extensions = {}, newId }) {
  const { flight } = s;
  if (!isTo(flight, to)) return;
  if (code === "EPOCH_CHANGED" || code === "MUTATION_ID_GAP") return sendAgain(s, flight, newId);
  const isWhole = code === "CLIENT_TOO_OLD" && indexOf(extensions) === undefined;
  if (code !== "MUTATION_ID_REUSED" && (isWhole || !DIVISIBLE.includes(code))) return otherwise(s, code);
  s.questions += 1;
  s.flight = { ...flight, asks: { code, extensions, number: s.questions } };
}

function otherwise(s, code) {
  s.todo = TRANSIENT.includes(code) ? "again" : code === "UNAUTHENTICATED" ? "token" : "halt";
  s.reason = code;
}

/** 4.4: it had no effect. Its edits go under another client id, after a pull unless a page has shown the epoch. */
function sendAgain(s, flight, newId) {
  s.flight = null;
  s.queue = [...flight.edits, ...s.queue];
  forgetCopies(s);
  beginClient(s, newId);
  if (flight.input.epoch !== s.epoch) return;
  s.epoch = null;
  s.todo = "pull";
}

/** The gateway has answered which mutation id it consumed last: by this copy of the push, or by an earlier one. */
function last(s, { question, lastMutationId, newId }, model) {
  const { flight } = s;
  if (flight?.asks?.number !== question) return;
  const { id, firstMutationId } = flight.input.client;
  const consumed = Math.max(0, lastMutationId - firstMutationId + 1);
  if (consumed > 0 || flight.asks.code === "MUTATION_ID_REUSED") settleConsumed(s, flight, consumed, newId);
  else if (id === s.client) divide(s, flight, model);
  else sendAgain(s, flight, newId);
}

/** 1.13: what became of the edits with consumed ids is unknown. Those of an earlier, longer copy may be among them. */
function settleConsumed(s, flight, consumed, newId) {
  const { id, firstMutationId } = flight.input.client;
  const { code } = flight.asks;
  const edits = [...flight.edits, ...s.queue.slice(0, flight.behind)];
  // A push consumes its ids at once: a part of a transaction was not applied.
  const leaves = flight.input.atomic && consumed < flight.edits.length ? 0 : consumed;
  for (const it of edits.slice(0, leaves)) {
    if (it.op === "create") s.unknownCreates = [...s.unknownCreates, key(it)];
    report(s, it, "UNKNOWN", { error: { code } });
    linger(s, flight, it, true);
  }
  s.flight = null;
  s.queue = [...edits.slice(leaves), ...s.queue.slice(flight.behind)];
  forgetCopies(s);
  if (code === "MUTATION_ID_REUSED" || id !== s.client) beginClient(s, newId);
  else s.next = firstMutationId + consumed;
  s.todo = "pull";
}

/** 1.12: a part flies again under the same ids, and the rest waits. What cannot be divided is refused. */
function divide(s, { edits, input, asks }, model) {
  s.flight = null;
  s.next = input.client.firstMutationId;
  if (input.atomic || edits.length === 1) {
    for (const it of edits) {
      report(s, it, "REFUSED", { error: { code: asks.code } });
      if (it.op === "create") dropQueuedOn(s, it);
    }
    showSent(s, model);
    return;
  }
  s.queue = [...edits, ...s.queue];
  const { max } = asks.extensions;
  const index = indexOf(asks.extensions);
  const fits = max ?? (index === undefined ? 0 : Math.max(index, 1));
  fly(s, edits.slice(0, fits >= 1 && fits < edits.length ? fits : edits.length >> 1), model);
}

/** 1.8: the counters of what was sent show without the edit before them that was refused. */
function showSent(s, model) {
  const count = sentAtFront(s).length;
  const waits = s.queue.map(({ sent, ...it }, nth) => (nth < count ? it : s.queue[nth]));
  const shown = { ...s, queue: waits };
  s.queue = waits.map((it, nth) => (nth < count ? asSent(model, shown, it) : it));
}

/** Which change the gateway's `inputPath` names, such as `$input.changes[3].task`. */
function indexOf({ inputPath }) {
  const found = /\.changes\[(\d+)\]/.exec(inputPath ?? "");
  return found ? Number(found[1]) : undefined;
}
