/**
 * Random histories of several devices over one real gateway, on both stores. In the end all devices see what a fresh one
 * gets, and each edit took effect once or has an outcome.
 *
 * TIDEGATE_HISTORIES sets how many there are in all, TIDEGATE_HISTORIES_SEED repeats those of a run. A failure prints its
 * seed and is cut down.
 */

import { setTimeout as pause } from "node:timers/promises";
import fc from "fast-check";
import "fake-indexeddb/auto";
import {
  COMMON,
  Gateway,
  histories,
  INBOX,
  NETWORK,
  OUTCOMES,
  plain,
  special,
  World,
  type Device,
  type GatewayOptions,
  type Kinds,
  type Place,
  type Proxy,
  type Service,
} from "@tidegate/conformance";
import { indexedDBStorage, type Storage } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { BINARY } from "./gateway.js";

const HISTORIES = Number(process.env.TIDEGATE_HISTORIES ?? 200);
const SEED = process.env.TIDEGATE_HISTORIES_SEED;

const HISTORY_MS = 180_000;
/** How long a failure may be cut down. What never becomes quiet takes its whole time with each try. */
const CUT_MS = 300_000;

export const DEVICES = 3;

/** What an operator does beside a service that writes often. */
const BESIDE = {
  operations: ["rotate", "collect", "crash", ...new Array<"write">(12).fill("write")] as const,
  operated: 12,
};

/** What happens to whole clients, behind proxies. */
export const UNHARMED = {
  devices: DEVICES,
  steps: 60,
  acts: [
    ...COMMON,
    ...OUTCOMES,
    ...NETWORK,
    ...INBOX,
    { weight: 1, arbitrary: plain("refresh") },
    { weight: 1, arbitrary: plain("reset") },
    { weight: 2, arbitrary: special("crash", 9) },
  ],
  faults: true,
};

/** Their disks lose documents, too. */
export const CLIENTS = harmed(1);

export function harmed(weight: number): typeof UNHARMED {
  return { ...UNHARMED, acts: [...UNHARMED.acts, { weight, arbitrary: special("harm", 99) }] };
}

export interface Play {
  readonly kinds: Omit<Kinds, "operations">;
  readonly newDevice: (place: Place, at: number) => Promise<Device>;
  /** Of all histories. */
  readonly share: number;
  /** A database of MongoDB; without it the gateway has an embedded store. */
  readonly store?: Pick<GatewayOptions, "store" | "backups">;
  readonly proxies?: readonly Proxy[];
  /** Another service that writes to the store; it is not put back then. */
  readonly service?: Service;
  /** How long all may take to become quiet. */
  readonly quietMs?: number;
  /** Whether a failure is cut down, as it is by default. */
  readonly shrinks?: boolean;
}

export async function play(how: Play): Promise<void> {
  const { kinds, newDevice, share, store, proxies, service, quietMs, shrinks = true } = how;
  const gateway = await Gateway.start({ binary: BINARY, ...store });
  for (const proxy of proxies ?? []) proxy.target = gateway.origin;
  const waits = quietMs !== undefined && { quietMs };
  const others = { ...(proxies && { proxies }), ...(service && { service }), ...waits };
  const options = { gateway, devices: DEVICES, newDevice, ...others };
  const operations = service ? BESIDE : { operations: gateway.operations };
  const drawn = histories({ ...kinds, ...operations });
  try {
    let end = Infinity;
    const property = fc.asyncProperty(drawn, async (history) => {
      if (Date.now() > end) return;
      try {
        await inTime(World.play(options, history));
      } catch (failure) {
        end = Math.min(end, Date.now() + CUT_MS);
        throw failure;
      }
    });
    const seed = SEED === undefined ? {} : { seed: Number(SEED) };
    await fc.assert(property, {
      numRuns: Math.ceil(HISTORIES * share),
      includeErrorInReport: true,
      endOnFailure: !shrinks,
      ...seed,
    });
  } finally {
    await gateway.stop();
  }
}

/** A history that hangs is one that fails. */
async function inTime(play: Promise<void>): Promise<void> {
  const ended = new AbortController();
  const late = pause(HISTORY_MS, undefined, ended).then(() => {
    throw new Error(`the history has not ended in ${HISTORY_MS} ms`);
  });
  try {
    await Promise.race([play, late]);
  } finally {
    ended.abort();
  }
}

/** One of the devices keeps what it has in IndexedDB. Each run of an application opens its storage again. */
export function storageOf({ name }: Place, at: number): () => Storage {
  const memory = memoryStorage();
  return () => (at === 0 ? indexedDBStorage(name) : memory);
}
