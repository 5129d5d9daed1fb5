/**
 * Where the tests of this package find the gateway. `cargo build` makes its binary.
 */

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { end, freePort, Gateway } from "@tidegate/conformance";

export const ROOT = fileURLToPath(new URL("../../../../../", import.meta.url));
export const BINARY = process.env.TIDEGATE_BINARY ?? join(ROOT, "target/debug/tidegate");

/** A real gateway on an embedded store. */
export function startGateway(): Promise<Gateway> {
  return Gateway.start({ binary: BINARY });
}

/** A gateway as `serve` runs it, with the same model: `dev` has no settings. Returns it, and how to stop it. */
export async function serveGateway(
  settings: Readonly<Record<string, string>>,
): Promise<readonly [Gateway, () => Promise<void>]> {
  const directory = await mkdtemp(join(tmpdir(), "tidegate-served-"));
  const listen = `127.0.0.1:${await freePort()}`;
  const secret = randomBytes(32).toString("hex");
  const process = spawn(BINARY, ["serve"], {
    cwd: directory,
    stdio: ["ignore", "ignore", "inherit"],
    env: {
      TIDEGATE_LOG: "error",
      TIDEGATE_LISTEN: listen,
      TIDEGATE_MODEL: join(ROOT, "model.graphql"),
      TIDEGATE_STORE__URL: "embedded:data",
      TIDEGATE_AUTH__ALGORITHMS: "HS256",
      TIDEGATE_AUTH__SECRET: secret,
      ...settings,
    },
  });
  const gateway = Gateway.running(`http://${listen}`, secret);
  const isReady = (): Promise<boolean> =>
    fetch(`${gateway.origin}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (process.exitCode === null && !(await isReady())) await pause(20);
  const stop = async (): Promise<void> => {
    await end(process);
    await rm(directory, { recursive: true });
  };
  return [gateway, stop];
}
