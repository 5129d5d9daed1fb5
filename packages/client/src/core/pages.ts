/**
 * Taking in pages: rules 1.1 to 1.4, and the part of 1.6 and 1.7 that pages play.
 */

import type { Change, Page } from "../protocol.js";
import { beginSweep, compare, forget, SCOPE } from "./digests.js";
import type { Draft } from "./draft.js";
import { beginClient } from "./edits.js";
import { keyOf, own, versionOf } from "./records.js";
import type { Flight } from "./records.js";

/** A page on its way to the client. */
export interface Arrival {
  readonly page: Page;
  /** The checkpoint that it continues from. */
  readonly from: string | null;
  /** The types that were asked for, and those that were asked for once more. */
  readonly types: readonly string[];
  readonly refresh: readonly string[];
  /** The scopes that were asked for again. */
  readonly reread?: readonly string[];
  /** The round that asked for it; null if it is live. */
  readonly round: number | null;
  /** An unused client id, in case that the page begins another epoch. */
  readonly newId: string;
}

/** A pull or a subscription begins. */
export function begin(draft: Draft): void {
  draft.meta.round += 1;
  const { checkpoint, round, refresh, differing } = draft.meta;
  const reread = Object.entries(differing ?? {}).flatMap(([scope, asks]) => (asks ? [scope] : []));
  draft.effects.push({ do: "pull", checkpoint, round, refresh, reread });
}

/** Takes in a page, whole. One that does not continue from the client's checkpoint is dropped (1.1). */
export function page(draft: Draft, arrival: Arrival): void {
  const { meta } = draft;
  if (arrival.from !== meta.checkpoint) return;
  const { page } = arrival;
  turnTo(draft, arrival.types);
  if (page.reset) beginReset(draft, page.epoch, arrival.newId);
  meta.epoch = meta.pageEpoch = page.epoch;
  revoke(draft, page.revokedScopes);
  if (draft.flight) draft.flight = remember(draft.flight, page.changes);
  for (const change of page.changes) take(draft, change);
  meta.checkpoint = page.checkpoint;
  meta.refresh = meta.refresh.filter((type) => !arrival.refresh.includes(type));
  const reread = (arrival.reread ?? []).map((scope) => [scope, false] as const);
  if (meta.differing) meta.differing = { ...meta.differing, ...Object.fromEntries(reread) };
  if (page.hasMore) return;
  end(draft, arrival.round, page.serverTime);
  compare(draft, arrival);
}

/** From this page on nothing comes of the types that are no longer asked for, so their documents go. */
function turnTo(draft: Draft, types: readonly string[]): void {
  for (const type of draft.meta.types) if (!types.includes(type)) draft.removeType(type);
  draft.meta.types = types;
}

/** 1.4: all documents are unseen; in another epoch they have no version either. */
function beginReset(draft: Draft, epoch: string, newId: string): void {
  const { meta } = draft;
  const known = meta.pageEpoch;
  meta.no += 1;
  meta.differing = null;
  // Nothing is seen, so all that is seen is counted.
  beginSweep(draft);
  meta.swept = null;
  if (draft.flight) draft.flight = { ...draft.flight, crossed: true };
  if (epoch === known && !meta.distrusts) return;
  meta.ep += 1;
  meta.distrusts = false;
  if (known !== null && epoch !== known) beginClient(draft, newId);
}

/** All that was stored of these scopes before this step is dead. */
function revoke(draft: Draft, scopes: readonly string[]): void {
  const { meta, flight } = draft;
  if (scopes.length === 0) return;
  // The sweep that ends forgets them.
  if (meta.swept !== null) beginSweep(draft);
  forget(draft, SCOPE, scopes);
  meta.gone = { ...meta.gone, ...Object.fromEntries(scopes.map((scope) => [scope, meta.step - 1])) };
  if (flight) draft.flight = { ...flight, revoked: [...flight.revoked, ...scopes] };
}

/** 1.2 and 1.3. */
function take(draft: Draft, change: Change): void {
  const { type, documentId: id, kind, version, scope } = change;
  const { meta, docs } = draft;
  const key = keyOf({ type, id });
  const doc = draft.doc(key);
  const stamps = { ep: meta.ep, seen: meta.no, at: meta.step };
  if (doc && version <= versionOf(meta, doc)) {
    if (kind !== "UPSERT") return;
    if (version < versionOf(meta, doc)) return docs.put({ ...doc, seen: meta.no });
    const { u, ...confirmed } = doc;
    return docs.put({ ...confirmed, seen: meta.no, body: change.document ?? doc.body });
  }
  if (kind === "UPSERT") {
    if (change.document) docs.put({ type, id, v: version, scope, body: change.document, ...stamps });
  } else if (kind === "DELETE" || doc?.scope === scope) docs.remove(key);
}

/** 1.6: an answer on its way could bring back what a page removes. */
function remember(flight: Flight, changes: readonly Change[]): Flight {
  const [deleted, left] = [{ ...flight.deleted }, { ...flight.left }];
  for (const { type, documentId: id, kind, version, scope } of changes) {
    const key = keyOf({ type, id });
    if (kind === "DELETE") raise(deleted, key, version);
    if (kind === "REVOKE") raise(left, leftKey(key, scope), version);
  }
  return { ...flight, deleted, left };
}

function raise(versions: Record<string, number>, key: string, version: number): void {
  versions[key] = Math.max(own(versions, key) ?? 0, version);
}

/** The key of a remembered REVOKE: it speaks of one scope. */
export function leftKey(key: string, scope: string): string {
  return `${key}\u0000${scope}`;
}

/** There is nothing more to read: what a reset left unseen goes, and what a pull should have shown and did not. */
function end(draft: Draft, round: number | null, serverTime: string | undefined): void {
  const { meta, docs, lingering } = draft;
  meta.syncedAt = serverTime ?? meta.syncedAt;
  meta.floor = meta.no;
  if (round === null) return;
  for (const doc of docs.all()) if (doc.u !== undefined && doc.u < round) docs.remove(keyOf(doc));
  for (const { n, heard } of lingering.all()) if (heard < round) lingering.remove(n);
}
