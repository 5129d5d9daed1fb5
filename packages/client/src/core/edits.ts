/**
 * Edits on the view (1.9, 1.10), and what becomes of those that wait when creates fail and client ids change (1.14,
 * 1.15).
 */

import type { Body, Policy, Value } from "../protocol.js";
import type { Draft } from "./draft.js";
import { keyText, own } from "./records.js";
import type { Edit } from "./records.js";
import { equal, isIntention, isValue, pick, resolve, type Intention } from "./values.js";

/** The fields of an update, by value or by intention. */
export type Changes = Readonly<Record<string, Value | Intention>>;

/** What the app wants to edit. */
export type Intent =
  | { readonly op: "create"; readonly type: string; readonly id: string; readonly document: Body }
  | {
      readonly op: "update";
      readonly type: string;
      readonly id: string;
      readonly changes: Changes | ((seen: Body) => Changes);
    }
  | { readonly op: "delete"; readonly type: string; readonly id: string };

/** How edits are sent. */
export interface EditOptions {
  /** The device's clock, RFC 3339. */
  readonly at: string;
  readonly policy?: Policy;
  /** All or nothing, on the device and at the gateway. */
  readonly atomic: boolean;
  /** Whether an update may be folded into the one before (1.10). */
  readonly folds: boolean;
}

/** What the user wants cannot be done with the edits that there are. */
export class EditError extends Error {
  override readonly name = "EditError";

  constructor(
    readonly code: "EXISTS" | "GONE" | "INVALID_VALUE" | "SEALED" | "TOO_LARGE" | "UNSENT_EDITS",
    message: string,
  ) {
    super(message);
  }
}

/** Where an intention is allowed. */
const MERGE_OF = { increment: "COUNTER", change: "SET" };

/** How many edits one push carries, and so one transaction. */
export const PUSH_CHANGES_MAX = 500;

/**
 * Queues edits.
 *
 * @throws EditError if the view refuses one; the step is then dropped whole.
 */
export function edit(draft: Draft, intents: readonly Intent[], options: EditOptions): void {
  if (options.atomic && intents.length > PUSH_CHANGES_MAX) {
    throw new EditError("TOO_LARGE", `a transaction has at most ${PUSH_CHANGES_MAX} edits`);
  }
  if (draft.meta.sealed) throw new EditError("SEALED", "the gateway has not named the user yet");
  const tx = options.atomic ? { tx: draft.meta.n } : {};
  const policy = options.policy === undefined ? {} : { policy: options.policy };
  for (const intent of intents) {
    const made: Edit = { ...frozen(draft, intent), at: options.at, ...tx, ...policy };
    const last = draft.queue().at(-1);
    const folded = last && options.folds ? fold(draft, last, made) : undefined;
    draft.putEdit(folded ?? made);
    if (!folded) draft.meta.n += 1;
  }
}

/** The edit with the version and the values that the user sees now. */
function frozen(draft: Draft, intent: Intent): Omit<Edit, "at"> {
  const { op, type, id } = intent;
  const seen = draft.view(type, id);
  const key = { n: draft.meta.n, op, type, id };
  if (intent.op === "create") {
    if (seen) throw new EditError("EXISTS", `${type}/${id} exists`);
    return { ...key, set: resolved(draft, type, {}, intent.document), base: {}, bv: 0 };
  }
  if (!seen) throw new EditError("GONE", `there is no ${type}/${id}`);
  const bv = baseVersion(draft, type, id);
  if (intent.op === "delete") return { ...key, set: {}, base: {}, bv };
  const changes = typeof intent.changes === "function" ? intent.changes(seen) : intent.changes;
  const set = resolved(draft, type, seen, changes);
  return { ...key, set, base: pick(seen, Object.keys(set)), bv };
}

/** The values that changes make of what is seen. An undefined one is no change. */
function resolved(draft: Draft, type: string, seen: Body, changes: Partial<Changes>): Body {
  const merges = own(draft.model.types, type)?.merges ?? {};
  const values: Record<string, Value> = {};
  for (const [field, value] of Object.entries(changes)) {
    if (value === undefined) continue;
    const fits = isIntention(value) ? own(merges, field) === MERGE_OF[value.intent] : isValue(value);
    if (!fits) throw new EditError("INVALID_VALUE", `${type}.${field} does not take this`);
    values[field] = resolve(value, own(seen, field));
  }
  return values;
}

/** 4.5: 0 while the own create has no answer or lingers, even if a page has shown the document. */
function baseVersion(draft: Draft, type: string, id: string): number {
  const creates = (edit: Edit): boolean => edit.op === "create" && edit.type === type && edit.id === id;
  if (draft.unanswered().some(creates)) return 0;
  const lingers = draft.lingering().findLast(creates);
  if (lingers) return lingers.unknown || lingers.by === draft.meta.client ? 0 : -1;
  const doc = draft.doc(type, id);
  if (!doc) return 0;
  return doc.ep === draft.meta.ep ? doc.v : -1;
}

/**
 * 1.10: one update of two, the last one of the queue and a new one of the same document. Not if its fields show
 * otherwise since, or a difference would count twice or not at all.
 */
function fold(draft: Draft, last: Edit, next: Edit): Edit | undefined {
  const plain = last.op === "update" && next.op === "update" && last.tx === undefined && next.tx === undefined;
  const waits = last.sent === undefined && last.n === draft.meta.n - 1;
  const same = last.type === next.type && last.id === next.id && last.policy === next.policy && last.bv === next.bv;
  if (!plain || !waits || !same) return undefined;
  const seen = draft.view(next.type, next.id) ?? {};
  const still = Object.entries(last.set).every(([field, value]) => equal(own(seen, field), value));
  if (!still) return undefined;
  return { ...last, set: { ...last.set, ...next.set }, base: { ...next.base, ...last.base }, at: next.at };
}

/**
 * 1.14: a new client id. What waits is of no known version, except on a create that waits, is under way or is unknown:
 * it may fail.
 */
export function beginClient(draft: Draft, client: string): void {
  draft.meta.client = client;
  draft.meta.next = 1;
  const flying = draft.flight?.edits.filter((it) => it.op === "create") ?? [];
  const created = new Set([...draft.meta.unknownCreates, ...flying.map((it) => keyText(it.type, it.id))]);
  for (const it of draft.queue()) {
    const key = keyText(it.type, it.id);
    if (it.op === "create") created.add(key);
    else if (!(it.bv === 0 && created.has(key))) draft.putEdit({ ...it, bv: -1 });
  }
}

/** 1.11: no copy of what waits can have an effect any more. */
export function forgetCopies(draft: Draft): void {
  for (const { sent, ...edit } of draft.queue()) if (sent) draft.putEdit(edit);
}

/** 4.5: a create took effect that an older client id sent. 0 no longer stands for it. */
export function rebaseOn(draft: Draft, create: Edit): void {
  for (const it of queuedOn(draft.queue(), create)) draft.putEdit({ ...it, bv: -1 });
}

/**
 * 1.15: a create failed. What was queued on it would meet another document, so it is dropped and reported. An edit takes
 * its transaction along, and the creates in there theirs.
 */
export function dropQueuedOn(draft: Draft, failed: Edit): void {
  const creates = [failed];
  for (let create = creates.pop(); create; create = creates.pop()) {
    const lost = queuedOn(draft.queue(), create);
    const transactions = new Set(lost.map((it) => it.tx).filter((tx) => tx !== undefined));
    const dropped = draft.queue().filter((it) => lost.includes(it) || (it.tx !== undefined && transactions.has(it.tx)));
    for (const it of dropped) drop(draft, it, failed.n);
    creates.push(...dropped.filter((it) => it.op === "create"));
  }
}

function drop(draft: Draft, edit: Edit, cause: number): void {
  draft.takeEdit(edit.n);
  draft.putOutcome({ n: edit.n, edit, status: "DROPPED", cause });
}

/** The edits with base 0 after a create, up to another create of the document. */
function queuedOn(queue: readonly Edit[], create: Edit): readonly Edit[] {
  const later = queue.filter((it) => it.n > create.n && it.type === create.type && it.id === create.id);
  const again = later.findIndex((it) => it.op === "create");
  return (again < 0 ? later : later.slice(0, again)).filter((it) => it.bv === 0);
}
