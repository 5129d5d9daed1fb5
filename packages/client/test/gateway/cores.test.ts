/**
 * Histories in which the test itself delivers each message to each core: late, twice or never.
 */

import { after, before, test } from "node:test";
import { COMMON, OUTCOMES, plain, special, type Device, type Place } from "@tidegate/conformance";
import { CoreDevice } from "./core-device.js";
import { DEVICES, play, storageOf } from "./histories.js";
import { Mongod } from "./mongod.js";
import { OtherService } from "./service.js";

let mongod: Mongod;

before(async () => {
  mongod = await Mongod.start();
});

after(() => mongod.stop());

const CORES = {
  devices: DEVICES,
  steps: 90,
  acts: [
    ...COMMON,
    ...OUTCOMES,
    { weight: 1, arbitrary: plain("refresh") },
    { weight: 8, arbitrary: special("pull") },
    { weight: 10, arbitrary: special("push", 3) },
    { weight: 20, arbitrary: special("deliver", 7) },
    { weight: 2, arbitrary: special("lose", 3) },
    { weight: 1, arbitrary: special("forget") },
    { weight: 2, arbitrary: special("crash", 9) },
  ],
  faults: false,
};

const newDevice = (place: Place, at: number): Promise<Device> => CoreDevice.start(place, storageOf(place, at));

test("cores keep every promise on an embedded store", () => play({ kinds: CORES, newDevice, share: 0.3 }));

test("cores keep every promise on MongoDB", () =>
  play({ kinds: CORES, newDevice, share: 0.2, store: mongod.store("cores") }));

test("cores keep every promise beside a service that writes to the same collections", async () => {
  const store = mongod.store("service");
  const service = new OtherService(store.store);
  try {
    await play({ kinds: CORES, newDevice, share: 0.05, store, service });
  } finally {
    await service.close();
  }
});
