// Plays a trace (conformance/README.md) on the core: what it does and is after each line, and what it should.
import { isDeepStrictEqual } from "node:util";

import { begin, EditError, request, starts, step, views } from "../src/core.js";

/** The model of the traces: conformance/model.graphql. */
const MODEL = {
  Task: { root: "task", defaults: {}, merges: { count: "COUNTER", total: "COUNTER", tags: "SET" } },
  Note: { root: "note", defaults: { mood: "CALM" }, merges: {} },
};
const TYPES = Object.keys(MODEL);

/** Where the core differs from a trace, if it does. */
export function difference(text) {
  const [head, ...lines] = text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  if (head.trace !== 1 && head.trace !== 2) throw new Error(`the form of the trace is ${head.trace}`);
  const player = new Player(head.folds ?? false, head.trace === 2);
  return lines.map((line) => ({ line, ...player.play(line) })).find(({ now, then }) => !isDeepStrictEqual(now, then));
}

class Player {
  #state = begin("c.0");
  /** What must be stored, as the trace says it. */
  #then = {
    ...{ client: "c.0", next: 1, round: 0, refresh: [], lingering: [] },
    ...{ docs: {}, views: {}, queue: {}, outcomes: {} },
  };
  /** The states after requests, by their numbers. */
  #sent = new Map();
  /** The numbers that the trace has for edits, by those of the core. */
  #numbers = new Map();

  constructor(folds, compares) {
    this.folds = folds;
    this.compares = compares;
  }

  play(line) {
    const did = this.#do(line);
    // This client does not say that it equals the server.
    const { refused, halts = false, sends, reports = [], later = false, is = {} } = line;
    this.#then = merged(this.#then, is);
    return {
      now: plain({ reports: [], later: false, ...did, state: this.#read() }),
      then: plain({ refused, halts, sends, reports, later, state: this.#then }),
    };
  }

  #do(line) {
    if (line.do === "start") this.#state = starts(this.#state);
    if (line.do === "restart" || line.do === "start") return { halts: false };
    const { n } = this.#state;
    try {
      this.#state = step(MODEL, this.#state, this.#event(line));
    } catch (error) {
      if (error instanceof EditError) return { refused: error.code, halts: false };
      throw error;
    }
    if (line.do === "edit") {
      line.edits.slice(0, this.#state.n - n).forEach((it, nth) => this.#numbers.set(n + nth, it.edit));
    }
    if (line.do === "send") this.#sent.set(line.request, this.#state.flight);
    return {
      halts: this.#state.todo === "halt",
      ...(line.do === "send" && { sends: request(this.#state) }),
      ...(line.do === "page" && {
        reports: [...this.#state.differing].sort(),
        later: this.compares && line.round !== null && !line.page.hasMore && this.#state.mustCompare,
      }),
    };
  }

  #event(line) {
    const newId = `c.${Number(this.#state.client.slice(2)) + 1}`;
    const to = this.#sent.get(line.to);
    switch (line.do) {
      case "edit":
        return { ...line, folds: this.folds };
      case "page":
        return { types: TYPES, ...line, newId };
      case "last":
        return { ...line, question: to.asks.number, newId };
      default:
        return { ...line, to, newId };
    }
  }

  #read() {
    const { client, next, epoch, checkpoint, round, refresh, reread, docs, queue, flight, lingering, outcomes } =
      this.#state;
    const number = (n) => this.#numbers.get(n) ?? n;
    return {
      ...{ client, next, epoch, checkpoint, round, refresh: [...refresh].sort() },
      reread: reread.length > 0 ? [...reread].sort() : null,
      docs: mapped(docs, ({ version, scope, body, isUnseen, unconfirmed }) => {
        const marks = { unseen: isUnseen || null, unconfirmed: unconfirmed === undefined ? null : true };
        return { version, scope, body: fields(body), ...marks };
      }),
      views: mapped(views(MODEL, this.#state), (body) => body && fields(body)),
      queue: Object.fromEntries(queue.map((it) => [number(it.n), waiting(it, number)])),
      flight: flight && {
        ...flight.input.client,
        edits: flight.edits.map(({ n }) => number(n)),
        asks: flight.asks ? true : null,
      },
      lingering: lingering.map(({ n }) => number(n)),
      outcomes: Object.fromEntries(
        outcomes.map(({ n, status, cause }) => [number(n), { status, cause: cause && number(cause) }]),
      ),
    };
  }
}

function waiting({ type, id, op, set, base, baseVersion, changedAt, policy, tx, sent }, number) {
  const made = { create: { document: set }, update: { set, base, baseVersion }, delete: { baseVersion } }[op];
  const transaction = tx === undefined ? null : number(tx);
  return { type, id, op, ...made, changedAt, policy, transaction, sent: sent ? true : null };
}

/** The fields of the model. */
function fields({ id, syncVersion, syncScope, ...rest }) {
  return rest;
}

const mapped = (map, of) => Object.fromEntries([...map].map(([name, value]) => [name, of(value)]));

/** A value without what is null or absent. */
function plain(value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  const members = Object.entries(value).filter(([, member]) => member !== null && member !== undefined);
  return Object.fromEntries(members.map(([name, member]) => [name, plain(member)]));
}

/** A JSON merge patch (RFC 7396). */
function merged(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const result = target !== null && typeof target === "object" && !Array.isArray(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value);
  }
  return result;
}
