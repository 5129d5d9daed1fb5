/**
 * Sending what is queued, and taking in outcomes: rules 1.5 to 1.7, 1.11 and 1.16.
 */

import type { Body, Result } from "../protocol.js";
import type { Draft, Effect } from "./draft.js";
import { dropQueuedOn, forgetCopies, PUSH_CHANGES_MAX, rebaseOn } from "./edits.js";
import { leftKey } from "./pages.js";
import { keyOf, mergeOf, own, versionOf } from "./records.js";
import type { CoreModel, Edit, Flight, Outcome, Question } from "./records.js";
import { leading, pick } from "./values.js";

/** How large a push is, besides {@link PUSH_CHANGES_MAX}. One transaction is sent whole. */
const PUSH_BYTES_MAX = 256 * 1024;

/** How many merged outcomes are kept; the others stay until the user has seen to them. */
const MERGED_MAX = 200;

/** Sends the push without an answer once more, as it was (1.5), or the next one (1.11). Before the first page there is none. */
export function send(draft: Draft, { limit = PUSH_CHANGES_MAX }: { readonly limit?: number }): void {
  if (!draft.flight && draft.meta.epoch !== null) {
    const edits = nextEdits(draft, limit).map((it) => (it.sent ? it : asSent(draft, it)));
    if (edits.length > 0) fly(draft, edits, draft.meta.epoch);
  }
  const { flight } = draft;
  if (flight) draft.effects.push(flight.asks ? ask(flight, flight.asks) : { do: "push", flight });
}

/** The question whether an earlier copy of a push was applied (1.12). */
export function ask(flight: Flight, { number }: Question): Effect {
  return { do: "ask", client: flight.to.id, question: number };
}

/** The first transaction of the queue, or plain edits of one policy within the bounds. */
function nextEdits(draft: Draft, limit: number): readonly Edit[] {
  const queue = draft.queue.all();
  const [first] = queue;
  const alike = leading(queue, (it) => it.tx === first?.tx && it.policy === first?.policy);
  if (first?.tx !== undefined) return alike;
  let bytes = 0;
  return leading(alike, (it, at) => {
    bytes += JSON.stringify(wire(draft.model, it)).length;
    return at === 0 || (at < limit && bytes <= PUSH_BYTES_MAX);
  });
}

/**
 * 1.8: from now on its counters show as they are in view. A page may hold the edit before the answer comes, and a
 * difference would show twice.
 */
export function asSent(draft: Draft, edit: Edit): Edit {
  const seen = draft.view(keyOf(edit), edit.n) ?? {};
  const isCounter = (field: string): boolean => mergeOf(draft.model, edit.type, field) === "COUNTER";
  return { ...edit, sent: pick(seen, edit.op === "update" ? Object.keys(edit.set).filter(isCounter) : []) };
}

/** The edits leave the queue, under the next ids. */
export function fly(draft: Draft, edits: readonly Edit[], epoch: string): void {
  const { meta } = draft;
  for (const it of edits) draft.queue.remove(it.n);
  const policy = edits[0]?.policy;
  draft.flight = {
    to: { id: meta.client, firstMutationId: meta.next },
    epoch,
    atomic: edits[0]?.tx !== undefined,
    ...(policy && { policy }),
    edits,
    changes: edits.map((it) => wire(draft.model, it)),
    crossed: false,
    deleted: {},
    left: {},
    revoked: [],
    behind: sentAtFront(draft).length,
  };
  meta.next += edits.length;
}

/** The edits at the front of the queue that an earlier copy of a push carried (1.12). */
export function sentAtFront(draft: Draft): readonly Edit[] {
  return leading(draft.queue.all(), (it) => it.sent !== undefined);
}

/** An edit as a change of `PushChangesInput`. */
function wire(model: CoreModel, edit: Edit): Body {
  const { id, set, base, bv, at } = edit;
  const root = own(model.types, edit.type)?.root ?? edit.type;
  const made = { create: { document: set }, update: { baseVersion: bv, set, base }, delete: { baseVersion: bv } };
  return { [root]: { [edit.op]: { id, ...made[edit.op], changedAt: at } } };
}

/**
 * Whether a message is about the push that is under way. A late answer to another one is not, even if that one had the
 * same ids: what was divided or refused gives them back (1.12).
 */
export function isTo(flight: Flight | null, to: Flight): flight is Flight {
  const same = flight?.to.id === to.to.id && flight.to.firstMutationId === to.to.firstMutationId;
  return same && flight.edits.length === to.edits.length && flight.edits[0]?.n === to.edits[0]?.n;
}

/** What became of the changes of a push. */
export interface Answer {
  readonly to: Flight;
  readonly results: readonly Result[];
}

/** Takes in the outcomes of the push under way. */
export function answer(draft: Draft, { to, results }: Answer): void {
  const { flight } = draft;
  if (!isTo(flight, to)) return;
  draft.flight = null;
  draft.meta.answered = draft.meta.round;
  if (flight.behind > 0) forgetCopies(draft);
  flight.edits.forEach((edit, at) => {
    const result = results[at];
    if (result) settle(draft, flight, edit, result);
  });
  if (flight.crossed) draft.effects.push({ do: "reread" });
}

function settle(draft: Draft, flight: Flight, edit: Edit, result: Result): void {
  const failed = result.status === "CONFLICT" || result.status === "REJECTED";
  if (result.status !== "APPLIED") report(draft, outcomeOf(edit, result.status, result));
  if (edit.op === "create") {
    const key = keyOf(edit);
    draft.meta.unknownCreates = draft.meta.unknownCreates.filter((it) => it !== key);
    if (failed) dropQueuedOn(draft, edit);
    else if (flight.to.id !== draft.meta.client) rebaseOn(draft, edit);
  }
  if (!flight.crossed) store(draft, flight, edit, result);
  else if (!failed) linger(draft, flight, edit);
}

/** 1.7: the document of an outcome, unless something newer is known of it. */
function store(draft: Draft, flight: Flight, edit: Edit, result: Result): void {
  const { meta, docs } = draft;
  const { type, id } = edit;
  const held = versionOf(meta, draft.doc(keyOf(edit)));
  const { document: body } = result;
  if (!body) {
    if (edit.op === "delete" && result.status === "APPLIED" && held < (result.version ?? 0)) docs.remove(keyOf(edit));
    return;
  }
  const { syncVersion: v, syncScope: scope } = body;
  if (v <= held || isRemoved(flight, edit, v, scope) || !meta.types.includes(type)) return;
  docs.put({ type, id, v, scope, body, ep: meta.ep, seen: meta.no, at: meta.step, u: meta.round });
}

/** 1.6: whether a page has removed the document that an outcome shows. */
function isRemoved(flight: Flight, edit: Edit, version: number, scope: string): boolean {
  const key = keyOf(edit);
  const deleted = own(flight.deleted, key) ?? 0;
  const left = own(flight.left, leftKey(key, scope)) ?? 0;
  return version <= deleted || version < left || flight.revoked.includes(scope);
}

/** 1.7: the edit stays in view until a pull shows its effect. */
function linger(draft: Draft, flight: Flight, edit: Edit): void {
  draft.lingering.put({ ...edit, by: flight.to.id, heard: draft.meta.round });
}

function outcomeOf(edit: Edit, status: Outcome["status"], result: Result): Outcome {
  const { error, conflict, document } = result;
  return {
    n: edit.n,
    edit,
    status,
    ...(error && { error }),
    ...(conflict?.conflictId && { conflictId: conflict.conflictId }),
    ...(conflict && { fields: conflict.fields }),
    ...(document && { theirs: document }),
  };
}

/** Keeps an outcome for the user. Of merged ones, about which nothing has to be done, only the newest. */
export function report(draft: Draft, outcome: Outcome): void {
  draft.outcomes.put(outcome);
  if (outcome.status !== "MERGED") return;
  const merged = [...draft.meta.merged, outcome.n];
  for (const n of merged.slice(0, -MERGED_MAX)) draft.outcomes.remove(n);
  draft.meta.merged = merged.slice(-MERGED_MAX);
}
