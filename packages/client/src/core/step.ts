/**
 * The client's side of rules.md as a state machine: an event and the records that it needs give the records to write and
 * what to do next. There is no clock, network, storage or randomness in it.
 */

import type { Policy, Refusal, Result } from "../protocol.js";
import { Draft, type Effect, type Need, type Slice, type Writes } from "./draft.js";
import { edit, EditError, PUSH_CHANGES_MAX, type Intent } from "./edits.js";
import { discard, retry, type Retry } from "./outcomes.js";
import { begin, page, type Arrival } from "./pages.js";
import { answer, send } from "./pushes.js";
import type { CoreModel, Flight, Key, Meta } from "./records.js";
import { isAlive } from "./records.js";
import { asked, refused, unread } from "./refusals.js";

/** What a sign-out does with edits that have no answer. */
export type Unsent = "refuse" | "keep" | "discard";

/** What happens to a client. `newId` is a random id that was never used. */
export type Event =
  | {
      readonly is: "edit";
      readonly intents: readonly Intent[];
      readonly at: string;
      readonly atomic: boolean;
      readonly folds: boolean;
      readonly policy?: Policy;
    }
  /** This tab leads from now on. */
  | { readonly is: "lead" }
  /** A pull or a subscription begins. */
  | { readonly is: "begin" }
  | ({ readonly is: "page" } & Arrival)
  /** A pull or a subscription was refused. */
  | { readonly is: "unread"; readonly refusal: Refusal }
  /** The next push is made, of at most so many changes, or the one under way is sent again. */
  | { readonly is: "send"; readonly limit?: number }
  | { readonly is: "answer"; readonly to: Flight; readonly results: readonly Result[] }
  | { readonly is: "refused"; readonly to: Flight; readonly refusal: Refusal; readonly newId: string }
  /** The answer to an effect `ask`: the last mutation id of its client, 0 if the gateway does not know it. */
  | { readonly is: "asked"; readonly question: number; readonly last: number; readonly newId: string }
  /** The gateway has named the token's user. */
  | { readonly is: "user"; readonly id: string }
  /** These types come again: the app selects more of them than before. */
  | { readonly is: "refresh"; readonly types: readonly string[] }
  /** The app no longer trusts what it keeps: all documents come again. */
  | { readonly is: "reset" }
  /** The user signs out, and what has no answer waits for the next time. */
  | { readonly is: "seal"; readonly unsent: Unsent }
  /** The outcome `n` again; `keys` are the documents of it and of what was dropped because of it. */
  | ({
      readonly is: "retry";
      readonly keys: readonly Key[];
    } & Retry)
  | { readonly is: "discard"; readonly n: number }
  /** Documents that were found dead. `upTo` ends a scan of all documents: the step at which it began. */
  | { readonly is: "sweep"; readonly docs: readonly Key[]; readonly upTo?: number };

/** The records to read for an event. */
export function need(event: Event, meta: Meta, flight: Flight | null): Need {
  switch (event.is) {
    case "edit":
      return needOf(event.intents.map(({ type, id }) => [type, id]));
    case "page":
      return needOfPage(event, meta);
    case "send":
      return flight ? {} : { queue: PUSH_CHANGES_MAX + 1, docsOfQueue: true, lingering: true };
    case "answer":
      return flight ? needOfAnswer(event.results, meta, flight) : {};
    case "refused":
      return { queue: "all", lingering: true };
    case "asked":
      return { queue: "all", docsOfQueue: true, lingering: true };
    case "retry":
      return { ...needOf(event.keys), outcomes: true };
    case "discard":
      return { outcomes: true };
    case "sweep":
      return { docs: event.docs };
    case "seal":
      return { lingering: true };
    case "lead":
    case "begin":
    case "refresh":
    case "reset":
    case "unread":
    case "user":
      return {};
  }
}

function needOf(keys: readonly Key[]): Need {
  return { docs: keys, queue: keys, lingering: true };
}

function needOfPage({ from, page, round }: Arrival, meta: Meta): Need {
  if (from !== meta.checkpoint) return {};
  const otherEpoch = page.reset && meta.pageEpoch !== null && page.epoch !== meta.pageEpoch;
  const confirms = !page.hasMore && round !== null;
  return {
    docs: page.changes.map(({ type, documentId }) => [type, documentId]),
    ...(confirms && { unconfirmed: true, lingering: true }),
    ...(otherEpoch && { queue: "all", lingering: true }),
  };
}

/** The queue is read only if a create says something about the edits that are queued on it. */
function needOfAnswer(results: readonly Result[], meta: Meta, flight: Flight): Need {
  const older = flight.to.id !== meta.client;
  const failed = (at: number): boolean => results[at]?.status === "CONFLICT" || results[at]?.status === "REJECTED";
  const settles = flight.edits.some((edit, at) => edit.op === "create" && (older || failed(at)));
  return { docs: flight.edits.map(({ type, id }) => [type, id]), queue: settles ? "all" : flight.behind };
}

/** What a step does. */
export interface Step {
  readonly writes: Writes;
  readonly effects: readonly Effect[];
}

/**
 * One step of the client.
 *
 * @throws EditError if the view refuses an edit.
 */
export function step(model: CoreModel, slice: Slice, event: Event): Step {
  const draft = new Draft(model, slice);
  apply(draft, event);
  return { writes: draft.writes(), effects: draft.effects };
}

function apply(draft: Draft, event: Event): void {
  switch (event.is) {
    case "edit":
      return edit(draft, event.intents, event);
    case "lead":
      draft.meta.term += 1;
      return;
    case "begin":
      return begin(draft);
    case "page":
      return page(draft, event);
    case "unread":
      return unread(draft, event.refusal);
    case "send":
      return send(draft, event.limit);
    case "answer":
      return answer(draft, event.to, event.results);
    case "refused":
      return refused(draft, event.to, event.refusal, event.newId);
    case "asked":
      return asked(draft, event.question, event.last, event.newId);
    case "user":
      return know(draft, event.id);
    case "refresh":
      draft.meta.refresh = [...new Set([...draft.meta.refresh, ...event.types])];
      return;
    case "reset":
      return reset(draft);
    case "seal":
      return seal(draft, event.unsent);
    case "retry":
      return retry(draft, event);
    case "discard":
      return discard(draft, event.n);
    case "sweep":
      return sweep(draft, event.upTo ?? 0);
  }
}

/** Deletes dead documents. After all of them were looked at, revocations from before that say nothing any more. */
function sweep(draft: Draft, upTo: number): void {
  const { meta } = draft;
  for (const doc of draft.docs()) if (!isAlive(meta, doc)) draft.removeDoc(doc.type, doc.id);
  meta.gone = Object.fromEntries(Object.entries(meta.gone).filter(([, step]) => step > upTo));
}

/** The next page begins with everything. From then on no document has a version until it comes again. */
function reset(draft: Draft): void {
  draft.meta.distrusts = true;
  draft.meta.checkpoint = null;
  draft.effects.push({ do: "reread" });
}

/** Only what the user has made stays. */
function seal(draft: Draft, unsent: Unsent): void {
  const { meta, flight } = draft;
  const waiting = meta.queued + (flight?.edits.length ?? 0);
  if (waiting > 0 && (unsent === "refuse" || (unsent === "keep" && meta.user === null))) {
    const why = unsent === "keep" ? ", and the gateway has never named their user" : "";
    throw new EditError("UNSENT_EDITS", `${waiting} edits have no answer yet${why}`);
  }
  for (const type of Object.keys(draft.model.types)) draft.removeType(type);
  for (const { n } of draft.lingering()) draft.endLingering(n);
  reset(draft);
  meta.sealed = true;
  meta.term += 1;
}

/** A client's documents and edits belong to one user. */
function know(draft: Draft, user: string): void {
  const { meta } = draft;
  meta.user ??= user;
  meta.sealed &&= meta.user !== user;
  if (meta.user === user) return;
  draft.effects.push({ do: "halt", code: "WRONG_USER", message: "the token is another user's" });
}
