/**
 * Devices for the tests of adapters: clients of a real gateway that can be offline, on a database that outlasts them.
 */

import type { Gateway } from "@tidegate/conformance";
import { WebSocket as NodeWebSocket } from "ws";
import { createClient, indexedDBStorage, type Client, type Live, type Storage } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { startGateway } from "../gateway/gateway.js";
import { model, type Model } from "../models/example.js";
import { model as harbour, type Model as Harbour } from "../models/harbour.js";

/** How much longer a gateway takes a token than it says. */
const LEEWAY_S = 10;

export interface DeviceOptions {
  readonly user?: string;
  readonly teams?: readonly string[];
  readonly storage?: Storage;
  readonly online?: boolean;
  readonly webSocket?: typeof WebSocket;
}

/** A client and its network. */
export interface Device {
  readonly client: Client<Model>;
  /** The names of the database, and how to reach the gateway. */
  online: boolean;
  /** The next tokens are for these teams, and the present one ends in two seconds. */
  teams: readonly string[];
  /** The bodies of all requests. */
  readonly requests: string[];
}

let names = 0;

/** A database of its own. */
export function newStorage(): Storage {
  return indexedDBStorage(`adapters ${++names}`);
}

/** Devices of one gateway; all of them are closed at the end. */
export class World {
  readonly #devices: Device[] = [];

  private constructor(readonly gateway: Gateway) {}

  static async start(): Promise<World> {
    return new World(await startGateway());
  }

  /** A token lasts two seconds if `short` is given. */
  device(options: DeviceOptions = {}, short = false): Device {
    const { user = "alice", teams = ["demo"], storage = newStorage(), online = true } = options;
    const device: { -readonly [K in keyof Device]: Device[K] } = {
      online,
      teams,
      requests: [],
      client: undefined as never,
    };
    device.client = createClient<Model>({
      url: this.gateway.url,
      token: () => this.gateway.token(user, device.teams, short ? 2 - LEEWAY_S : 3600),
      model,
      storage,
      fetch: (url, init) => {
        if (!device.online) return Promise.reject(new TypeError("offline"));
        if (typeof init?.body === "string") device.requests.push(init.body);
        return fetch(url, init);
      },
      webSocket: options.webSocket ?? (NodeWebSocket as unknown as typeof WebSocket),
      pauses: { minMs: 5, maxMs: 50 },
    });
    this.#devices.push(device);
    return device;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#devices.map(({ client }) => client.close()));
    await this.gateway.stop();
  }
}

/** Waits for a value of which something holds. */
export async function until<T>(live: Live<T>, holds: (value: T) => boolean): Promise<T> {
  for await (const value of live) if (holds(value)) return value;
  throw new Error("a live value does not end");
}

/** Waits until all is sent and the client follows. */
export async function quiet({ client }: Device): Promise<void> {
  await until(client.status, ({ phase, unsent }) => phase === "live" && unsent === 0);
}

/** Waits until something holds. */
export async function eventually(what: string, holds: () => boolean | Promise<boolean>, ms = 60_000): Promise<void> {
  const end = Date.now() + ms;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A client of another model, offline, with a vessel that has embedded documents in lists and in each other. */
export async function fleet(): Promise<Client<Harbour>> {
  const client = createClient<Harbour>({
    url: "http://gateway.invalid",
    token: () => "none",
    model: harbour,
    storage: memoryStorage(),
    fetch: () => Promise.reject(new TypeError("offline")),
  });
  await client.vessels.create({
    id: "v",
    port: "Hull",
    name: "Seagull",
    flag: "NL",
    dimension: { length: 12, width: 4, unit: "m" },
    crew: [{ name: "Ann", phones: [{ number: "1" }, { number: "2" }] }, { name: "Ben" }],
  });
  return client;
}

/** What a cache asks of it, and the answer. */
export const FLEET = `query { vessel(id: "v") { __typename id
  dimension { __typename length } crew { __typename name phones { __typename number } }
} }`;
const phone = (number: string): object => ({ __typename: "Phone", number });
export const FLEET_ANSWER = {
  vessel: {
    __typename: "Vessel",
    id: "v",
    dimension: { __typename: "Dimension", length: 12 },
    crew: [
      { __typename: "Contact", name: "Ann", phones: [phone("1"), phone("2")] },
      { __typename: "Contact", name: "Ben", phones: null },
    ],
  },
};
