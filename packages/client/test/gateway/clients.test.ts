/**
 * Histories of whole clients, through proxies that lose, delay, double and cut what passes.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Proxy, type Device, type Place } from "@tidegate/conformance";
import { createClient, type Client, type ClientOptions } from "../../src/index.js";
import type { Model } from "../models/example.js";
import type { Break } from "./app-device.js";
import { DISHONEST } from "./breaks.js";
import { ClientDevice } from "./client-device.js";
import { CLIENTS, DEVICES, harmed, play, storageOf, UNHARMED } from "./histories.js";
import { Mongod } from "./mongod.js";
import { OtherService } from "./service.js";

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

const newDevice = (place: Place, at: number): Promise<Device> =>
  Promise.resolve(new ClientDevice(place, storageOf(place, at)));

function newClient({ options = (it) => it }: Break): typeof newDevice {
  const create = (given: ClientOptions): Client<Model> => createClient<Model>(options(given));
  return (place, at) => Promise.resolve(new ClientDevice(place, storageOf(place, at), create));
}

test("clients keep every promise on an embedded store", () => play({ kinds: CLIENTS, newDevice, share: 0.3, proxies }));

test("clients keep every promise on MongoDB", () =>
  play({ kinds: CLIENTS, newDevice, share: 0.2, proxies, store: mongod.store("clients") }));

test("clients keep every promise beside a service that writes to the same collections", async () => {
  const store = mongod.store("service");
  const service = new OtherService(store.store);
  try {
    await play({ kinds: CLIENTS, newDevice, share: 0.05, proxies, store, service });
  } finally {
    await service.close();
  }
});

for (const { does, verdict, isHarmed, ...broken } of DISHONEST) {
  test(`histories find a client that ${does}`, async () => {
    const how = {
      kinds: isHarmed ? harmed(20) : UNHARMED,
      newDevice: newClient(broken),
      proxies,
      quietMs: 5_000,
      shrinks: false,
    };
    await assert.rejects(play({ ...how, share: 1 }), verdict);
  });
}
