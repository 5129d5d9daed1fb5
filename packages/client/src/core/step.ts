/**
 * The client's side of rules.md as a state machine: an event and the records that it needs give the records to write and
 * what to do next. There is no clock, network, storage or randomness in it.
 */

import type { Refusal } from "../protocol.js";
import { beginSweep, sweep } from "./digests.js";
import { Draft, type Effect, type Need, type Slice, type Writes } from "./draft.js";
import { edit, PUSH_CHANGES_MAX, type EditOptions, type Intent } from "./edits.js";
import { ClientError } from "./errors.js";
import { discard, retry, type Retry } from "./outcomes.js";
import { begin, page, type Arrival } from "./pages.js";
import { answer, send, type Answer } from "./pushes.js";
import type { CoreModel, Flight, Key, Meta } from "./records.js";
import { keyOf, unsentOf } from "./records.js";
import { asked, refused, unread, type LastId, type RefusedPush } from "./refusals.js";

/** What a sign-out does with edits that have no answer. */
export type Unsent = "refuse" | "keep" | "discard";

/** What happens to a client. `newId` is a random id that was never used. */
export type Event =
  | ({ readonly is: "edit"; readonly intents: readonly Intent[] } & EditOptions)
  /** This tab leads from now on. */
  | { readonly is: "lead" }
  /** A pull or a subscription begins. */
  | { readonly is: "begin" }
  | ({ readonly is: "page" } & Arrival)
  /** A pull or a subscription was refused. */
  | { readonly is: "unread"; readonly refusal: Refusal }
  /** The next push is made, of at most so many changes, or the one under way is sent again. */
  | { readonly is: "send"; readonly limit?: number }
  | ({ readonly is: "answer" } & Answer)
  | ({ readonly is: "refused" } & RefusedPush)
  | ({ readonly is: "asked" } & LastId)
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
  /** The next part of all documents is looked at. */
  | { readonly is: "sweep" };

/** What an event reads, and what it does. */
interface Kind<E> {
  readonly need?: (event: E, meta: Meta, flight: Flight | null) => Need;
  readonly apply: (draft: Draft, event: E) => void;
}

const KINDS: { readonly [K in Event["is"]]: Kind<Extract<Event, { readonly is: K }>> } = {
  edit: { need: ({ intents }) => needOf(intents.map(keyOf)), apply: edit },
  lead: {
    apply: (draft) => {
      draft.meta.term += 1;
      // Nothing is compared yet: what a disk has lost since is asked for again.
      draft.meta.differing = null;
      beginSweep(draft);
    },
  },
  begin: { apply: begin },
  page: { need: needOfPage, apply: page },
  unread: { apply: unread },
  send: {
    need: (_, __, flight) => (flight ? {} : { queue: PUSH_CHANGES_MAX + 1, docsOfQueue: true, lingering: true }),
    apply: send,
  },
  answer: { need: needOfAnswer, apply: answer },
  refused: { need: () => ({ queue: "all", lingering: true }), apply: refused },
  asked: { need: () => ({ queue: "all", docsOfQueue: true, lingering: true }), apply: asked },
  user: { apply: know },
  refresh: {
    apply: ({ meta }, { types }) => {
      meta.refresh = [...new Set([...meta.refresh, ...types])];
    },
  },
  reset: { apply: reset },
  seal: { need: () => ({ lingering: true }), apply: seal },
  retry: { need: ({ keys }) => ({ ...needOf(keys), outcomes: true }), apply: retry },
  discard: { need: () => ({ outcomes: true }), apply: discard },
  sweep: { need: (_, { swept }) => ({ after: swept ?? "" }), apply: sweep },
};

/** The records to read for an event. */
export function need(event: Event, meta: Meta, flight: Flight | null): Need {
  return kindOf(event).need?.(event, meta, flight) ?? {};
}

function kindOf(event: Event): Kind<Event> {
  return KINDS[event.is] as Kind<Event>;
}

function needOf(keys: readonly Key[]): Need {
  return { docs: keys, queue: keys, lingering: true };
}

function needOfPage({ from, page, round }: Arrival, meta: Meta): Need {
  if (from !== meta.checkpoint) return {};
  const otherEpoch = page.reset && meta.pageEpoch !== null && page.epoch !== meta.pageEpoch;
  const confirms = !page.hasMore && round !== null;
  return {
    docs: page.changes.map(({ type, documentId: id }) => keyOf({ type, id })),
    ...(confirms && { unconfirmed: true, lingering: true }),
    ...(otherEpoch && { queue: "all", lingering: true }),
  };
}

/** The queue is read only if a create says something about the edits that are queued on it. */
function needOfAnswer({ results }: Answer, meta: Meta, flight: Flight | null): Need {
  if (!flight) return {};
  const older = flight.to.id !== meta.client;
  const failed = (at: number): boolean => results[at]?.status === "CONFLICT" || results[at]?.status === "REJECTED";
  const settles = flight.edits.some((edit, at) => edit.op === "create" && (older || failed(at)));
  return { docs: flight.edits.map(keyOf), queue: settles ? "all" : flight.behind };
}

/** What a step does. */
export interface Step {
  readonly writes: Writes;
  readonly effects: readonly Effect[];
  /** The documents that show otherwise, perhaps; dead ones are not named. */
  readonly touched: ReadonlySet<Key>;
}

/**
 * One step of the client.
 *
 * @throws ClientError if the view refuses an edit.
 */
export function step(model: CoreModel, slice: Slice, event: Event): Step {
  const draft = new Draft(model, slice);
  kindOf(event).apply(draft, event);
  return { writes: draft.writes(), effects: draft.effects, touched: draft.touched };
}

/** The next page begins with everything. From then on no document has a version until it comes again. */
function reset(draft: Draft): void {
  draft.meta.distrusts = true;
  draft.meta.checkpoint = null;
  draft.effects.push({ do: "reread" });
}

/** Only what the user has made stays. */
function seal(draft: Draft, { unsent }: { readonly unsent: Unsent }): void {
  const { meta, lingering } = draft;
  const waiting = unsentOf(meta, draft.flight);
  if (waiting > 0 && (unsent === "refuse" || (unsent === "keep" && meta.user === null))) {
    throw new ClientError("UNSENT_EDITS", `${waiting} edits of ${meta.user ?? "an unknown user"} have no answer yet`);
  }
  for (const type of Object.keys(draft.model.types)) draft.removeType(type);
  for (const { n } of lingering.all()) lingering.remove(n);
  reset(draft);
  meta.sealed = true;
  meta.notes = {};
  meta.term += 1;
}

/** A client's documents and edits belong to one user. */
function know({ meta, effects }: Draft, { id: user }: { readonly id: string }): void {
  meta.user ??= user;
  meta.sealed &&= meta.user !== user;
  if (meta.user === user) return;
  effects.push({ do: "halt", code: "WRONG_USER", message: "the token is another user's" });
}
