/**
 * A real gateway of the built-in example, as `tidegate dev` runs it, and what its operator does to it.
 */

import { exec, execFile, spawn, type ChildProcess } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Operation } from "./history.js";
import { freePort } from "./ports.js";

export interface GatewayOptions {
  /** The program `tidegate`. */
  readonly binary: string;
  /** A database of a MongoDB replica set; without it the gateway has an embedded store. */
  readonly store?: string;
  /** Who copies that database; without it the store is not put back. */
  readonly backups?: Backups;
}

/** Copies what a store has, while no gateway runs. */
export interface Backups {
  /** Replaces an earlier copy. */
  backUp(): Promise<void>;
  /** Puts the copy back. Returns false if there is none. */
  restore(): Promise<boolean>;
}

const run = promisify(execFile);
const LISTENING = /http:\/\/127\.0\.0\.1:\d+/;

export class Gateway {
  #process: ChildProcess | undefined;

  private constructor(
    readonly options: GatewayOptions | undefined,
    readonly directory: string,
    /** Where it listens; the same after each start. */
    readonly origin: string,
    readonly key: string,
  ) {}

  static async start(options: GatewayOptions): Promise<Gateway> {
    const directory = await mkdtemp(join(tmpdir(), "tidegate-conformance-"));
    const [process, origin] = await serve(options, directory, `127.0.0.1:${await freePort()}`);
    const key = await readFile(join(directory, "data", "dev.key"), "utf8");
    const gateway = new Gateway(options, directory, origin, key.trim());
    gateway.#process = process;
    return gateway;
  }

  /** One that runs already, with the example and this key. */
  static running(origin: string, key: string): Gateway {
    return new Gateway(undefined, "", origin, key);
  }

  /** What an operator can do to it. */
  get operations(): readonly Operation[] {
    if (!this.options) return [];
    const { store, backups } = this.options;
    return ["rotate", "collect", "crash", ...(store === undefined || backups ? (["backup", "restore"] as const) : [])];
  }

  get url(): string {
    return `${this.origin}/graphql`;
  }

  /** A token of a user of some teams, for so many seconds. */
  token(user: string, teams: readonly string[] = ["demo"], seconds = 3600): string {
    const now = Math.floor(Date.now() / 1000);
    const claims = { sub: user, teams, iat: now, exp: now + seconds };
    const signed = [{ alg: "HS256", typ: "JWT" }, claims].map((it) => encode(JSON.stringify(it))).join(".");
    return `${signed}.${createHmac("sha256", this.key).update(signed).digest("base64url")}`;
  }

  /** Kills it, and starts it again. */
  async crash(): Promise<void> {
    await this.#without(() => Promise.resolve());
  }

  /** Begins a new epoch: all devices reset. */
  rotate(): Promise<void> {
    return this.#maintain("rotate-epoch");
  }

  /** Collects all tombstones: devices that missed one reset. */
  collect(): Promise<void> {
    return this.#maintain("collect", "--older-than", "0s");
  }

  /** Copies its store, to put it back later. */
  backUp(): Promise<void> {
    return this.#without(() => this.#backups.backUp());
  }

  /** Puts the copy back, and begins a new epoch as an operator has to. Without a copy it does nothing, and returns false. */
  async restore(): Promise<boolean> {
    let isRestored = false;
    await this.#without(async () => {
      isRestored = await this.#backups.restore();
      if (isRestored) await this.#command("rotate-epoch");
    });
    return isRestored;
  }

  async stop(): Promise<void> {
    if (!this.options) return;
    await end(this.#process);
    await rm(this.directory, { recursive: true });
  }

  get #data(): string {
    return join(this.directory, "data");
  }

  get #backups(): Backups {
    return this.options?.backups ?? copiesOf(this.#data, join(this.directory, "backup"));
  }

  /** An embedded store has one user at a time. */
  #maintain(...command: readonly string[]): Promise<void> {
    const work = (): Promise<void> => this.#command(...command);
    return this.options?.store === undefined ? this.#without(work) : work();
  }

  async #without(work: () => Promise<void>): Promise<void> {
    if (!this.options) throw new Error("the suite does not operate this gateway");
    await end(this.#process);
    await work();
    [this.#process] = await serve(this.options, this.directory, new URL(this.origin).host);
  }

  async #command(...command: readonly string[]): Promise<void> {
    if (!this.options) return;
    const { binary, store } = this.options;
    await run(binary, [...command, ...(store === undefined ? ["--data", this.#data] : ["--store", store])]);
  }
}

/** Copies of a directory, but for the files that `leaves` says. */
export function copiesOf(directory: string, copy: string, leaves: (file: string) => boolean = () => false): Backups {
  const put = async (from: string, to: string): Promise<boolean> => {
    if (!existsSync(from)) return false;
    await rm(to, { recursive: true, force: true });
    await cp(from, to, { recursive: true, filter: (file) => !leaves(file) });
    return true;
  };
  return {
    backUp: async () => {
      await put(directory, copy);
    },
    restore: () => put(copy, directory),
  };
}

/** Copies of a database by commands of its operator. */
export function backupsBy(backup: string, restore: string): Backups {
  const shell = promisify(exec);
  let isThere = false;
  return {
    backUp: async () => {
      await shell(backup);
      isThere = true;
    },
    restore: async () => {
      if (isThere) await shell(restore);
      return isThere;
    },
  };
}

async function serve(
  { binary, store }: GatewayOptions,
  directory: string,
  listen: string,
): Promise<readonly [ChildProcess, string]> {
  const at = store === undefined ? [] : ["--store", store];
  const args = ["dev", "--listen", listen, "--data", join(directory, "data"), ...at];
  // It has no model of this directory, so it serves the example.
  const process = spawn(binary, args, {
    cwd: directory,
    stdio: ["ignore", "pipe", "inherit"],
    env: { TIDEGATE_LOG: "error" },
  });
  const origin = await new Promise<string>((resolve, reject) => {
    let printed = "";
    process.stdout.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
      const [found] = LISTENING.exec(printed) ?? [];
      if (found !== undefined) resolve(found);
    });
    process.on("error", reject);
    process.on("exit", (code) => {
      reject(new Error(`the gateway ended with ${code ?? "a signal"}: ${printed}`));
    });
  });
  return [process, origin];
}

/** Kills a process, unless it has ended. */
export async function end(process: ChildProcess | undefined): Promise<void> {
  if (process?.exitCode !== null || process.signalCode !== null) return;
  const ended = new Promise((resolve) => process.once("exit", resolve));
  process.kill("SIGKILL");
  await ended;
}

function encode(text: string): string {
  return Buffer.from(text).toString("base64url");
}
