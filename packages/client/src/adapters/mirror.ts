/**
 * One collection of RxDB that mirrors the client's. RxDB's replication protocol runs between the two, on the device.
 */

import { getAssumedMasterState, type RxCollection, type RxDocumentData, type RxReplicationPullStreamItem } from "rxdb";
import { replicateRxCollection, type RxReplicationState } from "rxdb/plugins/replication";
import { getHeightOfRevision } from "rxdb/plugins/utils";
import { Subject } from "rxjs";
import { standOf, type Touched } from "../client/engine.js";
import type { Inside } from "../client/inside.js";
import { report, type Live } from "../client/live.js";
import { editsOf, type Slice } from "../core/draft.js";
import type { Intent } from "../core/edits.js";
import { ClientError } from "../core/errors.js";
import { isAlive, keyOf, own, type Edit } from "../core/records.js";
import { view } from "../core/view.js";
import type { Body, Value } from "../protocol.js";
import { foundNow } from "./found.js";
import { Lineage } from "./lineage.js";
import { LOCAL, Rows, type Note, type Row, type RxDoc } from "./rows.js";
import { Written } from "./written.js";

export type { RxDoc } from "./rows.js";

/** Where RxDB's pull stands: in which comparison, and how far. */
export interface Checkpoint {
  readonly run: number;
  readonly at: number;
}

/** Rows that become edits in one step. */
const STEP_ROWS = 100;

/** How many times a view that changes while a step is made is read again. */
const TRIES = 3;

/** Changes of a frame come together. */
const FRAME_MS = 16;

/** How long RxDB has to be at rest until what it shows is compared, and until its rows are settled. */
const REST_MS = 10;
const SETTLED_MS = 1_000;

/** How often a document that RxDB shows otherwise is given to it again, and after how many times it is written there. */
const HEALS_MAX = 20;
const STREAMED_MAX = 3;

/** How often documents are compared while another tab replicates. */
const WAIT_MS = 100;

/** The context of what the mirror writes into RxDB itself. Replications of RxDB have names that begin so, too. */
const CONTEXT = "replication-tidegate";

/** A row that cannot become an edit. */
export interface Refusal {
  readonly type: string;
  /** The document as RxDB had it. */
  readonly document: RxDoc;
  readonly error: ClientError;
}

/** What a mirror needs. */
export interface MirrorOptions {
  readonly inside: Inside;
  readonly type: string;
  readonly collection: RxCollection;
  /** Carries out one work after the other, those of other collections too. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  /** Gets rows that cannot become edits. */
  readonly onRefused: (refusal: Refusal) => void;
}

/** A collection of RxDB that follows the client's, and whose writes are edits of it. */
export class Mirror {
  /** RxDB's own state: its `error$`, `active$` and so on. */
  readonly replication: RxReplicationState<RxDoc, Checkpoint>;
  readonly #rows: Rows;
  readonly #lineage = new Lineage();
  readonly #written: Written;
  readonly #stream = new Subject<RxReplicationPullStreamItem<RxDoc, Checkpoint>>();
  /** Documents that may be shown otherwise, and how often they were given to RxDB again. */
  readonly #doubtful = new Map<string, number>();
  /** Documents that have changed in this frame. */
  readonly #changed = new Set<string>();
  #allChanged = false;
  #frame: ReturnType<typeof setTimeout> | undefined;
  #run = Math.floor(Math.random() * 1e9);
  /** What a pull has still to bring. */
  #differing: readonly string[] = [];
  /** How many pushes have begun. */
  #pushes = 0;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #ends: (() => void)[] = [];

  constructor(readonly options: MirrorOptions) {
    const { inside, type, collection } = options;
    this.#rows = new Rows(inside.model, type, collection.schema.jsonSchema as never);
    this.#written = new Written((ids) => this.#alike(ids));
    this.replication = replicateRxCollection<RxDoc, Checkpoint>({
      collection: collection as RxCollection<RxDoc>,
      replicationIdentifier: `tidegate ${type}`,
      live: true,
      retryTime: 500,
      // Batches would run side by side. One is as large as need be.
      push: { batchSize: 1e9, handler: (rows) => options.inTurn(() => this.#push(rows as unknown as Row[])) },
      pull: { batchSize: 1_000, handler: (since, size) => this.#pull(since, size), stream$: this.#stream },
    });
    replicateOnlyInLeader(this.replication);
    this.#ends.push(inside.engine.listen((touched) => this.#hear(touched)));
    const writes = collection.eventBulks$.subscribe(({ context, events }) => {
      const ids = events.map(({ documentId }) => documentId);
      if (!context.startsWith("replication-")) this.#written.add(ids);
      else if (ids.some((id) => this.#written.has(id))) this.#written.compare();
    });
    const rests = this.replication.active$.subscribe((isActive) => {
      this.#clearTimers();
      if (isActive || !this.#isStarted) return;
      this.#later(REST_MS, () => this.#heal());
      this.#later(SETTLED_MS, () => this.#settle());
    });
    this.#ends.push(
      () => rests.unsubscribe(),
      () => writes.unsubscribe(),
      () => this.#written.end(),
    );
  }

  /** How many documents of the app have writes that are not edits yet. */
  get unsent(): Live<number> {
    return this.#written.count;
  }

  /** One tab replicates for all. */
  get #isStarted(): boolean {
    return this.replication.internalReplicationState !== undefined;
  }

  /** Resolves when RxDB shows what the client shows, and all rows are edits. */
  async inSync(): Promise<void> {
    for (;;) {
      const here = this.#isStarted || !this.options.collection.database.multiInstance;
      if (here) await this.replication.awaitInSync();
      if ((await this.#differences()).length === 0) return;
      await new Promise((resolve) => setTimeout(resolve, here ? REST_MS : WAIT_MS));
      if (here) await this.#heal();
    }
  }

  /** Ends the replication. RxDB keeps what it has. */
  async stop(): Promise<void> {
    this.#end();
    await this.replication.cancel();
  }

  /** Removes the collection with what the replication has stored beside it. */
  async remove(): Promise<void> {
    this.#end();
    await this.replication.remove();
    await this.options.collection.remove();
  }

  #end(): void {
    for (const end of this.#ends.splice(0)) end();
    this.#clearTimers();
  }

  #clearTimers(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #later(ms: number, work: () => Promise<unknown>): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (this.#ends.length > 0) work().catch(ignoreClosed);
    }, ms);
    this.#timers.add(timer);
  }

  /** Steps of this tab and of others. */
  #hear({ all, keys }: Touched): void {
    const prefix = keyOf({ type: this.options.type, id: "" });
    for (const key of keys) if (key.startsWith(prefix)) this.#changed.add(key.slice(prefix.length));
    this.#allChanged ||= all;
    if (!this.#allChanged && this.#changed.size === 0) return;
    this.#written.compare();
    if (this.#frame !== undefined) return;
    this.#frame = setTimeout(() => {
      this.#frame = undefined;
      if (this.#ends.length > 0) this.#tell().catch(ignoreClosed);
    }, FRAME_MS);
  }

  /** Gives RxDB what has changed in this frame. */
  async #tell(): Promise<void> {
    const [all, ids] = [this.#allChanged, [...this.#changed]];
    this.#allChanged = false;
    this.#changed.clear();
    if (all) this.#stream.next("RESYNC");
    else await this.#give(ids);
  }

  /** RxDB drops what it is given of a document that it has just written itself: so it is compared later. */
  async #give(ids: readonly string[]): Promise<void> {
    const documents = await this.#shownOf(ids);
    if (documents.length > 0) this.#stream.next({ documents, checkpoint: { run: 0, at: 0 } });
  }

  /** The documents of these that RxDB shows otherwise, as the client shows them. */
  async #shownOf(ids: readonly string[]): Promise<RxDoc[]> {
    const [views, docs] = await Promise.all([this.#views(ids), this.#docs(ids)]);
    const differing = ids.filter((id) => !this.#rows.isShown(docs.get(id), views.get(id)));
    for (const id of differing) this.#doubtful.set(id, this.#doubtful.get(id) ?? 0);
    return differing.map((id) => this.#given(id, views.get(id)));
  }

  /** The view as it is given to RxDB. */
  #given(id: string, body: Body | undefined): RxDoc {
    const state = this.#rows.shown(id, body);
    this.#lineage.know(state);
    return state;
  }

  /** What RxDB shows otherwise. Each run begins with another comparison of everything. */
  async #pull(since: Checkpoint | undefined, size: number): Promise<{ documents: RxDoc[]; checkpoint: Checkpoint }> {
    const goesOn = since?.run === this.#run && this.#differing.length > 0;
    const at = goesOn ? since.at : 0;
    if (!goesOn) {
      this.#differing = await this.#differences();
      this.#run += 1;
      this.#written.add(await this.#ownOf(this.#differing));
    }
    const ids = this.#differing.slice(at, at + size);
    const documents = await this.#shownOf(ids);
    const end = at + ids.length;
    if (end >= this.#differing.length) this.#differing = [];
    return { documents, checkpoint: { run: this.#run, at: end } };
  }

  async #differences(): Promise<readonly string[]> {
    const { inside, type, collection } = this.options;
    const views = new Map((await foundNow(inside, type)).map((body) => [body.id as string, body]));
    const docs = await (collection as RxCollection<{ id: string }>).find().exec();
    const shown = new Map(docs.map((doc) => [doc.id, { ...doc.toJSON(), _deleted: false }]));
    const ids = new Set([...views.keys(), ...shown.keys()]);
    return [...ids].filter((id) => !this.#rows.isShown(shown.get(id), views.get(id)));
  }

  /** Gives what RxDB has dropped again. */
  async #heal(): Promise<void> {
    if (!this.#isStarted) return;
    const ids = [...this.#doubtful.keys()];
    const [views, docs] = await Promise.all([this.#views(ids), this.#docs(ids)]);
    const given: RxDoc[] = [];
    for (const id of ids) {
      const heals = this.#doubtful.get(id) ?? 0;
      if (heals >= HEALS_MAX || this.#rows.isShown(docs.get(id), views.get(id))) {
        if (heals >= HEALS_MAX) report(new Error(`RxDB does not take ${this.options.type}/${id}`));
        this.#doubtful.delete(id);
        continue;
      }
      this.#doubtful.set(id, heals + 1);
      if (heals < STREAMED_MAX) given.push(this.#given(id, views.get(id)));
      else await this.options.inTurn(() => this.#write(id));
    }
    if (given.length > 0) this.#stream.next({ documents: given, checkpoint: { run: 0, at: 0 } });
  }

  /**
   * RxDB takes nothing of a document whose row it could not note, and repeats no row that it lost by an error: so the row
   * becomes an edit, and the view is written.
   */
  async #write(id: string): Promise<void> {
    const { replication, options } = this;
    const { storageInstance } = options.collection;
    const [doc] = await this.#stored([id]);
    if (!replication.internalReplicationState || !doc) return;
    const assumed = (await getAssumedMasterState(replication.internalReplicationState, [id]))[id]?.docData;
    await this.#edit([{ ...(assumed && { assumedMasterState: assumed }), newDocumentState: stateOf(doc) }]);
    const view = (await this.#views([id])).get(id);
    if (this.#rows.isShown(stateOf(doc), view)) return;
    const { _attachments, _meta, _rev } = doc;
    const document = { ...this.#given(id, view), _attachments, _meta, _rev };
    await storageInstance.bulkWrite([{ previous: doc, document }], CONTEXT);
  }

  /** RxDB has noted the answers to all rows. */
  async #settle(): Promise<void> {
    const pushes = this.#pushes;
    await this.replication.awaitInSync();
    await this.options.inTurn(async () => {
      if (pushes !== this.#pushes || this.options.inside.isClosed()) return;
      this.#lineage.forget(this.#doubtful);
      await this.#forgetNotes();
    });
  }

  async #forgetNotes(): Promise<void> {
    const { inside, type } = this.options;
    const { notes = {} } = (await inside.engine.storage.read({})).meta;
    const others = Object.entries(notes).filter(([key]) => !key.startsWith(keyOf({ type, id: "" })));
    if (others.length < Object.keys(notes).length) await inside.edit([], { notes: Object.fromEntries(others) });
  }

  /**
   * Rows become edits in their order. Where the client shows another document then, RxDB is given it at its next rest. As
   * the answer it would be a conflict, and RxDB would not see a write that makes of the document again what it was.
   */
  async #push(rows: readonly Row[]): Promise<RxDoc[]> {
    this.#pushes += 1;
    for (let at = 0; at < rows.length; at += STEP_ROWS) await this.#edit(rows.slice(at, at + STEP_ROWS));
    const states = rows.map(({ newDocumentState }) => newDocumentState);
    for (const { id } of states) this.#doubtful.set(id as string, 0);
    // What the app has deleted leaves no text.
    return states.filter((state) => this.#rows.hasText(state)).map(({ id }) => this.#given(id as string, undefined));
  }

  async #edit(rows: readonly Row[], tries = TRIES): Promise<void> {
    const { inside, type, onRefused } = this.options;
    const ids = rows.map(({ newDocumentState: { id } }) => id as string);
    const [{ meta }, views] = await Promise.all([inside.engine.storage.read({}), this.#views(ids)]);
    const notes: Record<string, Value> = { ...meta.notes };
    const intents: Intent[] = [];
    for (const row of rows) {
      const { newDocumentState: now } = row;
      const key = keyOf({ type, id: now.id as string });
      const seen = await this.#seenBy(row, own(notes, key) as Note | undefined);
      const intent = this.#rows.intentOf(seen, now, views.get(now.id as string));
      if (intent) intents.push(intent);
      notes[key] = this.#rows.noteOf(row) as unknown as Value;
    }
    try {
      await inside.edit(intents, { notes });
    } catch (error) {
      if (!(error instanceof ClientError) || !["GONE", "EXISTS", "INVALID_VALUE"].includes(error.code)) throw error;
      if (rows.length > 1) for (const row of rows) await this.#edit([row]);
      else if (tries > 0 && error.code !== "INVALID_VALUE") await this.#edit(rows, tries - 1);
      else if (rows[0]) refuse({ type, document: rows[0].newDocumentState, error }, onRefused);
    }
    for (const { newDocumentState } of rows) this.#lineage.know(newDocumentState);
  }

  /** The state that the app has changed in a row. RxDB names the one that it has noted, which may be an older one. */
  async #seenBy(row: Row, note: Note | undefined): Promise<RxDoc | undefined> {
    const { assumedMasterState: assumed, newDocumentState: now } = row;
    // What the app inserts has no number, and is another document when RxDB knows that the one before is gone.
    const isInserted = now[LOCAL] === undefined && assumed?.[LOCAL] !== undefined;
    const known = isInserted ? undefined : this.#lineage.originOf(now);
    if (known) return known;
    if (note && this.#rows.isNoteOf(note, row)) return note.now as RxDoc;
    if (assumed?.[LOCAL] === now[LOCAL]) return assumed;
    // Given before the page was closed, and not noted.
    const [doc] = await this.#stored([now.id as string]);
    return doc && !isOwn(doc) && this.#rows.isSame(stateOf(doc), now) ? now : assumed;
  }

  /** The documents of these that RxDB and the client show alike. */
  async #alike(ids: readonly string[]): Promise<readonly string[]> {
    const { engine } = this.options.inside;
    const docs = await this.#docs(ids);
    const { slice, views } = await this.#read(ids);
    // The status counts their edits before they stop to count as rows.
    engine.hear({ all: false, keys: new Set(), outcomes: false, queued: false, stand: standOf(slice) });
    return ids.filter((id) => this.#rows.isShown(docs.get(id), views.get(id)));
  }

  /** What the client shows. */
  async #views(ids: readonly string[]): Promise<ReadonlyMap<string, Body>> {
    return ids.length === 0 ? new Map() : (await this.#read(ids)).views;
  }

  /** What the client shows, as of one moment. */
  async #read(ids: readonly string[]): Promise<{ slice: Slice; views: ReadonlyMap<string, Body> }> {
    const { inside, type } = this.options;
    await inside.opened;
    if (inside.isClosed()) throw new ClientError("CLOSED", "the client is closed");
    const keys = ids.map((id) => keyOf({ type, id }));
    const slice = await inside.engine.storage.read({ docs: keys, queue: keys, lingering: true });
    if (inside.hides()) return { slice, views: new Map() };
    const held = new Map(slice.docs.filter((doc) => isAlive(slice.meta, doc)).map((doc) => [doc.id, doc.body]));
    const edits = new Map<string, Edit[]>();
    for (const edit of editsOf(slice)) {
      if (edit.type === type) edits.set(edit.id, [...(edits.get(edit.id) ?? []), edit]);
    }
    const views = ids.map((id) => [id, view(inside.model, held.get(id), edits.get(id) ?? [])] as const);
    return { slice, views: new Map(views.filter((it): it is readonly [string, Body] => it[1] !== undefined)) };
  }

  /** What RxDB shows. */
  async #docs(ids: readonly string[]): Promise<ReadonlyMap<string, RxDoc>> {
    const found = await this.#stored(ids);
    return new Map(found.filter(({ _deleted }) => !_deleted).map((doc) => [doc.id as string, doc]));
  }

  /** What the app has written last, of these. */
  async #ownOf(ids: readonly string[]): Promise<readonly string[]> {
    return (await this.#stored(ids)).filter(isOwn).map(({ id }) => id as string);
  }

  /** With what is deleted. */
  async #stored(ids: readonly string[]): Promise<readonly Stored[]> {
    return (await this.options.collection.storageInstance.findDocumentsById([...ids], true)) as readonly Stored[];
  }
}

/** RxDB also starts in each tab that becomes visible. Two that push the same row would make two edits of it. */
function replicateOnlyInLeader(replication: RxReplicationState<RxDoc, Checkpoint>): void {
  const start = replication.start.bind(replication);
  replication.start = () => (replication.collection.database.isLeader() ? start() : Promise.resolve());
}

/** A document as it is in RxDB's storage. */
type Stored = RxDocumentData<RxDoc>;

function stateOf({ _attachments, _meta, _rev, ...state }: Stored): RxDoc {
  return state;
}

/** RxDB marks the revisions that its replications write. */
function isOwn({ _meta: { o: mark }, _rev }: Stored): boolean {
  return mark?._rev !== getHeightOfRevision(_rev);
}

function refuse(refusal: Refusal, onRefused: (refusal: Refusal) => void): void {
  try {
    onRefused(refusal);
  } catch (mistake) {
    report(mistake);
  }
}

/** What a closed client would have shown, nobody sees any more. */
function ignoreClosed(failure: unknown): void {
  if (!(failure instanceof ClientError) || failure.code !== "CLOSED") report(failure);
}
