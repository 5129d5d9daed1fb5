/**
 * A real gateway on an embedded store, for the tests of this directory. `cargo build` makes its binary.
 */

import { spawn, type ChildProcess } from "node:child_process";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../../../", import.meta.url));
export const BINARY = process.env.TIDEGATE_BINARY ?? join(ROOT, "target/debug/tidegate");

export class Gateway {
  readonly #key: string;

  private constructor(
    readonly url: string,
    readonly data: string,
    readonly process: ChildProcess,
  ) {
    this.#key = readFileSync(join(data, "dev.key"), "utf8").trim();
  }

  static async start(settings: Readonly<Record<string, string>> = {}): Promise<Gateway> {
    const data = await mkdtemp(join(tmpdir(), "tidegate-client-"));
    const model = join(ROOT, "model.graphql");
    const args = ["dev", "--listen", "127.0.0.1:0", "--data", data, "--model", model];
    const process = spawn(BINARY, args, {
      stdio: ["ignore", "pipe", "inherit"],
      env: { TIDEGATE_LOG: "error", ...settings },
    });
    const address = await new Promise<string>((resolve, reject) => {
      let printed = "";
      process.stdout.on("data", (chunk: Buffer) => {
        printed += chunk.toString();
        const found = /http:\/\/127\.0\.0\.1:\d+/.exec(printed);
        if (found) resolve(found[0]);
      });
      process.on("error", reject);
      process.on("exit", (code) => {
        reject(new Error(`the gateway ended with ${code ?? "a signal"}: ${printed}`));
      });
    });
    return new Gateway(`${address}/graphql`, data, process);
  }

  /** A token of a user of some teams for so many seconds, signed with the key of `dev`. */
  token(user: string, teams: readonly string[] = ["demo"], seconds = 3600): string {
    const now = Math.floor(Date.now() / 1000);
    const claims = { sub: user, teams, iat: now, exp: now + seconds };
    const signed = [{ alg: "HS256", typ: "JWT" }, claims].map((it) => encode(JSON.stringify(it))).join(".");
    return `${signed}.${createHmac("sha256", this.#key).update(signed).digest("base64url")}`;
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill();
    await ended;
    await rm(this.data, { recursive: true });
  }
}

function encode(text: string): string {
  return Buffer.from(text).toString("base64url");
}
