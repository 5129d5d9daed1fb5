#!/usr/bin/env node
/**
 * The command `tidegate-conformance`: holds a driver against a real gateway.
 */

import { parseArgs } from "node:util";
import { Gateway } from "./gateway.js";
import { runSuite } from "./suite.js";

const USAGE = `Usage: tidegate-conformance [OPTIONS] -- DRIVER [ARGUMENTS]

Plays random histories on three devices, each a process of DRIVER, and says which promise is broken.

Options:
  --gateway PROGRAM  The program tidegate; it runs a gateway of the built-in example [default: tidegate]
  --store URL        A database of a MongoDB replica set for it, instead of an embedded store
  --url URL          A gateway that runs already, as http://127.0.0.1:4000, with the key of --key
  --key KEY          The key of that gateway: the file dev.key of \`tidegate dev\`
  --histories N      How many histories [default: 50]
  --seed N           Repeats the histories of a run
  --shrink           Cuts down a history that fails`;

const OPTIONS = {
  gateway: { type: "string", default: "tidegate" },
  store: { type: "string" },
  url: { type: "string" },
  key: { type: "string" },
  histories: { type: "string", default: "50" },
  seed: { type: "string" },
  shrink: { type: "boolean", default: false },
} as const;

async function main(): Promise<void> {
  const { values, positionals: command } = parseArgs({ options: OPTIONS, allowPositionals: true });
  if (command.length === 0) throw new TypeError(USAGE);
  const { gateway: binary, store, url, key } = values;
  const seed = Number(values.seed ?? Date.now() % 1_000_000_007);
  const histories = Number(values.histories);
  process.stdout.write(`${histories} histories with seed ${seed}\n`);
  const gateway =
    url === undefined
      ? await Gateway.start({ binary, ...(store !== undefined && { store }) })
      : Gateway.running(new URL(url).origin, key ?? "");
  try {
    await runSuite({ gateway, command, histories, seed, shrinks: values.shrink });
    process.stdout.write("the client keeps every promise\n");
  } finally {
    await gateway.stop();
  }
}

main().catch((failure: unknown) => {
  process.stderr.write(`${failure instanceof Error ? failure.message : String(failure)}\n`);
  process.exitCode = 1;
});
