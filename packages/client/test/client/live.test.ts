/** Values that are computed while anybody listens, as those get them who listen for a moment. */

import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { test } from "node:test";
import { computed, type Source } from "../../src/client/live.js";

const SOURCE: Source = {
  opened: Promise.resolve(),
  hides: () => false,
  engine: { listen: () => () => undefined },
};

test("who listens for a moment, and again later, gets what has changed meanwhile", async () => {
  let shown = ["old"];
  const live = computed(SOURCE, () => ({ depends: () => true, compute: () => Promise.resolve(shown) }));
  const looks = async (): Promise<readonly string[] | undefined> => {
    live.subscribe(() => undefined)();
    await setTimeout(5);
    return live.value;
  };
  assert.deepEqual(await looks(), ["old"]);
  shown = ["new"];
  assert.deepEqual(await looks(), ["new"]);
});

test("what was computed for an earlier listener does not replace what a later one gets", async () => {
  const waits = [40, 5];
  let begun = 0;
  const live = computed(SOURCE, () => {
    const nth = begun++;
    return { depends: () => true, compute: () => setTimeout(waits[nth], [nth]) };
  });
  live.subscribe(() => undefined)();
  await setTimeout(1);
  const end = live.subscribe(() => undefined);
  await setTimeout(80);
  assert.deepEqual(live.value, [1]);
  end();
});
