/**
 * One collection of RxDB that mirrors the client's. RxDB's replication protocol runs between the two, on the device.
 */

import type { RxCollection, RxReplicationPullStreamItem } from "rxdb";
import { replicateRxCollection, type RxReplicationState } from "rxdb/plugins/replication";
import { Subject } from "rxjs";
import type { Touched } from "../client/engine.js";
import type { Inside } from "../client/inside.js";
import { report } from "../client/live.js";
import { editsOf } from "../core/draft.js";
import type { Intent } from "../core/edits.js";
import { ClientError } from "../core/errors.js";
import { isAlive, keyOf, own, type Edit } from "../core/records.js";
import { view } from "../core/view.js";
import type { Body, Value } from "../protocol.js";
import { foundNow } from "./found.js";
import { Rows, type Note, type Row, type RxDoc } from "./rows.js";

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

/** How often a document that RxDB shows otherwise is given to it again. */
const HEALS_MAX = 20;

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
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #ends: (() => void)[] = [];

  constructor(readonly options: MirrorOptions) {
    const { inside, type, collection } = options;
    this.#rows = new Rows(inside.model, type, collection.schema.jsonSchema as never);
    this.replication = replicateRxCollection<RxDoc, Checkpoint>({
      collection: collection as RxCollection<RxDoc>,
      replicationIdentifier: `tidegate ${type}`,
      live: true,
      retryTime: 500,
      // Batches would run side by side. One is as large as need be.
      push: { batchSize: 1e9, handler: (rows) => options.inTurn(() => this.#push(rows as unknown as Row[])) },
      pull: { batchSize: 1_000, handler: (since, size) => this.#pull(since, size), stream$: this.#stream },
    });
    this.#ends.push(inside.engine.listen((touched) => this.#hear(touched)));
    const rests = this.replication.active$.subscribe((isActive) => {
      this.#clearTimers();
      if (isActive) return;
      this.#later(REST_MS, () => this.#heal());
      this.#later(SETTLED_MS, () => options.inTurn(() => this.#forgetNotes()));
    });
    this.#ends.push(() => rests.unsubscribe());
  }

  /** Resolves when RxDB shows what the client shows, and all rows are edits. */
  async inSync(): Promise<void> {
    for (;;) {
      await this.replication.awaitInSync();
      if ((await this.#differences()).length === 0) return;
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
      await this.#heal();
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
    if (this.#frame !== undefined || (!this.#allChanged && this.#changed.size === 0)) return;
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
    return differing.map((id) => this.#rows.shown(id, views.get(id)));
  }

  /** What RxDB shows otherwise. Each run begins with another comparison of everything. */
  async #pull(since: Checkpoint | undefined, size: number): Promise<{ documents: RxDoc[]; checkpoint: Checkpoint }> {
    const goesOn = since?.run === this.#run && this.#differing.length > 0;
    const at = goesOn ? since.at : 0;
    if (!goesOn) {
      this.#differing = await this.#differences();
      this.#run += 1;
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
      given.push(this.#rows.shown(id, views.get(id)));
    }
    if (given.length > 0) this.#stream.next({ documents: given, checkpoint: { run: 0, at: 0 } });
  }

  /** RxDB has noted the answers to all rows. */
  async #forgetNotes(): Promise<void> {
    const { inside, type } = this.options;
    const { notes = {} } = (await inside.engine.storage.read({})).meta;
    const others = Object.entries(notes).filter(([key]) => !key.startsWith(keyOf({ type, id: "" })));
    if (others.length < Object.keys(notes).length) await inside.edit([], { notes: Object.fromEntries(others) });
  }

  /** Rows become edits in their order. Where the client shows another document then, RxDB is given that one. */
  async #push(rows: readonly Row[]): Promise<RxDoc[]> {
    for (let at = 0; at < rows.length; at += STEP_ROWS) await this.#edit(rows.slice(at, at + STEP_ROWS));
    const ids = rows.map(({ newDocumentState: { id } }) => id as string);
    const views = await this.#views(ids);
    const differing = rows.filter(({ newDocumentState: now }) => {
      return !this.#rows.isShown(now, views.get(now.id as string));
    });
    for (const id of ids) this.#doubtful.set(id, 0);
    return differing.map(({ newDocumentState: { id } }) => this.#rows.shown(id as string, views.get(id as string)));
  }

  async #edit(rows: readonly Row[], tries = TRIES): Promise<void> {
    const { inside, type, onRefused } = this.options;
    const ids = rows.map(({ newDocumentState: { id } }) => id as string);
    const [{ meta }, views] = await Promise.all([inside.engine.storage.read({}), this.#views(ids)]);
    const notes: Record<string, Value> = { ...meta.notes };
    const intents: Intent[] = [];
    for (const row of rows) {
      const { assumedMasterState: assumed, newDocumentState: now } = row;
      const key = keyOf({ type, id: now.id as string });
      const note = own(notes, key) as Note | undefined;
      const intent = this.#rows.intentOf(row, note, views.get(now.id as string));
      if (intent) intents.push(intent);
      notes[key] = this.#rows.noteOf(assumed, now) as unknown as Value;
    }
    try {
      await inside.edit(intents, { notes });
    } catch (error) {
      if (!(error instanceof ClientError) || !["GONE", "EXISTS", "INVALID_VALUE"].includes(error.code)) throw error;
      if (rows.length > 1) for (const row of rows) await this.#edit([row]);
      else if (tries > 0 && error.code !== "INVALID_VALUE") await this.#edit(rows, tries - 1);
      else if (rows[0]) refuse({ type, document: rows[0].newDocumentState, error }, onRefused);
    }
  }

  /** What the client shows, as of one moment. */
  async #views(ids: readonly string[]): Promise<ReadonlyMap<string, Body>> {
    const { inside, type } = this.options;
    await inside.opened;
    if (inside.isClosed()) throw new ClientError("CLOSED", "the client is closed");
    if (inside.hides() || ids.length === 0) return new Map();
    const keys = ids.map((id) => keyOf({ type, id }));
    const slice = await inside.engine.storage.read({ docs: keys, queue: keys, lingering: true });
    const held = new Map(slice.docs.filter((doc) => isAlive(slice.meta, doc)).map((doc) => [doc.id, doc.body]));
    const edits = new Map<string, Edit[]>();
    for (const edit of editsOf(slice)) {
      if (edit.type === type) edits.set(edit.id, [...(edits.get(edit.id) ?? []), edit]);
    }
    const views = ids.map((id) => [id, view(inside.model, held.get(id), edits.get(id) ?? [])] as const);
    return new Map(views.filter((it): it is readonly [string, Body] => it[1] !== undefined));
  }

  /** What RxDB shows. */
  async #docs(ids: readonly string[]): Promise<ReadonlyMap<string, RxDoc>> {
    const found = await this.options.collection.storageInstance.findDocumentsById([...ids], false);
    return new Map(found.map((doc) => [(doc as { id: string }).id, doc as unknown as RxDoc]));
  }
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
