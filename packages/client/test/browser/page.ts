/**
 * The app that runs in the pages of these tests. Its address says at which gateway, as which user, and what goes wrong.
 */

import { createClient, increment, indexedDBStorage, type Client, type Status } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { withoutDigests } from "../gateway/breaks.js";
import { model, type Model } from "../models/example.js";
import { interrupt, interrupted, type Moment, type StepKind } from "./interrupted.js";

export interface App {
  readonly client: Client<Model>;
  readonly database: string;
  /** Whether the page was frozen in the middle of a step. */
  hasFrozen: boolean;
  /** The page freezes, as far as its code can see, in the transaction of its next edit. */
  freezeInStep(): void;
  /** The page reloads in its next step of a kind. */
  reloadIn(step: StepKind, moment: Moment): void;
  /** The sockets that are open: only the leader has one. */
  sockets: number;
  /** The values of a live query, as they came: how many minutes are spent on each task. */
  readonly seen: Record<string, number>;
  /** Tasks of the page's thread that took longer than 50 ms. */
  readonly longTasks: number[];
  /** How many requests waited for the database at a time, at most: the page does nothing else while their results come. */
  mostRequests: number;
  create(title: string): Promise<string>;
  /** Adds a minute. */
  bump(id: string): Promise<void>;
  status(): Status | undefined;
  /** Whether it shows all there is, and nothing waits in the database. */
  isQuiet(): Promise<boolean>;
}

declare global {
  interface Window {
    app: App;
  }
}

const address = new URLSearchParams(location.search);
const parameter = (name: string): string => address.get(name) ?? "";

new PerformanceObserver((list) => {
  app.longTasks.push(...list.getEntries().map((entry) => entry.duration));
}).observe({ type: "longtask", buffered: true });

let requests = 0;
for (const name of ["get", "put"] as const) {
  const original = Reflect.get(IDBObjectStore.prototype, name) as (...given: unknown[]) => IDBRequest;
  IDBObjectStore.prototype[name] = function (this: IDBObjectStore, ...given: unknown[]): IDBRequest {
    const request = original.apply(this, given);
    app.mostRequests = Math.max(app.mostRequests, ++requests);
    const end = (): number => --requests;
    request.addEventListener("success", end);
    request.addEventListener("error", end);
    return request;
  };
}

class CountedSocket extends WebSocket {
  constructor(url: string | URL, protocols?: string | string[]) {
    super(url, protocols);
    app.sockets += 1;
    this.addEventListener("close", () => (app.sockets -= 1));
  }
}

const isThere = (window as { indexedDB?: IDBFactory }).indexedDB !== undefined;
const storage = isThere ? indexedDBStorage(parameter("database")) : memoryStorage();
const client = createClient<Model>({
  url: parameter("url"),
  token: () => parameter("token"),
  model: address.has("unhashed") ? { ...model, operations: withoutDigests(model.operations) } : model,
  storage: interrupted(storage),
  webSocket: CountedSocket,
  pauses: { minMs: 20, maxMs: 200 },
});

const app: App = {
  client,
  database: parameter("database"),
  hasFrozen: false,
  freezeInStep: () => {
    interrupt("edit", "running", () => {
      app.hasFrozen = true;
      document.dispatchEvent(new Event("freeze"));
    });
  },
  reloadIn: (step, moment) => {
    interrupt(step, moment, () => {
      location.reload();
    });
  },
  sockets: 0,
  seen: {},
  longTasks: [],
  mostRequests: 0,
  create: (title) => client.tasks.create({ title, audience: "team:demo" }),
  bump: (id) => client.tasks.update(id, { minutesSpent: increment(1) }),
  status: () => client.status.value,
  isQuiet: async () => {
    if (client.status.value?.phase !== "live") return false;
    const { meta, flight } = await storage.read({});
    return !flight && meta.queued === 0;
  },
};
window.app = app;

client.tasks.live({ orderBy: ["title_ASC"], limit: 50 }).subscribe((tasks) => {
  for (const { id, minutesSpent } of tasks) app.seen[id] = minutesSpent;
});
