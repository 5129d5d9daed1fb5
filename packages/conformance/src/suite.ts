/**
 * The live suite: random histories of drivers on a real gateway, through proxies that fail.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { DriverDevice } from "./driver.js";
import type { Gateway } from "./gateway.js";
import { COMMON, histories, NETWORK, special, type History } from "./history.js";
import { Proxy } from "./proxy.js";
import { World, type Place } from "./world.js";

const DEVICES = 3;
const STEPS = 40;

export interface SuiteOptions {
  readonly gateway: Gateway;
  /** The driver's program and its arguments. */
  readonly command: readonly string[];
  readonly histories: number;
  /** Histories to begin with, instead of as many random ones. */
  readonly chosen?: readonly History[];
  readonly seed: number;
  /** Whether a failure is cut down; it takes many more histories. */
  readonly shrinks: boolean;
}

/** Rejects with the first failure, the history that shows it and its seed. */
export async function runSuite(options: SuiteOptions): Promise<void> {
  const { gateway, command, histories: numRuns, chosen = [], seed, shrinks } = options;
  const directory = await mkdtemp(join(tmpdir(), "tidegate-drivers-"));
  const proxies = await Promise.all(Array.from({ length: DEVICES }, () => Proxy.start(gateway.origin)));
  const kinds = {
    devices: DEVICES,
    steps: STEPS,
    acts: [...COMMON, ...NETWORK, { weight: 3, arbitrary: special("crash", 30) }],
    operations: gateway.operations,
    faults: true,
  };
  const world = {
    gateway,
    proxies,
    devices: DEVICES,
    newDevice: (place: Place) => DriverDevice.start(command, place, join(directory, place.name)),
  };
  try {
    const property = fc.asyncProperty(histories(kinds), (history) => World.play(world, history));
    const examples = chosen.map((history): [History] => [history]);
    await fc.assert(property, { numRuns, examples, seed, endOnFailure: !shrinks, includeErrorInReport: true });
  } finally {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await rm(directory, { recursive: true });
  }
}
