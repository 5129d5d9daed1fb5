/**
 * Histories of whole clients, through proxies that lose, delay, double and cut what passes.
 */

import { after, before, test } from "node:test";
import { Proxy, type Device, type Place } from "@tidegate/conformance";
import { ClientDevice } from "./client-device.js";
import { CLIENTS, DEVICES, play, storageOf } from "./histories.js";
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

const newDevice = (place: Place, at: number): Promise<Device> =>
  Promise.resolve(new ClientDevice(place, storageOf(place, at)));

test("clients keep every promise on an embedded store", () => play({ kinds: CLIENTS, newDevice, share: 0.3, proxies }));

test("clients keep every promise on MongoDB", () =>
  play({ kinds: CLIENTS, newDevice, share: 0.2, proxies, store: mongod.store("clients") }));
