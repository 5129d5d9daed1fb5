/**
 * Where the tests of this package find the gateway. `cargo build` makes its binary.
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Gateway } from "@tidegate/conformance";

export const ROOT = fileURLToPath(new URL("../../../../../", import.meta.url));
export const BINARY = process.env.TIDEGATE_BINARY ?? join(ROOT, "target/debug/tidegate");

/** A real gateway on an embedded store. */
export function startGateway(settings: Readonly<Record<string, string>> = {}): Promise<Gateway> {
  return Gateway.start({ binary: BINARY, settings });
}
