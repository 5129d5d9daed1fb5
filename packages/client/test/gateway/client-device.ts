/**
 * An application with a client in it, as histories drive it: the real one, over a network and a storage that die with it.
 */

import { Killed } from "@tidegate/conformance";
import type { Device, Edit, Edits, FieldEdit, OpenConflict, Outcome, Place, State } from "@tidegate/conformance";
import { WebSocket as NodeWebSocket } from "ws";
import { indexesOf } from "../../src/client/find.js";
import type { Changes } from "../../src/core/edits.js";
import { freshMeta } from "../../src/core/records.js";
import {
  add,
  ClientError,
  createClient,
  increment,
  remove,
  type Client,
  type ClientOptions,
  type Live,
  type OutcomeOf,
  type Storage,
} from "../../src/index.js";
import type { Body } from "../../src/protocol.js";
import { model, type Model } from "../models/example.js";
import { harm } from "./harm.js";
import { Life, MortalStorage } from "./mortal.js";

const PAUSES = { minMs: 2, maxMs: 40 };
const SETTLE_MS = 5_000;
const LOOK_MS = 5;
const INBOX_MS = 60;

/** The collections as an application that knows no model statically would see them. */
interface AnyCollection {
  create(document: Body, options?: object): Promise<string>;
  update(id: string, changes: Changes, options?: object): Promise<void>;
  delete(id: string, options?: object): Promise<void>;
  live(): Live<readonly Body[]>;
}

export class ClientDevice implements Device {
  #life = new Life();
  #storage: MortalStorage;
  #client: Client<Model>;
  #token: string;
  #isOnline = true;
  readonly #sockets = new Set<NodeWebSocket>();

  constructor(
    readonly place: Pick<Place, "url" | "token">,
    /** The database of the device; each run opens it again. */
    readonly storage: () => Storage,
    /** The application around the client. */
    readonly create: (options: ClientOptions) => Client<Model> = createClient<Model>,
  ) {
    this.#token = place.token;
    this.#storage = new MortalStorage(storage(), this.#life);
    this.#client = this.#start();
  }

  #start(): Client<Model> {
    return this.create({
      url: this.place.url,
      token: () => this.#token,
      model,
      storage: this.#storage,
      fetch: this.#fetch(this.#life),
      webSocket: this.#webSocket(),
      pauses: PAUSES,
    });
  }

  #fetch({ signal }: Life): typeof fetch {
    return (url, init) => {
      if (!this.#isOnline) return Promise.reject(new TypeError("there is no network"));
      const both = init?.signal ? AbortSignal.any([signal, init.signal]) : signal;
      return fetch(url, { ...init, signal: both });
    };
  }

  #webSocket(): typeof WebSocket {
    const sockets = this.#sockets;
    const isOnline = (): boolean => this.#isOnline;
    class Socket extends NodeWebSocket {
      constructor(url: string, protocol: string) {
        super(isOnline() ? url : "ws://127.0.0.1:1", protocol);
        sockets.add(this);
        this.on("close", () => sockets.delete(this));
      }
    }
    return Socket as unknown as typeof WebSocket;
  }

  async edit({ edits, transaction, policy }: Edits): Promise<boolean> {
    const options = policy ? { policy } : {};
    return this.allowed(async () => {
      if (transaction) {
        await this.#client.transaction((tx) => {
          for (const edit of edits) void carryOut(collectionOf(tx, edit.type), edit, undefined);
        }, options);
      } else {
        for (const edit of edits) await carryOut(collectionOf(this.#client, edit.type), edit, options);
      }
    });
  }

  /** Whether the client takes what the application does. */
  protected async allowed(work: () => Promise<void>): Promise<boolean> {
    try {
      await this.#life.orDie(work());
      return true;
    } catch (failure) {
      if (failure instanceof ClientError) return false;
      throw failure;
    }
  }

  async state(): Promise<State> {
    // The client has opened its storage when it shows something.
    await this.#outcomes();
    // Read before what is shown: an answer that comes meanwhile may bring an outcome.
    const { meta, flight } = await this.#life.orDie(this.#storage.read({}));
    const unsent = meta.queued + (flight?.edits.length ?? 0);
    const documents: Record<string, Body> = {};
    for (const [type, { collection }] of Object.entries(model.types)) {
      const live = collectionOf(this.#client, type, collection).live();
      for (const body of await this.#life.orDie(first(live))) documents[`${type}/${body.id as string}`] = body;
    }
    const outcomes = (await this.#outcomes()).map(({ n, status, op, type, id, mine, base }): Outcome => {
      return { n, status, op, type, id, set: mine, base: base };
    });
    const { phase, error, differing } = this.#client.status.value ?? {};
    return {
      documents,
      outcomes,
      unsent,
      ...(differing && { differing }),
      ...(phase === "halted" && { halted: error?.code ?? "" }),
    };
  }

  #outcomes(): Promise<readonly OutcomeOf<Model>[]> {
    return this.#life.orDie(first(this.#client.outcomes));
  }

  async settle(ms = SETTLE_MS): Promise<void> {
    for (const deadline = Date.now() + ms; Date.now() < deadline;) {
      const { phase, unsent } = this.#client.status.value ?? {};
      if (phase === "halted" || (phase === "live" && unsent === 0)) return;
      await this.#life.orDie(new Promise((resolve) => setTimeout(resolve, LOOK_MS)));
    }
  }

  restart(): Promise<void> {
    this.#kill();
    this.#life = new Life();
    this.#storage = new MortalStorage(this.storage(), this.#life);
    this.#client = this.#start();
    return Promise.resolve();
  }

  #kill(): void {
    this.#life.end();
    for (const socket of this.#sockets)
      socket
        .removeAllListeners()
        .on("error", () => undefined)
        .terminate();
    this.#sockets.clear();
    // Only its timers are left.
    void this.#client.close();
  }

  setToken(token: string): Promise<void> {
    this.#token = token;
    return Promise.resolve();
  }

  setOnline(isOnline: boolean): Promise<void> {
    this.#isOnline = isOnline;
    if (!isOnline) for (const socket of this.#sockets) socket.terminate();
    return Promise.resolve();
  }

  async retry(n: number): Promise<boolean> {
    const outcome = (await this.#outcomes()).find((it) => it.n === n);
    return outcome !== undefined && (await this.allowed(() => outcome.retry()));
  }

  async discard(n: number): Promise<void> {
    const outcome = (await this.#outcomes()).find((it) => it.n === n);
    await this.allowed(async () => outcome?.discard());
  }

  async refresh(): Promise<void> {
    await this.allowed(() => this.#client.refresh());
  }

  async reset(): Promise<void> {
    await this.allowed(() => this.#client.reset());
  }

  async conflicts(): Promise<readonly OpenConflict[]> {
    const { conflicts } = this.#client;
    // The gateway reports them, if there are any and it can be reached.
    const end = conflicts.subscribe(() => undefined);
    try {
      await this.#life.orDie(new Promise((resolve) => setTimeout(resolve, INBOX_MS)));
      return (conflicts.value ?? []).map(({ id, type, documentId, mine }) => ({
        id,
        type,
        documentId,
        mine: bodyOf(mine),
      }));
    } finally {
      end();
    }
  }

  async resolve(id: string, take: "mine" | "theirs"): Promise<void> {
    await this.allowed(() => this.#client.resolve(id, { take }));
  }

  /** `crash`: it dies in the middle of a step to come. `harm`: it dies, and its disk changes a document. */
  async special(act: "crash" | "harm", n: number): Promise<void> {
    if (act === "crash") {
      this.#life.doom(n >> 1, n % 2 === 1);
      return;
    }
    this.#kill();
    const storage = this.storage();
    await storage.open(freshMeta(crypto.randomUUID()), undefined, indexesOf(model));
    await harm(storage, n);
    await storage.close();
    throw new Killed();
  }

  async stop(): Promise<void> {
    this.#kill();
    await this.#storage.close();
    await this.storage().destroy();
  }
}

function collectionOf(from: object, type: string, name = collectionName(type)): AnyCollection {
  return (from as Readonly<Record<string, AnyCollection>>)[name] ?? missing(name);
}

function collectionName(type: string): string {
  return (model.types as Readonly<Record<string, { readonly collection: string }>>)[type]?.collection ?? missing(type);
}

function missing(name: string): never {
  throw new Error(`there is no ${name}`);
}

function carryOut(collection: AnyCollection, edit: Edit, options: object | undefined): Promise<unknown> {
  switch (edit.op) {
    case "create":
      return collection.create({ ...edit.document, id: edit.id }, options);
    case "update":
      return collection.update(edit.id, changesOf(edit.fields), options);
    case "delete":
      return collection.delete(edit.id, options);
  }
}

/** The fields of an update as the client takes them. */
export function changesOf(fields: Readonly<Record<string, FieldEdit>>): Changes {
  const change = (field: FieldEdit): Changes[string] => {
    if ("set" in field) return field.set;
    if ("increment" in field) return increment(field.increment);
    return "add" in field ? add(...field.add) : remove(...field.remove);
  };
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, change(field)]));
}

function bodyOf(partial: object | null): Body | null {
  return partial as Body | null;
}

/** The present value of a live one. */
async function first<T>(live: Live<T>): Promise<T> {
  for await (const value of live) return value;
  throw new Error("a live value does not end");
}
