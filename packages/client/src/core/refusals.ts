/**
 * Requests that failed as a whole: what to do by the code (1.12, 1.13, 1.17, 4.4).
 */

import type { Refusal } from "../protocol.js";
import type { Draft } from "./draft.js";
import { beginClient, dropQueuedOn, forgetCopies } from "./edits.js";
import { ask, asSent, fly, isTo, report, sentAtFront } from "./pushes.js";
import { keyOf, type Flight, type Outcome } from "./records.js";

/** The same request may succeed later. */
const TRANSIENT = new Set([
  "NETWORK",
  "SERVICE_UNAVAILABLE",
  "OVERLOADED",
  "RATE_LIMITED",
  "DEADLINE_EXCEEDED",
  "INTERNAL_SERVER_ERROR",
  "REQUEST_TIMEOUT",
  "TOO_MANY_CONNECTIONS",
  "TOO_MANY_OPERATIONS",
]);

export function isTransient(code: string): boolean {
  return TRANSIENT.has(code);
}

/** The push is too large, or a change in it does not fit the API. Smaller ones find out. */
const DIVISIBLE = new Set(["PUSH_TOO_LARGE", "PAYLOAD_TOO_LARGE", "BAD_USER_INPUT", "CLIENT_TOO_OLD"]);

/** A push was refused. `newId` is a random id that was never used. */
export interface RefusedPush {
  readonly to: Flight;
  readonly refusal: Refusal;
  readonly newId: string;
}

export function refused(draft: Draft, { to, refusal, newId }: RefusedPush): void {
  const { flight } = draft;
  if (!isTo(flight, to)) return;
  const { code } = refusal;
  if (code === "EPOCH_CHANGED" || code === "MUTATION_ID_GAP") return sendAgain(draft, flight, newId);
  const whole = code === "CLIENT_TOO_OLD" && inputIndex(refusal) === undefined;
  if (code === "MUTATION_ID_REUSED" || (DIVISIBLE.has(code) && !whole)) {
    const asks = { refusal, number: draft.meta.step };
    draft.flight = { ...flight, asks };
    draft.effects.push(ask(flight, asks));
  } else otherwise(draft, refusal);
}

/** A pull or a subscription was refused. */
export function unread(draft: Draft, { refusal }: { readonly refusal: Refusal }): void {
  if (refusal.code !== "BAD_CHECKPOINT") return otherwise(draft, refusal);
  draft.meta.checkpoint = null;
  draft.effects.push({ do: "reread" });
}

/** In how many seconds a request may be sent again, at the earliest. */
export function retryAfterOf({ extensions: { retryAfter } }: Refusal): number {
  return typeof retryAfter === "number" ? retryAfter : 0;
}

function otherwise(draft: Draft, refusal: Refusal): void {
  const { code, message } = refusal;
  if (isTransient(code)) draft.effects.push({ do: "again", after: retryAfterOf(refusal) });
  else if (code === "UNAUTHENTICATED") draft.effects.push({ do: "token" });
  else draft.effects.push({ do: "halt", code, message });
}

/** 4.4: it had no effect. Its edits go under another client id, after a pull unless a page has shown the epoch. */
function sendAgain(draft: Draft, flight: Flight, newId: string): void {
  draft.flight = null;
  draft.queue.put(...flight.edits);
  forgetCopies(draft);
  beginClient(draft, newId);
  if (flight.epoch !== draft.meta.epoch) return;
  draft.meta.epoch = null;
  draft.effects.push({ do: "reread" });
}

/** The answer to an effect `ask`: the last mutation id of its client, 0 if the gateway does not know it. */
export interface LastId {
  readonly question: number;
  readonly last: number;
  readonly newId: string;
}

/** The gateway has said which mutation id it consumed last, by this copy of the push or an earlier one. */
export function asked(draft: Draft, { question, last, newId }: LastId): void {
  const { flight } = draft;
  if (flight?.asks?.number !== question) return;
  const { refusal } = flight.asks;
  const consumed = Math.max(0, last - flight.to.firstMutationId + 1);
  const reused = refusal.code === "MUTATION_ID_REUSED";
  if (reused || consumed > 0) settleConsumed(draft, flight, refusal, consumed, newId);
  else if (flight.to.id === draft.meta.client) divide(draft, flight, refusal);
  else sendAgain(draft, flight, newId);
}

/** 1.13: what became of the edits with consumed ids is unknown. Those of an earlier, longer copy may be among them. */
function settleConsumed(draft: Draft, flight: Flight, refusal: Refusal, consumed: number, newId: string): void {
  draft.flight = null;
  const edits = [...flight.edits, ...draft.queue.all().slice(0, flight.behind)];
  // A push consumes its ids at once: the transaction was not applied, and goes back whole.
  const leaves = flight.atomic && consumed < flight.edits.length ? 0 : consumed;
  for (const edit of edits.slice(flight.edits.length, leaves)) draft.queue.remove(edit.n);
  for (const edit of edits.slice(0, leaves)) {
    if (edit.op === "create") draft.meta.unknownCreates = [...draft.meta.unknownCreates, keyOf(edit)];
    report(draft, { n: edit.n, edit, status: "UNKNOWN", error: errorOf(refusal) });
    draft.lingering.put({ ...edit, by: flight.to.id, heard: draft.meta.round, unknown: true });
  }
  draft.queue.put(...flight.edits.slice(leaves));
  forgetCopies(draft);
  if (refusal.code === "MUTATION_ID_REUSED" || flight.to.id !== draft.meta.client) beginClient(draft, newId);
  else draft.meta.next = flight.to.firstMutationId + consumed;
  draft.effects.push({ do: "reread" });
}

/** 1.12: a part flies again under the same ids, and the rest waits. What cannot be divided is refused. */
function divide(draft: Draft, flight: Flight, refusal: Refusal): void {
  const { edits, to, epoch } = flight;
  draft.flight = null;
  draft.meta.next = to.firstMutationId;
  if (flight.atomic || edits.length === 1) {
    for (const edit of edits) {
      report(draft, { n: edit.n, edit, status: "REFUSED", error: errorOf(refusal) });
      if (edit.op === "create") dropQueuedOn(draft, edit);
    }
    showSent(draft);
    return;
  }
  draft.queue.put(...edits);
  const part = firstPart(refusal, edits.length);
  fly(draft, edits.slice(0, part), epoch);
}

/** 1.8: the counters of what was sent show without the edit before them that was refused. */
function showSent(draft: Draft): void {
  const edits = sentAtFront(draft);
  forgetCopies(draft);
  for (const edit of edits) draft.queue.put(asSent(draft, edit));
}

function errorOf({ code, message }: Refusal): NonNullable<Outcome["error"]> {
  return { code, message, field: null };
}

/** How many changes to try, of several. Those before the one that does not fit do fit. */
function firstPart(refusal: Refusal, count: number): number {
  const { max } = refusal.extensions;
  const index = inputIndex(refusal);
  const before = index === undefined ? 0 : Math.max(index, 1);
  const fits = typeof max === "number" ? max : before;
  return fits >= 1 && fits < count ? fits : count >> 1;
}

/** Which change the gateway's `inputPath` names, such as `$input.changes[3].task`. */
function inputIndex(refusal: Refusal): number | undefined {
  const { inputPath } = refusal.extensions;
  const found = typeof inputPath === "string" ? /\.changes\[(\d+)\]/.exec(inputPath) : null;
  return found ? Number(found[1]) : undefined;
}
