/**
 * A core over a storage of maps, and messages as a gateway sends them.
 */

import type { Effect } from "../../src/core/draft.js";
import type { Changes, Intent } from "../../src/core/edits.js";
import { together } from "../../src/core/outcomes.js";
import { freshMeta, isAlive, keyOf, versionOf } from "../../src/core/records.js";
import type { CoreModel, Edit, Flight, Meta, Outcome } from "../../src/core/records.js";
import { need, step, type Event } from "../../src/core/step.js";
import { view } from "../../src/core/view.js";
import type { Body, Change, Page, Policy, Result, SyncedBody } from "../../src/protocol.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { documentsOf } from "./documents.js";

const MODEL: CoreModel = {
  types: {
    Task: {
      root: "task",
      merges: { spent: "COUNTER", total: "COUNTER", labels: "SET" },
      defaults: { spent: 0, labels: [] },
    },
    Note: { root: "note", merges: {}, defaults: {} },
  },
};

const AT = "2026-02-28T12:30:00.000Z";

export class Device {
  readonly storage = memoryStorage();
  types: readonly string[] = ["Task", "Note"];
  #clients = 0;
  #opened: Promise<void> | undefined;
  #from: string | null = null;
  round = 0;
  /** The scopes that the last pull asked for again. */
  reread: readonly string[] = [];

  #newId(): string {
    return `c${++this.#clients}`;
  }

  async do(event: Event): Promise<readonly Effect[]> {
    this.#opened ??= this.storage.open(freshMeta(this.#newId()));
    await this.#opened;
    let effects: readonly Effect[] = [];
    await this.storage.step(
      (meta, flight) => need(event, meta, flight),
      (slice) => {
        const made = step(MODEL, slice, event);
        effects = made.effects;
        return made.writes;
      },
      { strict: true },
    );
    return effects;
  }

  async edit(intent: Intent, options: { policy?: Policy; folds?: boolean } = {}): Promise<void> {
    await this.do({ is: "edit", intents: [intent], at: AT, atomic: false, folds: true, ...options });
  }

  async transaction(...intents: Intent[]): Promise<void> {
    await this.do({ is: "edit", intents, at: AT, atomic: true, folds: true });
  }

  create(id: string, document: Body = {}): Promise<void> {
    return this.edit({ op: "create", type: "Task", id, document });
  }

  update(id: string, changes: Changes | ((seen: Body) => Changes)): Promise<void> {
    return this.edit({ op: "update", type: "Task", id, changes });
  }

  delete(id: string): Promise<void> {
    return this.edit({ op: "delete", type: "Task", id });
  }

  /** Begins a pull, and takes in a page of it. */
  async pull(page: Partial<Page> = {}): Promise<readonly Effect[]> {
    const [begun] = await this.do({ is: "begin" });
    if (begun?.do !== "pull") throw new Error("a pull begins with a request");
    this.#from = begun.checkpoint;
    this.round = begun.round;
    this.reread = begun.reread;
    return this.page(page, begun.round);
  }

  /** Takes in a page that goes on from the last one. A live one has no round. */
  async page(page: Partial<Page> = {}, round: number | null = null, from = this.#from): Promise<readonly Effect[]> {
    const whole = {
      changes: [],
      checkpoint: `${from ?? ""}.`,
      hasMore: false,
      reset: from === null,
      revokedScopes: [],
      epoch: "e1",
      ...page,
    };
    const { reread, types } = this;
    const newId = this.#newId();
    const effects = await this.do({ is: "page", page: whole, from, types, refresh: [], reread, round, newId });
    this.#from = whole.checkpoint;
    return effects;
  }

  /** Sends what is queued. */
  async send(): Promise<Flight | undefined> {
    const effects = await this.do({ is: "send" });
    return effects.flatMap((effect) => (effect.do === "push" ? [effect.flight] : []))[0];
  }

  async answer(...results: readonly Result[]): Promise<readonly Effect[]> {
    return this.do({ is: "answer", to: await this.#flying(), results });
  }

  async refused(code: string, extensions: Body = {}): Promise<readonly Effect[]> {
    const refusal = { code, message: code, extensions };
    return this.do({ is: "refused", to: await this.#flying(), refusal, newId: this.#newId() });
  }

  async asked(last: number): Promise<readonly Effect[]> {
    return this.do({ is: "asked", question: (await this.#flying()).asks?.number ?? -1, last, newId: this.#newId() });
  }

  async retry(n: number, changes?: Changes): Promise<void> {
    const outcomes = together(await this.outcomes(), n);
    const keys = outcomes.flatMap(({ edit }) => [keyOf(edit), keyOf({ ...edit, id: "new" })]);
    await this.do({ is: "retry", n, keys, at: AT, newId: "new", ...(changes && { changes }) });
  }

  async #flying(): Promise<Flight> {
    const flight = await this.flight();
    if (!flight) throw new Error("nothing is under way");
    return flight;
  }

  async meta(): Promise<Meta> {
    return (await this.storage.read({})).meta;
  }

  async flight(): Promise<Flight | null> {
    return (await this.storage.read({})).flight;
  }

  async queue(): Promise<readonly Edit[]> {
    return (await this.storage.read({ queue: "all" })).queue;
  }

  async outcomes(): Promise<readonly Outcome[]> {
    return (await this.storage.read({ outcomes: true })).outcomes;
  }

  /** How many documents are stored, the dead ones too. */
  async stored(): Promise<number> {
    return (await documentsOf(this.storage, "Task")).length;
  }

  async sweep(): Promise<void> {
    while ((await this.do({ is: "sweep" })).some((it) => it.do === "sweep"));
  }

  /** The version of a document that the device holds; undefined if it holds none. */
  async version(id: string): Promise<number | undefined> {
    const { meta, docs } = await this.storage.read({ docs: [keyOf({ type: "Task", id })] });
    const [doc] = docs;
    return doc && isAlive(meta, doc) ? versionOf(meta, doc) : undefined;
  }

  /** The document as its user sees it. */
  async view(id: string): Promise<Body | undefined> {
    const key = keyOf({ type: "Task", id });
    const { meta, flight, docs, queue, lingering } = await this.storage.read({
      docs: [key],
      queue: [key],
      lingering: true,
    });
    const body = docs.find((doc) => isAlive(meta, doc))?.body;
    const edits = [...lingering, ...(flight?.edits ?? []), ...queue].filter((it) => it.type === "Task" && it.id === id);
    return view(MODEL, body, edits);
  }
}

/** A device that has caught up, with these changes. */
export async function deviceWith(...changes: readonly Change[]): Promise<Device> {
  const device = new Device();
  await device.pull({ changes });
  return device;
}

export function upsert(id: string, version: number, fields: Body = {}, scope = "s"): Change {
  return { type: "Task", documentId: id, kind: "UPSERT", version, scope, document: body(id, version, fields, scope) };
}

export function removal(kind: "DELETE" | "REVOKE", id: string, version: number, scope = "s"): Change {
  return { type: "Task", documentId: id, kind, version, scope, document: null };
}

export function body(id: string, version: number, fields: Body = {}, scope = "s"): SyncedBody {
  return { ...fields, id, syncVersion: version, syncScope: scope };
}

/** An outcome with the document as it is at that version. */
export function result(status: Result["status"], document: SyncedBody | null, version?: number): Result {
  return { status, version: version ?? document?.syncVersion ?? null, document };
}

export function rejected(code: string): Result {
  return { status: "REJECTED", version: null, document: null, error: { code, message: code, field: null } };
}
