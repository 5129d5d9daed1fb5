/**
 * Histories of whole clients, through proxies that lose, delay, double and cut what passes.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  COMMON,
  INBOX,
  NETWORK,
  OUTCOMES,
  plain,
  Proxy,
  special,
  type Device,
  type Place,
} from "@tidegate/conformance";
import "../alias.js";
import type { Client, ClientOptions } from "../../src/index.js";
import type { Model } from "../models/example.js";
import { ClientDevice } from "./client-device.js";
import { DEVICES, play, storageOf } from "./histories.js";
import { Mongod } from "./mongod.js";

let mongod: Mongod;
let proxies: readonly Proxy[];

before(async () => {
  mongod = await Mongod.start();
  proxies = await Promise.all(Array.from({ length: DEVICES }, () => Proxy.start("http://127.0.0.1:1")));
});

after(async () => {
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  await mongod.stop();
});

const CLIENTS = {
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

const newDevice = (place: Place, at: number): Promise<Device> =>
  Promise.resolve(new ClientDevice(place, storageOf(place, at)));

test("the application of the README keeps every promise, without a line of sync code", async () => {
  const { tasksOf } = await import("../../examples/tasks.js");
  let drawn = 0;
  const create = (options: ClientOptions): Client<Model> => tasksOf("alice", options, () => (drawn += 1)).client;
  const newApplication = (place: Place, at: number): Promise<Device> =>
    Promise.resolve(new ClientDevice(place, storageOf(place, at), create));
  for (const on of [{}, { store: mongod.url("application") }]) {
    await play({ kinds: CLIENTS, newDevice: newApplication, share: 0.015, proxies, ...on });
  }
  assert.ok(drawn > 100);
});

test("clients keep every promise on an embedded store", () => play({ kinds: CLIENTS, newDevice, share: 0.3, proxies }));

test("clients keep every promise on MongoDB", () =>
  play({ kinds: CLIENTS, newDevice, share: 0.2, proxies, store: mongod.url("clients") }));
