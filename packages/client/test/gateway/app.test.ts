/**
 * The application of the README under the whole torture: its own commands and its page, in random histories through
 * proxies that lose, delay, double and cut what passes.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Proxy, type Device, type Place } from "@tidegate/conformance";
import "../alias.js";
import type { tasksOf } from "../../examples/tasks.js";
import { AppDevice, type Break } from "./app-device.js";
import { BROKEN } from "./breaks.js";
import { CLIENTS, DEVICES, play, storageOf } from "./histories.js";
import { Mongod } from "./mongod.js";

let application: typeof tasksOf;
let mongod: Mongod;
let proxies: readonly Proxy[];

before(async () => {
  ({ tasksOf: application } = await import("../../examples/tasks.js"));
  mongod = await Mongod.start();
  proxies = await Promise.all(Array.from({ length: DEVICES }, () => Proxy.start("http://127.0.0.1:1")));
});

after(async () => {
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  await mongod.stop();
});

function newApp(broken?: Break): (place: Place, at: number) => Promise<Device> {
  return (place, at) => Promise.resolve(new AppDevice(application, place, storageOf(place, at), broken));
}

test("the application of the README keeps every promise on an embedded store", () =>
  play({ kinds: CLIENTS, newDevice: newApp(), share: 0.1, proxies }));

test("the application of the README keeps every promise on MongoDB", () =>
  play({ kinds: CLIENTS, newDevice: newApp(), share: 0.05, proxies, store: mongod.store("application") }));

for (const { does, verdict, ...broken } of BROKEN) {
  test(`histories find an application that ${does}`, async () => {
    const found = play({
      kinds: CLIENTS,
      newDevice: newApp(broken),
      share: 1,
      proxies,
      quietMs: 5_000,
      shrinks: false,
    });
    await assert.rejects(found, verdict);
  });
}
