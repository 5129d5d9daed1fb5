/**
 * The live suite: random histories of drivers on a real gateway, through proxies that fail.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { DriverDevice } from "./driver.js";
import type { Gateway } from "./gateway.js";
import { COMMON, histories, NETWORK, special } from "./history.js";
import { Proxy } from "./proxy.js";
import { World } from "./world.js";

const DEVICES = 3;
const STEPS = 40;

export interface SuiteOptions {
  readonly gateway: Gateway;
  /** The driver's program and its arguments. */
  readonly command: readonly string[];
  readonly histories: number;
  readonly seed: number;
  /** Whether a failure is cut down; it takes many more histories. */
  readonly shrinks: boolean;
}

/** Rejects with the first failure, the history that shows it and its seed. */
export async function runSuite({ gateway, command, histories: numRuns, seed, shrinks }: SuiteOptions): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "tidegate-drivers-"));
  const proxies = await Promise.all(Array.from({ length: DEVICES }, () => Proxy.start(gateway.origin)));
  const kinds = {
    devices: DEVICES,
    steps: STEPS,
    acts: [...COMMON, ...NETWORK, { weight: 3, arbitrary: special("crash", 30) }],
    operations: gateway.operations,
    faults: true,
  };
  const options = {
    gateway,
    proxies,
    devices: DEVICES,
    newDevice: (place: { name: string; url: string; token: string }) =>
      DriverDevice.start(command, place, join(directory, place.name)),
  };
  try {
    const property = fc.asyncProperty(histories(kinds), (history) => World.play(options, history));
    await fc.assert(property, { numRuns, seed, endOnFailure: !shrinks, includeErrorInReport: true });
  } finally {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await rm(directory, { recursive: true });
  }
}
