/**
 * The core on the lines of a trace (conformance/README.md): what it does and is after each, and what it should.
 */

import { isDeepStrictEqual } from "node:util";
import type { Effect } from "../../src/core/draft.js";
import type { Changes, Intent } from "../../src/core/edits.js";
import { ClientError } from "../../src/core/errors.js";
import { freshMeta, isAlive, versionOf } from "../../src/core/records.js";
import type { Edit, Flight } from "../../src/core/records.js";
import { need, step, type Event } from "../../src/core/step.js";
import { add, increment, remove } from "../../src/core/values.js";
import { view } from "../../src/core/view.js";
import type { Body, Page } from "../../src/protocol.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { model } from "../models/conformance.js";
import { merged, plain, type EditForm, type Head, type IntentForm, type Line } from "./traces.js";
import { documentsOf } from "./documents.js";

/** What the core has sent, by the number of the request. */
type Sent = Effect & { readonly do: "push" | "ask" };

const TYPES = Object.keys(model.types);

/** What a line does, and how the core then is. */
interface Did {
  readonly refused: string | undefined;
  readonly halts: boolean;
  readonly sends: unknown;
  readonly reports: readonly string[];
  readonly equals: boolean;
  readonly later: boolean;
  readonly state: unknown;
}

class Player {
  readonly #folds: boolean;
  /** Whether the trace has what the client says of comparisons. */
  readonly #compares: boolean;
  readonly #storage = memoryStorage();
  readonly #sent = new Map<number, Sent>();
  /** The numbers that the trace has for edits, by those of the core. */
  readonly #numbers = new Map<number, number>();
  #state: unknown = {
    ...{ client: "c.0", next: 1, round: 0, refresh: [], lingering: [] },
    ...{ docs: {}, views: {}, queue: {}, outcomes: {} },
  };

  private constructor({ trace, folds }: Head) {
    if (trace !== 1 && trace !== 2) throw new Error(`the form of the trace is ${trace}`);
    this.#folds = folds ?? false;
    this.#compares = trace === 2;
  }

  static async open(head: Head): Promise<Player> {
    const player = new Player(head);
    await player.#storage.open(freshMeta("c.0"));
    return player;
  }

  /** What the core does and is by a line, and what it should. */
  async play(line: Line): Promise<{ readonly now: Did; readonly then: Did }> {
    const did = await this.#do(line);
    const { refused, halts = false, sends = null, reports = [], equals = false, later = false, is = {} } = line;
    this.#state = merged(this.#state, is);
    return {
      now: { ...did, state: plain(await this.#read()) },
      then: { refused, halts, sends, reports, equals, later, state: plain(this.#state) },
    };
  }

  async #do(line: Line): Promise<Omit<Did, "state">> {
    const nothing = { refused: undefined, halts: false, sends: null, reports: [], equals: false, later: false };
    if (line.do === "restart" || line.do === "start") {
      if (line.do === "start") await this.#step({ is: "lead" });
      await this.#sweep();
      return nothing;
    }
    const event = await this.#event(line);
    const before = (await this.#storage.read({})).meta.n;
    try {
      const effects = await this.#step(event);
      const after = (await this.#storage.read({})).meta.n;
      if (line.do === "edit")
        line.edits.slice(0, after - before).forEach((it, nth) => this.#numbers.set(before + nth, it.edit));
      const sent = effects.find((it): it is Sent => it.do === "push" || it.do === "ask");
      const halts = effects.some((it) => it.do === "halt");
      if (line.do === "page") {
        const later = this.#compares && effects.some((it) => it.do === "compare");
        return { ...nothing, halts, later, ...(await this.#compared(line)) };
      }
      if (line.do !== "send") return { ...nothing, halts };
      if (sent) this.#sent.set(line.request, sent);
      return { ...nothing, halts, sends: sent ? sends(sent) : {} };
    } catch (error) {
      if (error instanceof ClientError) return { ...nothing, refused: error.code };
      throw error;
    }
  }

  /** The scopes of a page that is compared, as far as they differ; and whether it shows that the client equals the server. */
  async #compared({ page, round }: Line & { readonly do: "page" }): Promise<Pick<Did, "reports" | "equals">> {
    const { meta } = await this.#storage.read({});
    if (!page.digests || round === null || round <= meta.answered) return { reports: [], equals: false };
    const named = page.digests.map(({ scope }) => scope);
    const reports = named.filter((scope) => scope in (meta.differing ?? {})).sort();
    const equals = meta.differing !== null && Object.keys(meta.differing).length === 0;
    return { reports, equals: this.#compares && equals };
  }

  /** What the client does when it has begun: it deletes what is dead. Nobody sees a difference. */
  async #sweep(): Promise<void> {
    while ((await this.#step({ is: "sweep" })).some((it) => it.do === "sweep"));
  }

  async #step(event: Event): Promise<readonly Effect[]> {
    let effects: readonly Effect[] = [];
    await this.#storage.step(
      (meta, flight) => need(event, meta, flight),
      (slice) => {
        const made = step(model, slice, event);
        effects = made.effects;
        return made.writes;
      },
      { strict: true },
    );
    return effects;
  }

  async #event(line: Exclude<Line, { do: "restart" | "start" }>): Promise<Event> {
    const { meta } = await this.#storage.read({});
    const newId = `c.${Number(meta.client.slice(2)) + 1}`;
    switch (line.do) {
      case "edit":
        return {
          is: "edit",
          intents: line.edits.map(intent),
          at: line.changedAt,
          atomic: line.atomic ?? false,
          folds: this.#folds,
          ...(line.policy && { policy: line.policy }),
        };
      case "refresh":
        return { is: "refresh", types: line.types };
      case "begin":
        return { is: "begin" };
      case "page": {
        const { from, round, types = TYPES, refresh = [], reread = [] } = line;
        return { is: "page", page: page(line.page), from, round, types, refresh, reread, newId };
      }
      case "unread":
        return { is: "unread", refusal: refusal(line.code) };
      case "send":
        return { is: "send", ...(line.limit !== undefined && { limit: line.limit }) };
      case "answer":
        return { is: "answer", to: this.#pushed(line.to), results: line.results };
      case "refused":
        return { is: "refused", to: this.#pushed(line.to), refusal: refusal(line.code, line.extensions), newId };
      case "last": {
        const asked = this.#sent.get(line.to);
        if (asked?.do !== "ask") throw new Error(`${line.to} is no question`);
        return { is: "asked", question: asked.question, last: line.lastMutationId, newId };
      }
    }
  }

  #pushed(request: number): Flight {
    const sent = this.#sent.get(request);
    if (sent?.do !== "push") throw new Error(`${request} is no push`);
    return sent.flight;
  }

  async #read(): Promise<unknown> {
    const { meta, flight, queue, lingering, outcomes } = await this.#storage.read({
      queue: "all",
      lingering: true,
      outcomes: true,
    });
    const scans = TYPES.map((type) => documentsOf(this.#storage, type));
    const docs = (await Promise.all(scans)).flat().filter((doc) => isAlive(meta, doc));
    const edits = [...lingering, ...(flight?.edits ?? []), ...queue];
    const keys = new Map([...docs, ...edits].map(({ type, id }) => [`${type}/${id}`, { type, id }]));
    const number = (n: number): number => this.#numbers.get(n) ?? n;
    const views: [string, unknown][] = [...keys].map(([name, { type, id }]) => {
      const held = docs.find((doc) => doc.type === type && doc.id === id)?.body;
      const seen = view(
        model,
        held,
        edits.filter((it) => it.type === type && it.id === id),
      );
      return [name, seen && fields(seen)];
    });
    const reread = Object.entries(meta.differing ?? {}).flatMap(([scope, asks]) => (asks ? [scope] : []));
    return {
      client: meta.client,
      next: meta.next,
      epoch: meta.epoch,
      checkpoint: meta.checkpoint,
      round: meta.round,
      refresh: [...meta.refresh].sort(),
      reread: reread.length > 0 ? reread : null,
      docs: Object.fromEntries(
        docs.map((doc) => {
          const unseen = doc.seen < meta.no || null;
          const unconfirmed = doc.u !== undefined || null;
          const shown = {
            version: versionOf(meta, doc),
            scope: doc.scope,
            body: fields(doc.body),
            unseen,
            unconfirmed,
          };
          return [`${doc.type}/${doc.id}`, shown];
        }),
      ),
      views: Object.fromEntries(views),
      queue: Object.fromEntries(queue.map((edit) => [number(edit.n), this.#waiting(edit)])),
      flight: flight && {
        ...flight.to,
        edits: flight.edits.map((edit) => number(edit.n)),
        asks: flight.asks !== undefined || null,
      },
      lingering: lingering.map((edit) => number(edit.n)),
      outcomes: Object.fromEntries(
        outcomes.map(({ n, status, cause }) => [
          number(n),
          { status, cause: cause === undefined ? null : number(cause) },
        ]),
      ),
    };
  }

  #waiting({ type, id, op, set, base, bv, at, policy, tx, sent }: Edit): unknown {
    const made =
      op === "create" ? { document: set } : op === "update" ? { set, base, baseVersion: bv } : { baseVersion: bv };
    const transaction = tx === undefined ? null : (this.#numbers.get(tx) ?? tx);
    return { type, id, op, ...made, changedAt: at, policy, transaction, sent: sent !== undefined || null };
  }
}

/** Plays a trace. Returns where the core differs from it, if it does. */
export async function difference(text: string): Promise<{ line: string; now: unknown; then: unknown } | undefined> {
  const [head = "", ...lines] = text.trimEnd().split("\n");
  const player = await Player.open(JSON.parse(head) as Head);
  for (const line of lines) {
    const { now, then } = await player.play(JSON.parse(line) as Line);
    if (!isDeepStrictEqual(now, then)) return { line, now, then };
  }
  return undefined;
}

function intent({ op, type, id, document = {}, fields = {} }: EditForm): Intent {
  if (op === "create") return { op, type, id, document };
  if (op === "delete") return { op, type, id };
  const changes = Object.entries(fields).map(([field, form]) => [field, intention(form)] as const);
  return { op, type, id, changes: Object.fromEntries(changes) };
}

function intention(form: IntentForm): Changes[string] {
  if (form.increment !== undefined) return increment(form.increment);
  if (form.add) return add(...form.add);
  if (form.remove) return remove(...form.remove);
  return form.set ?? null;
}

function page(form: Page): Page {
  const changes = form.changes.map((change) => ({
    ...change,
    document: (change.document as Body | undefined) ?? null,
  }));
  return { ...form, changes };
}

function refusal(code: string, extensions: Body = {}): { code: string; message: string; extensions: Body } {
  return { code, message: code, extensions };
}

function sends(sent: Sent): unknown {
  if (sent.do === "ask") return { viewer: sent.client };
  const { to, epoch, atomic, policy, changes } = sent.flight;
  return { pushChanges: { client: to, epoch, ...(atomic && { atomic }), ...(policy && { policy }), changes } };
}

/** The fields of the model. */
function fields(body: Body): Body {
  const { id, syncVersion, syncScope, ...rest } = body;
  return rest;
}
