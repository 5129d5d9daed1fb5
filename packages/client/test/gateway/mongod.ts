/**
 * A MongoDB replica set of one node, for the tests of this directory.
 */

import { execFile, spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { copiesOf, end, freePort, type Backups } from "@tidegate/conformance";
import { MongoClient } from "mongodb";
import { ROOT } from "./gateway.js";

export class Mongod {
  #process: ChildProcess;

  private constructor(
    readonly binary: string,
    readonly port: number,
    readonly directory: string,
  ) {
    this.#process = this.#run();
  }

  static async start(): Promise<Mongod> {
    const { stdout } = await promisify(execFile)(join(ROOT, "scripts/mongod"));
    const directory = await mkdtemp(join(tmpdir(), "tidegate-mongod-"));
    await mkdir(join(directory, "data"));
    const port = await freePort();
    const mongod = new Mongod(stdout.trim(), port, directory);
    const members = [{ _id: 0, host: `127.0.0.1:${port}` }];
    const client = new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true`);
    await client.db("admin").command({ replSetInitiate: { _id: "rs0", members } });
    await client.close();
    return mongod;
  }

  /** The URL of a database. */
  url(database: string): string {
    return `mongodb://127.0.0.1:${this.port}/${database}?replicaSet=rs0`;
  }

  /** A database as the store of a gateway. */
  store(database: string): { readonly store: string; readonly backups: Backups } {
    return { store: this.url(database), backups: this.backups };
  }

  /** Copies of its files, taken and put back while it is down. All databases come back together. */
  get backups(): Backups {
    const copy = join(this.directory, "backup");
    // The server makes its empty journals of 100 MB again.
    const copies = copiesOf(join(this.directory, "data"), copy, (file) => file.includes("WiredTigerPreplog"));
    return {
      backUp: () => this.#without(() => copies.backUp()),
      restore: async () => existsSync(copy) && this.#without(() => copies.restore()),
    };
  }

  async stop(): Promise<void> {
    await end(this.#process);
    await rm(this.directory, { recursive: true });
  }

  #run(): ChildProcess {
    const place = ["--port", String(this.port), "--bind_ip", "127.0.0.1", "--dbpath", join(this.directory, "data")];
    return spawn(this.binary, [...place, "--replSet", "rs0", "--quiet"], { stdio: "ignore" });
  }

  async #without<T>(work: () => Promise<T>): Promise<T> {
    await end(this.#process);
    const done = await work();
    this.#process = this.#run();
    // A gateway waits less long than a busy machine may take.
    const client = new MongoClient(this.url("admin"), { serverSelectionTimeoutMS: 120_000 });
    await client.db().command({ ping: 1 });
    await client.close();
    return done;
  }
}
