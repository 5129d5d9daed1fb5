// Joins the core, the storage and the gateway: one step after the other, one loop that reads, one that sends, and the inbox.
import { begin, request, starts, step } from "./core.js";
import { Gateway, Refused } from "./gateway.js";
import { RESOLVE, VIEWER } from "./model.js";
import { difference } from "./values.js";

/** How long a page may be missing that confirms what an answer brought, before the client pulls (1.7). */
const CONFIRMED_MS = 5_000;

export class Client {
  /** The inbox; nothing of it is stored. */
  conflicts = [];
  /** `offline`, `catching-up`, `live` or `halted`; the changes read since the last start; when it was last in step. */
  status = { phase: "offline", read: 0, lastSync: undefined, error: undefined };
  #steps = Promise.resolve();
  #stream = new AbortController();
  #wake = () => undefined;

  /** `changed` is called after each change of anything above, and of `state`. */
  static async open({ session, store, model }, changed) {
    const client = new Client();
    const names = Object.keys(model.types);
    Object.assign(client, { store, model, names, changed, gateway: new Gateway(session) });
    const kept = await store.load();
    client.state = starts(kept ?? { ...begin(crypto.randomUUID()), selection: model.changes });
    if (!kept) await store.save(undefined, client.state);
    // The app selects other fields than before: all documents come once more (1.17).
    if (client.state.selection !== model.changes) {
      const next = step(model.types, client.state, { do: "refresh", types: names });
      const chosen = { ...next, selection: model.changes };
      await store.save(client.state, chosen);
      client.state = chosen;
    }
    void client.#forever((works) => client.#read(works));
    void client.#forever(() => client.#send());
    void client.#forever((works) => client.#followInbox(works));
    return client;
  }

  /** One step after the other. It returns the next state once that is durable. */
  dispatch(event) {
    const made = this.#steps.then(async () => {
      const happened = event();
      const next = step(this.model.types, this.state, happened);
      await this.store.save(this.state, next);
      this.state = next;
      this.#follow(next);
      if (happened.do !== "send") this.#wake();
      this.changed();
      return next;
    });
    this.#steps = made.catch(() => undefined);
    return made;
  }

  /** The user edits: each of `edits` has `op`, `type`, `id`, and a `document` or `fields` by intention. */
  edit(...edits) {
    return this.dispatch(() => ({ do: "edit", edits, changedAt: new Date().toISOString() }));
  }

  discard(n) {
    return this.dispatch(() => ({ do: "discard", n }));
  }

  /** Makes the edit of an outcome again, on what is there now. */
  async again({ n, edit: { op, type, id, set, base }, error }) {
    const changed = ([field, value]) => [field, difference(this.model.types[type].merges[field], base[field], value)];
    const fields = Object.fromEntries(Object.entries(set).map(changed));
    const newId = error?.code === "ID_TAKEN" ? crypto.randomUUID() : id;
    await this.edit({ op, type, id: newId, document: set, fields });
    await this.discard(n);
  }

  /** `resolution` is `{take}`, or the fields of a new version under the type's key. The same one again does nothing more. */
  async resolve({ id: conflictId, currentVersion: baseVersion }, resolution) {
    const { resolveConflict } = await this.gateway.ask(RESOLVE, { input: { conflictId, baseVersion, resolution } });
    const { status, error } = resolveConflict.result;
    if (status === "REJECTED") throw new Error(error.message);
    this.#stream.abort();
  }

  /** Removes the user's documents from the device, and unless it keeps them also edits that have no answer. */
  async signOut(keeps) {
    const sealed = this.dispatch(() => ({ do: "seal" }));
    // No step comes after it.
    this.#steps = sealed.then(() => new Promise(() => undefined));
    await sealed;
    this.#stream.abort();
    if (!keeps) await this.store.remove();
  }

  get unsent() {
    return this.state.queue.length + (this.state.flight?.edits.length ?? 0);
  }

  #say(status) {
    if (this.status.phase === "halted") return;
    Object.assign(this.status, status);
    this.changed();
  }

  /** What the core wants after a step. */
  #follow({ todo, reason }) {
    if (todo === "token") this.gateway.renew();
    if (todo === "pull") this.#stream.abort();
    if (todo === "halt") {
      this.#say({ phase: "halted", error: reason });
      this.#stream.abort();
    }
  }

  /** Repeats a loop's round until the client halts, with pauses that grow until it works again. */
  async #forever(round) {
    let failures = 0;
    const works = () => (failures = 0);
    while (this.status.phase !== "halted") {
      const refusal = await round(works).then(works, (failure) => failure);
      if (!refusal) continue;
      failures += 1;
      if (!(refusal instanceof Refused)) console.error(refusal);
      await this.#pause(Math.min(failures, 6), refusal.extensions?.retryAfter ?? 0);
    }
  }

  /** It ends early when the network comes back. */
  async #pause(failures, seconds) {
    const ms = Math.max(seconds * 1000, 250 * 2 ** failures * (0.5 + Math.random()));
    await new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        removeEventListener("online", end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      addEventListener("online", end);
    });
  }

  /** One stream: it catches up from the checkpoint, and goes on (1.1). */
  async #read(works) {
    this.#stream = new AbortController();
    const { signal } = this.#stream;
    const { checkpoint, round, refresh, reread } = await this.dispatch(() => ({ do: "begin" }));
    let [from, isLive] = [checkpoint, false];
    this.#say({ read: 0, ...(this.status.phase === "live" && { phase: "catching-up" }) });
    try {
      const more = { ...(refresh.length > 0 && { refresh }), ...(reread.length > 0 && { reread }) };
      const variables = { checkpoint, types: this.names, ...more };
      for await (const { changes: page } of this.gateway.follow(this.model.changes, variables, signal)) {
        const event = { do: "page", page, from, round: isLive ? null : round, types: this.names, refresh, reread };
        const { differing } = await this.dispatch(() => ({ ...event, newId: crypto.randomUUID() }));
        for (const scope of differing) console.warn(`what is kept of ${scope} differs from what the server has`);
        works();
        from = page.checkpoint;
        isLive ||= !page.hasMore;
        const read = this.status.read + page.changes.length;
        this.#say(page.hasMore ? { phase: "catching-up", read } : { phase: "live", read, lastSync: new Date() });
      }
    } catch (refusal) {
      if (signal.aborted) return;
      if (!(refusal instanceof Refused)) throw refusal;
      this.#say({ phase: "offline" });
      await this.dispatch(() => ({ do: "unread", code: refusal.code }));
      throw refusal;
    }
  }

  /** Sends what there is to send, and waits until there is more. */
  async #send() {
    const woken = new Promise((resolve) => (this.#wake = resolve));
    const { flight, ...state } = await this.dispatch(() => ({ do: "send", limit: 200 }));
    const { viewer, pushChanges: input } = request({ flight, ...state });
    const newId = crypto.randomUUID();
    if (!viewer && !input) return void (await woken);
    try {
      if (viewer) {
        const { lastMutationId } = (await this.gateway.ask(VIEWER, { clientId: viewer })).viewer;
        const event = { do: "last", question: flight.asks.number, lastMutationId: lastMutationId ?? 0, newId };
        return void (await this.dispatch(() => event));
      }
      const { results } = (await this.gateway.ask(this.model.push, { input })).pushChanges;
      await this.dispatch(() => ({ do: "answer", to: flight, results }));
      setTimeout(() => this.#confirm(), CONFIRMED_MS);
    } catch (refusal) {
      if (!(refusal instanceof Refused)) throw refusal;
      const { code, extensions } = refusal;
      const event = viewer ? { do: "unread", code } : { do: "refused", to: flight, code, extensions, newId };
      const { todo } = await this.dispatch(() => event);
      if (todo === "again" || todo === "token") throw refusal;
    }
  }

  /** What no page has named by now goes when a pull ends (1.7), and what an answer kept from being compared is (1.18). */
  #confirm() {
    const { docs, mustCompare } = this.state;
    if (mustCompare || [...docs.values()].some((doc) => doc.unconfirmed !== undefined)) this.#stream.abort();
  }

  /** The conflicts that wait for a person. An outcome that the inbox had leaves with it. */
  async #followInbox(works) {
    const waiting = () => this.state.outcomes.filter(({ conflict }) => conflict?.conflictId);
    const known = new Set(waiting().map(({ conflict }) => conflict.conflictId));
    for await (const { conflicts } of this.gateway.follow(this.model.conflicts, {}, new AbortController().signal)) {
      works();
      this.conflicts = conflicts.nodes;
      const open = new Set(conflicts.nodes.map(({ id }) => id));
      const settled = waiting().filter(({ conflict: { conflictId: id } }) => known.has(id) && !open.has(id));
      if (!conflicts.pageInfo.hasNextPage) await Promise.all(settled.map(({ n }) => this.discard(n)));
      for (const id of open) known.add(id);
      this.changed();
    }
  }
}
