#!/usr/bin/env node
/**
 * The command `tidegate-conformance`: holds a driver against a real gateway.
 */

import { parseArgs } from "node:util";
import { freshSync } from "./feed.js";
import { backupsBy, Gateway } from "./gateway.js";
import { runSuite } from "./suite.js";

const USAGE = `Usage: tidegate-conformance [OPTIONS] -- DRIVER [ARGUMENTS]

Plays random histories on three devices, each a process of DRIVER, and says which promise is broken.

Options:
  --gateway PROGRAM  The program tidegate; it runs a gateway of the built-in example [default: tidegate]
  --store URL        A database of a MongoDB replica set for it, instead of an embedded store
  --backup COMMAND   Copies that database, while no gateway runs
  --restore COMMAND  Puts the copy back
  --url URL          A gateway of the example that runs already, as http://127.0.0.1:4000. It gets documents
  --key KEY          The key of that gateway: what is in the file dev.key of \`tidegate dev\`
  --histories N      How many histories [default: 50]
  --seed N           Repeats the histories of a run
  --shrink           Cuts down a history that fails`;

const OPTIONS = {
  gateway: { type: "string", default: "tidegate" },
  store: { type: "string" },
  backup: { type: "string" },
  restore: { type: "string" },
  url: { type: "string" },
  key: { type: "string" },
  histories: { type: "string", default: "50" },
  seed: { type: "string" },
  shrink: { type: "boolean", default: false },
} as const;

async function main(): Promise<void> {
  const { values, positionals: command } = parseArgs({ options: OPTIONS, allowPositionals: true });
  if (command.length === 0) throw new TypeError(USAGE);
  const seed = wholeOf("--seed", values.seed ?? String(Date.now() % 1_000_000_007));
  const histories = wholeOf("--histories", values.histories);
  const gateway = await gatewayOf(values);
  try {
    process.stdout.write(`${histories} histories with seed ${seed}\n`);
    await runSuite({ gateway, command, histories, seed, shrinks: values.shrink });
    process.stdout.write("the client keeps every promise\n");
  } finally {
    await gateway.stop();
  }
}

interface Where {
  readonly gateway: string;
  readonly store?: string | undefined;
  readonly backup?: string | undefined;
  readonly restore?: string | undefined;
  readonly url?: string | undefined;
  readonly key?: string | undefined;
}

/** The gateway that the options name. One that runs already has to take the suite's tokens. */
async function gatewayOf({ gateway: binary, store, backup, restore, url, key }: Where): Promise<Gateway> {
  const isPair = (backup === undefined) === (restore === undefined);
  if (!isPair || (backup !== undefined && store === undefined)) {
    throw new TypeError("--backup and --restore are for the database of --store, and need each other");
  }
  if (url === undefined) {
    if (key !== undefined) throw new TypeError("--key is that of the gateway of --url");
    const backups = backup !== undefined && restore !== undefined && { backups: backupsBy(backup, restore) };
    return Gateway.start({ binary, ...(store !== undefined && { store }), ...backups });
  }
  if (store !== undefined) throw new TypeError("--url names a gateway that runs already, with a store of its own");
  if (key === undefined) throw new TypeError("--url needs the key of that gateway by --key");
  const { origin, protocol } = new URL(url);
  if (protocol !== "http:") throw new TypeError("the suite's proxies speak plain HTTP: --url is http://…");
  const gateway = Gateway.running(origin, key);
  await freshSync(gateway.url, gateway.token("conformance")).catch((failure: unknown) => {
    throw new Error(`the gateway at ${origin} gives the suite no documents: ${String(failure)}`);
  });
  return gateway;
}

function wholeOf(option: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new TypeError(`${option} is a whole number, and not ${text}`);
  return Number(text);
}

main().catch((failure: unknown) => {
  process.stderr.write(`${failure instanceof Error ? failure.message : String(failure)}\n`);
  process.exitCode = 1;
});
