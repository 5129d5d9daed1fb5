/**
 * A MongoDB replica set of one node, for the scenarios.
 */

import { execFile, spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "@tidegate/conformance";
import { MongoClient } from "mongodb";
import { ROOT } from "./examples.js";

export class Mongod {
  private constructor(
    readonly port: number,
    readonly directory: string,
    readonly process: ChildProcess,
  ) {}

  static async start(): Promise<Mongod> {
    const { stdout } = await promisify(execFile)(join(ROOT, "scripts/mongod"));
    const directory = await mkdtemp(join(tmpdir(), "tidegate-mongod-"));
    const port = await freePort();
    const place = ["--port", String(port), "--bind_ip", "127.0.0.1", "--dbpath", directory];
    const process = spawn(stdout.trim(), [...place, "--replSet", "rs0", "--quiet"], { stdio: "ignore" });
    const mongod = new Mongod(port, directory, process);
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

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGKILL");
    await ended;
    await rm(this.directory, { recursive: true });
  }
}
