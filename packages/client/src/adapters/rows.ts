/**
 * RxDB's rows as edits, and the client's documents as RxDB's. Nothing here waits for anything.
 */

import type { ModelValue } from "../client/types.js";
import type { Intent } from "../core/edits.js";
import { own } from "../core/records.js";
import { difference, equal, type Intention } from "../core/values.js";
import type { Body, Value } from "../protocol.js";

/** A document as RxDB's replication has it. */
export type RxDoc = Record<string, unknown> & { readonly _deleted: boolean };

/** A write of RxDB: the document that it has changed, and what it has made of it. */
export interface Row {
  readonly assumedMasterState?: RxDoc;
  readonly newDocumentState: RxDoc;
}

/**
 * RxDB repeats a row when it could not note its answer, perhaps with later changes in it. It names the state that it began
 * with, and {@link LOCAL} makes each state another one: so a repeated row is known by it.
 */
export interface Note {
  readonly assumed: Value;
  readonly now: Body;
}

/** A property that is another number in each state that the client gives RxDB. */
export const LOCAL = "syncLocal";

interface Property {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
}

/** What the adapter reads of a schema of RxDB. */
export interface RxSchema {
  readonly primaryKey: unknown;
  readonly properties: Readonly<Record<string, Property | undefined>>;
  readonly required?: readonly string[] | undefined;
}

const BLANKS: Readonly<Record<string, unknown>> = { string: "", boolean: false, array: [], object: {} };

/** How documents of one type stand in one collection. */
export class Rows {
  /** The fields that RxDB keeps; those of the sync are only read. */
  readonly #fields: readonly string[];
  readonly #edited: readonly string[];

  /** @throws TypeError if the schema lacks what the adapter needs. */
  constructor(
    readonly model: ModelValue,
    readonly type: string,
    readonly schema: RxSchema,
  ) {
    if (schema.primaryKey !== "id") throw new TypeError(`the primary key of ${type} has to be id`);
    if (schema.properties[LOCAL]?.type !== "integer") throw new TypeError(`${type} needs an integer ${LOCAL}`);
    const names = Object.keys(schema.properties).filter((name) => name !== "id" && !name.startsWith("_"));
    this.#fields = names.filter((name) => name !== LOCAL);
    this.#edited = this.#fields.filter((name) => !name.startsWith("sync"));
  }

  /** The view as RxDB takes it: without nulls, and as another state than all before. */
  shown(id: string, body: Body | undefined): RxDoc {
    const stamp = { [LOCAL]: crypto.getRandomValues(new Uint32Array(1))[0] };
    if (!body) return { ...this.#blank(), id, ...stamp, _deleted: true };
    const values = this.#fields.map((name) => [name, own(body, name) ?? undefined] as const);
    return { ...Object.fromEntries(values.filter(([, value]) => value !== undefined)), id, ...stamp, _deleted: false };
  }

  /** Whether RxDB's document says what the view says. */
  isShown(doc: RxDoc | undefined, body: Body | undefined): boolean {
    if (!body || !doc || doc._deleted) return !body && (!doc || doc._deleted);
    return this.#fields.every((name) => equal(doc[name] as Value | undefined, own(body, name)));
  }

  /** Required properties of what is gone: none of its text stays in the database. */
  #blank(): Record<string, unknown> {
    const { properties, required = [] } = this.schema;
    return Object.fromEntries(
      required.map((name) => {
        const { type, enum: values, minimum = 0 } = properties[name] ?? {};
        const kind = typeof type === "string" ? type : (type?.[0] ?? "string");
        return [name, values?.[0] ?? (kind in BLANKS ? BLANKS[kind] : minimum)];
      }),
    );
  }

  /** Whether it is gone, and what it was is still in RxDB. */
  hasText(doc: RxDoc): boolean {
    const blank: Readonly<Record<string, unknown>> = this.#blank();
    return doc._deleted && !this.#fields.every((name) => equal(doc[name] as Value | undefined, blank[name] as Value));
  }

  /** Whether two states of a document are the same one. */
  isSame(one: RxDoc, other: RxDoc): boolean {
    const isEqual = (name: string): boolean => equal(one[name] as Value | undefined, other[name] as Value | undefined);
    return one._deleted === other._deleted && one[LOCAL] === other[LOCAL] && this.#fields.every(isEqual);
  }

  /** The edit that the app means by a write, if any, on what is in view. `seen` is the state that it changed. */
  intentOf(seen: RxDoc | undefined, now: RxDoc, view: Body | undefined): Intent | undefined {
    const { type } = this;
    const id = now.id as string;
    const isNew = seen === undefined || (seen._deleted && !now._deleted);
    if (isNew && now._deleted) return undefined;
    if (now._deleted && !seen?._deleted) return view && { op: "delete", type, id };
    const changes = isNew ? view && this.#changesOf(view, now) : this.#changesOf(seen, now);
    if (view) return changes && { op: "update", type, id, changes };
    // A document that is gone meanwhile: the gateway decides, and the outcome keeps what was written.
    return isNew || changes ? { op: "create", type, id, document: this.#fieldsOf(now) } : undefined;
  }

  /** The row to recognise when RxDB repeats it. */
  noteOf({ assumedMasterState: assumed, newDocumentState: now }: Row): Note {
    return { assumed: (assumed as Body | undefined) ?? null, now: now as Body };
  }

  /** Whether a note is of the row with this beginning. */
  isNoteOf(note: Note, { assumedMasterState: assumed }: Row): boolean {
    return equal(note.assumed, assumed as Body | undefined);
  }

  #fieldsOf(doc: RxDoc): Body {
    const values = this.#edited.map((name) => [name, doc[name]] as const);
    return Object.fromEntries(values.filter(([, value]) => value !== undefined)) as Body;
  }

  /** What differs, as the user means it: of counters and sets the difference. */
  #changesOf(
    seen: Readonly<Record<string, unknown>>,
    now: RxDoc,
  ): Readonly<Record<string, Value | Intention>> | undefined {
    const merges = own(this.model.types, this.type)?.merges ?? {};
    const changes: Record<string, Value | Intention> = {};
    for (const name of this.#edited) {
      const [before, after] = [seen[name], now[name]] as [Value | undefined, Value | undefined];
      if (!equal(before, after)) changes[name] = difference(own(merges, name), before, after ?? null);
    }
    return Object.keys(changes).length > 0 ? changes : undefined;
  }
}
