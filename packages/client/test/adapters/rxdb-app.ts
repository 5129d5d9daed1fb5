/**
 * Apps of RxDB over devices, for the tests of the adapter: with a gateway, or with a client alone whose other edits stand for
 * those of others.
 */

import {
  createRxDatabase,
  overwritable,
  type RxCollection,
  type RxDatabase,
  type RxJsonSchema,
  type RxStorage,
} from "rxdb";
import { getRxStorageMemory } from "rxdb/plugins/storage-memory";
import { Mirror, type MirrorOptions } from "../../src/adapters/mirror.js";
import { replicateRxDB, type Refusal, type RxDBReplication } from "../../src/adapters/rxdb.js";
import { INSIDE } from "../../src/client/inside.js";
import { createClient, type Client } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { model, type Model } from "../models/example.js";
import { until, type Device, type DeviceOptions, type World } from "./world.js";

export interface TaskDoc {
  readonly id: string;
  readonly title: string;
  readonly audience?: string;
  readonly notes?: string;
  readonly done?: boolean;
  readonly minutesSpent?: number;
  readonly labels?: readonly string[];
  readonly syncLocal?: number;
}

export interface Collections {
  readonly tasks: RxCollection<TaskDoc>;
}

export const TASKS: RxJsonSchema<TaskDoc> = {
  version: 0,
  primaryKey: "id",
  type: "object",
  properties: {
    id: { type: "string", maxLength: 100 },
    title: { type: "string" },
    audience: { type: "string" },
    notes: { type: "string" },
    done: { type: "boolean" },
    minutesSpent: { type: "integer" },
    labels: { type: "array", items: { type: "string" } },
    syncLocal: { type: "integer" },
  },
  required: ["id", "title"],
};

let names = 0;

/** A name that no other database has. */
export function newName(): string {
  return `rx${++names}`;
}

/** An app of RxDB over a device. */
export interface App {
  readonly device: Device;
  readonly rx: RxDatabase;
  readonly tasks: RxCollection<TaskDoc>;
  readonly sync: RxDBReplication;
  readonly refused: Refusal[];
  readonly close: () => Promise<void>;
}

export interface AppOptions extends DeviceOptions {
  readonly name?: string;
  readonly rxStorage?: RxStorage<unknown, unknown>;
  readonly short?: boolean;
  /** Whether tabs share its databases. */
  readonly tabs?: boolean;
}

function openAlone(name: string, storage: RxStorage<unknown, unknown>): Promise<RxDatabase> {
  return createRxDatabase({ name, storage, multiInstance: false });
}

/** RxDB opens a database twice in one process only while it is being developed with. */
async function openTab(name: string, storage: RxStorage<unknown, unknown>): Promise<RxDatabase> {
  overwritable.isDevMode = () => true;
  try {
    return await createRxDatabase({ name, storage, multiInstance: true, eventReduce: false, ignoreDuplicate: true });
  } finally {
    overwritable.isDevMode = () => false;
  }
}

/** Apps and devices of one team, for one test. */
export class Team {
  readonly audience: string;

  constructor(
    readonly world: World,
    readonly name: string,
  ) {
    this.audience = `team:${name}`;
  }

  device(options: DeviceOptions = {}, short = false): Device {
    return this.world.device({ teams: [this.name], ...options }, short);
  }

  async app({
    name = newName(),
    rxStorage = getRxStorageMemory(),
    short = false,
    tabs = false,
    ...options
  }: AppOptions = {}): Promise<App> {
    const device = this.device(options, short);
    const rx = await (tabs ? openTab(name, rxStorage) : openAlone(name, rxStorage));
    const { tasks } = await rx.addCollections<Collections>({ tasks: { schema: TASKS } });
    const refused: Refusal[] = [];
    const sync = replicateRxDB({
      client: device.client,
      collections: { tasks: tasks as RxCollection },
      onRefused: (refusal) => refused.push(refusal),
    });
    const close = async (): Promise<void> => {
      await sync.stop();
      await rx.close();
      await device.client.close();
    };
    return { device, rx, tasks, sync, refused, close };
  }

  /** A task in view of other devices. */
  async shared(title: string): Promise<string> {
    const { client } = this.device({ user: "bob", storage: memoryStorage() });
    const id = await client.tasks.create({ title, audience: this.audience });
    await until(client.status, ({ phase, unsent }) => phase === "live" && unsent === 0);
    await client.close();
    return id;
  }
}

export async function shownIn({ tasks }: Pick<App, "tasks">, id: string): Promise<TaskDoc | undefined> {
  return (await tasks.findOne(id).exec())?.toJSON();
}

/** A mirror of a client that is offline. */
export interface Pair {
  readonly client: Client<Model>;
  readonly tasks: RxCollection<TaskDoc>;
  readonly mirror: Mirror;
  readonly close: () => Promise<void>;
}

export interface PairOptions {
  readonly inTurn?: MirrorOptions["inTurn"];
  readonly rxStorage?: RxStorage<unknown, unknown>;
  readonly name?: string;
  readonly client?: Client<Model>;
}

export function offline(): Client<Model> {
  return createClient<Model>({
    url: "http://gateway.invalid",
    token: () => "none",
    model,
    storage: memoryStorage(),
    fetch: () => Promise.reject(new TypeError("offline")),
  });
}

export async function pairOf({
  inTurn = (work) => work(),
  rxStorage = getRxStorageMemory(),
  name = newName(),
  client = offline(),
}: PairOptions = {}): Promise<Pair> {
  const rx = await openAlone(name, rxStorage);
  const { tasks }: Collections = await rx.addCollections<Collections>({ tasks: { schema: TASKS } });
  const mirror = new Mirror({
    inside: client[INSIDE],
    type: "Task",
    collection: tasks as RxCollection,
    inTurn,
    onRefused: ({ error }) => {
      throw error;
    },
  });
  const close = async (): Promise<void> => {
    await mirror.stop();
    await rx.close();
  };
  return { client, tasks, mirror, close };
}

/** A point where work waits while it is closed. */
export class Gate {
  #opened = Promise.resolve();
  #open: () => void = () => undefined;
  #waiting = 0;

  /** Whether any work waits. */
  get isReached(): boolean {
    return this.#waiting > 0;
  }

  close(): void {
    this.#opened = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  open(): void {
    this.#open();
  }

  async pass(): Promise<void> {
    this.#waiting += 1;
    await this.#opened;
    this.#waiting -= 1;
  }
}

/** A storage whose writes first pass `before`, with the name that RxDB gives their purpose. */
export function watched(
  storage: RxStorage<unknown, unknown>,
  before: (purpose: string) => Promise<void>,
): RxStorage<unknown, unknown> {
  const createStorageInstance: typeof storage.createStorageInstance = async (parameters) => {
    const instance = await storage.createStorageInstance(parameters);
    const write = instance.bulkWrite.bind(instance);
    instance.bulkWrite = async (rows, purpose) => {
      await before(purpose);
      return write(rows, purpose);
    };
    return instance;
  };
  return { ...storage, createStorageInstance };
}
