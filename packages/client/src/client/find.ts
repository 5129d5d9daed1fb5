/**
 * Finds the documents of a query: by their ids, by an index, or by reading all of the type. A document with edits may
 * stand elsewhere in an index than in view, so those are read beside it.
 */

import { editsOf, type Slice } from "../core/draft.js";
import { isAlive, keyOf, type Doc, type Edit } from "../core/records.js";
import { view } from "../core/view.js";
import type { Body } from "../protocol.js";
import type { Index, SortKey } from "../storage/entries.js";
import { parts } from "../storage/parts.js";
import type { Storage } from "../storage/storage.js";
import { planOf, type Plan } from "./plan.js";
import { Compiled, type Query } from "./query.js";
import type { ModelValue } from "./types.js";

/** The indexes of a model. */
export function indexesOf({ types }: ModelValue): readonly Index[] {
  return Object.entries(types).flatMap(([type, { indexes = [], scalars = {} }]) => {
    return indexes.map((names) => ({ type, fields: names.map((name) => [name, scalars[name] ?? ""] as const) }));
  });
}

/** The queries that were warned of. */
const warned = new Set<string>();

/** A query of a type. */
export class Finder {
  readonly query: Compiled;
  readonly #ids: readonly string[] | undefined;
  readonly #plan: Plan | undefined;

  /** @throws ClientError INVALID_QUERY */
  constructor(
    readonly model: ModelValue,
    readonly storage: Storage,
    readonly type: string,
    query: Query,
  ) {
    this.query = new Compiled(query, model.types[type]?.scalars ?? {});
    this.#ids = this.query.ids();
    const indexes = indexesOf(model).filter((index) => index.type === type);
    this.#plan = planOf(this.query, indexes);
    if (!this.#ids && !this.#plan) warn(type, this.query);
  }

  /** What it finds, in order. */
  async find(): Promise<readonly Body[]> {
    return this.query.sorted(this.#ids ? await this.among(this.#ids) : await this.#read());
  }

  /** Those of some documents that it finds. */
  async among(ids: readonly string[]): Promise<readonly Body[]> {
    const own = [...new Set(ids)];
    const keys = own.map((id) => keyOf({ type: this.type, id }));
    const slice = await this.storage.read({ docs: keys, queue: keys, lingering: true });
    const { found, show } = this.#inView(slice);
    own.forEach(show);
    return found;
  }

  async #read(): Promise<readonly Body[]> {
    const { storage, type } = this;
    const need = { edited: type };
    const plan = this.#plan;
    let found: readonly Body[] = [];
    const begin = (slice: Slice, ordered = plan?.ordered ?? 0): Taker => {
      const inView = this.#inView(slice);
      for (const id of inView.edits.keys()) inView.show(id);
      ({ found } = inView);
      return this.#taker(inView, ordered);
    };
    if (plan && (await storage.search?.({ ...plan, need, begin }))) return found;
    const take = begin(await storage.read(need), 0);
    for await (const docs of parts(storage, type)) for (const doc of docs) take(doc, 0);
    return found;
  }

  /** Takes documents without edits that come in so many of the orders: of each range up to the limit, with its ties. */
  #taker({ found, edits, meta }: InView, ordered: number): Taker {
    const { query } = this;
    let [current, taken] = [0, 0];
    let edge: readonly SortKey[] = [];
    return (doc, range) => {
      if (range !== current) [current, taken] = [range, 0];
      if (!isAlive(meta, doc) || edits.has(doc.id) || !query.fits(doc.body)) return true;
      const keys = query.keys(doc.body);
      if (taken >= query.limit && query.compare(keys, edge, ordered) !== 0) return false;
      found.push(doc.body);
      if (++taken === query.limit) edge = keys;
      return true;
    };
  }

  #inView(slice: Slice): InView {
    const { model, query, type } = this;
    const { meta, docs } = slice;
    const found: Body[] = [];
    const edits = new Map<string, Edit[]>();
    for (const edit of editsOf(slice)) {
      if (edit.type === type) edits.set(edit.id, [...(edits.get(edit.id) ?? []), edit]);
    }
    const held = new Map(docs.filter((doc) => isAlive(meta, doc)).map(({ id, body }) => [id, body]));
    const show = (id: string): void => {
      const body = view(model, held.get(id), edits.get(id) ?? []);
      if (body && query.fits(body)) found.push(body);
    };
    return { meta, found, edits, show };
  }
}

/** Gets the documents of each range in order, and says whether it wants more of it. */
type Taker = (doc: Doc, range: number) => boolean;

/** Documents with their edits. */
interface InView {
  readonly meta: Slice["meta"];
  readonly found: Body[];
  /** By the id of their document. */
  readonly edits: ReadonlyMap<string, readonly Edit[]>;
  /** Finds a document that was read, if it is in view and fits. */
  readonly show: (id: string) => void;
}

/** Says once that no index serves a query. One that wants all documents in any order needs none. */
function warn(type: string, { conditions, limit, orders }: Compiled): void {
  const ordered = limit === Infinity ? [] : orders.slice(0, -1).map(({ field }) => field);
  const fields = [...new Set([...conditions.map(([field]) => field), ...ordered])];
  const text = `a query reads all of ${type}: no @index for ${fields.join(", ")}`;
  if (fields.length > 0 && !warned.has(text)) console.warn(text);
  warned.add(text);
}
