/**
 * Edits on the view (1.9, 1.10), and what becomes of those that wait when creates fail and client ids change (1.14,
 * 1.15).
 */

import type { Body, Policy, Value } from "../protocol.js";
import type { Draft } from "./draft.js";
import { ClientError } from "./errors.js";
import { keyOf, mergeOf, own } from "./records.js";
import type { Edit, Key } from "./records.js";
import { equal, isIntention, isValue, leading, pick, resolve, type Intention } from "./values.js";

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
  /** {@link Meta.notes} from then on. */
  readonly notes?: Readonly<Record<string, Value>>;
}

/** Where an intention is allowed. */
const MERGE_OF = { increment: "COUNTER", change: "SET" };

/** How many edits one push carries, and so one transaction. */
export const PUSH_CHANGES_MAX = 500;

/**
 * Queues edits.
 *
 * @throws ClientError if the view refuses one; the step is then dropped whole.
 */
export function edit(
  draft: Draft,
  { intents, ...options }: EditOptions & { readonly intents: readonly Intent[] },
): void {
  if (options.atomic && intents.length > PUSH_CHANGES_MAX) {
    throw new ClientError("TOO_LARGE", `a transaction has at most ${PUSH_CHANGES_MAX} edits`);
  }
  if (draft.meta.sealed) throw new ClientError("SEALED", "the gateway has not named the user yet");
  const tx = options.atomic ? { tx: draft.meta.n } : {};
  const policy = options.policy === undefined ? {} : { policy: options.policy };
  if (options.notes) draft.meta.notes = options.notes;
  for (const intent of intents) {
    const made: Edit = { ...frozen(draft, intent), at: options.at, ...tx, ...policy };
    const last = draft.queue.all().at(-1);
    const folded = last && options.folds ? fold(draft, last, made) : undefined;
    draft.queue.put(folded ?? made);
    if (!folded) draft.meta.n += 1;
  }
}

/** The edit with the version and the values that the user sees now. */
function frozen(draft: Draft, intent: Intent): Omit<Edit, "at"> {
  const { op, type, id } = intent;
  const seen = draft.view(keyOf(intent));
  const key = { n: draft.meta.n, op, type, id };
  if (intent.op === "create") {
    if (seen) throw new ClientError("EXISTS", `${type}/${id} exists`);
    return { ...key, set: resolved(draft, type, {}, intent.document), base: {}, bv: 0 };
  }
  if (!seen) throw new ClientError("GONE", `there is no ${type}/${id}`);
  const bv = baseVersion(draft, keyOf(intent));
  if (intent.op === "delete") return { ...key, set: {}, base: {}, bv };
  const changes = typeof intent.changes === "function" ? intent.changes(seen) : intent.changes;
  const set = resolved(draft, type, seen, changes);
  return { ...key, set, base: pick(seen, Object.keys(set)), bv };
}

/** The values that changes make of what is seen. An undefined one is no change. */
function resolved(draft: Draft, type: string, seen: Body, changes: Partial<Changes>): Body {
  const values: Record<string, Value> = {};
  for (const [field, value] of Object.entries(changes)) {
    if (value === undefined) continue;
    const fits = isIntention(value) ? mergeOf(draft.model, type, field) === MERGE_OF[value.intent] : isValue(value);
    if (!fits) throw new ClientError("INVALID_VALUE", `${type}.${field} does not take this`);
    values[field] = resolve(value, own(seen, field));
  }
  return values;
}

/** 4.5: 0 while the own create has no answer or lingers, even if a page has shown the document. */
function baseVersion(draft: Draft, key: Key): number {
  const create = draft.editsOf(key).findLast(({ op }) => op === "create");
  const lingers = create && draft.lingering.get(create.n);
  if (lingers) return lingers.unknown || lingers.by === draft.meta.client ? 0 : -1;
  const doc = draft.doc(key);
  if (create || !doc) return 0;
  return doc.ep === draft.meta.ep ? doc.v : -1;
}

/**
 * 1.10: one update of two, the last one of the queue and a new one of the same document. Not if its fields show
 * otherwise since, or a difference would count twice or not at all.
 */
function fold(draft: Draft, last: Edit, next: Edit): Edit | undefined {
  const plain = last.op === "update" && next.op === "update" && last.tx === undefined && next.tx === undefined;
  const waits = last.sent === undefined && last.n === draft.meta.n - 1;
  const same = keyOf(last) === keyOf(next) && last.policy === next.policy && last.bv === next.bv;
  if (!plain || !waits || !same) return undefined;
  const seen = draft.view(keyOf(next)) ?? {};
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
  const created = new Set([...draft.meta.unknownCreates, ...flying.map(keyOf)]);
  for (const it of draft.queue.all()) {
    const key = keyOf(it);
    if (it.op === "create") created.add(key);
    else if (!(it.bv === 0 && created.has(key))) draft.queue.put({ ...it, bv: -1 });
  }
}

/** 1.11: no copy of what waits can have an effect any more. */
export function forgetCopies(draft: Draft): void {
  for (const { sent, ...edit } of draft.queue.all()) if (sent) draft.queue.put(edit);
}

/** 4.5: a create took effect that an older client id sent. 0 no longer stands for it. */
export function rebaseOn(draft: Draft, create: Edit): void {
  for (const it of queuedOn(draft.queue.all(), create)) draft.queue.put({ ...it, bv: -1 });
}

/**
 * 1.15: a create failed. What was queued on it would meet another document, so it is dropped and reported. An edit takes
 * its transaction along, and the creates in there theirs.
 */
export function dropQueuedOn(draft: Draft, failed: Edit): void {
  const creates = [failed];
  for (let create = creates.pop(); create; create = creates.pop()) {
    const lost = queuedOn(draft.queue.all(), create);
    const transactions = new Set(lost.map((it) => it.tx).filter((tx) => tx !== undefined));
    const dropped = draft.queue
      .all()
      .filter((it) => lost.includes(it) || (it.tx !== undefined && transactions.has(it.tx)));
    for (const it of dropped) drop(draft, it, failed.n);
    creates.push(...dropped.filter((it) => it.op === "create"));
  }
}

function drop(draft: Draft, edit: Edit, cause: number): void {
  draft.queue.remove(edit.n);
  draft.outcomes.put({ n: edit.n, edit, status: "DROPPED", cause });
}

/** The edits with base 0 after a create, up to another create of the document. */
function queuedOn(queue: readonly Edit[], create: Edit): readonly Edit[] {
  const later = queue.filter((it) => it.n > create.n && keyOf(it) === keyOf(create));
  return leading(later, (it) => it.op !== "create").filter((it) => it.bv === 0);
}
