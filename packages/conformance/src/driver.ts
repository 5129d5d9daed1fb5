/**
 * A client of any language as a device: a program that reads commands from its standard input and answers each on its
 * standard output, line by line. conformance/README.md has the protocol.
 */

import { spawn, type ChildProcessByStdio } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { Killed, type Device, type Edits, type State } from "./device.js";
import type { Place } from "./world.js";

/** How long a driver may take for a command. */
const ANSWER_MS = 30_000;
const QUIET_MS = 5_000;

interface Answer {
  readonly id: number;
  readonly ok?: unknown;
  readonly error?: string;
}

type Resolve = readonly [resolve: (ok: unknown) => void, reject: (failure: Error) => void];

export class DriverDevice implements Device {
  #run: Run;
  #token: string;
  #isOnline = true;

  private constructor(
    readonly command: readonly string[],
    readonly place: Place,
    readonly directory: string,
  ) {
    this.#token = place.token;
    this.#run = new Run(command);
  }

  /** `directory` is for what the device stores. */
  static async start(command: readonly string[], place: Place, directory: string): Promise<DriverDevice> {
    await mkdir(directory, { recursive: true });
    const device = new DriverDevice(command, place, directory);
    await device.#start();
    return device;
  }

  async #start(): Promise<void> {
    await this.#run.call("start", { url: this.place.url, token: this.#token, directory: this.directory });
    if (!this.#isOnline) await this.#run.call("offline");
  }

  async restart(): Promise<void> {
    await this.#run.kill();
    this.#run = new Run(this.command);
    await this.#start();
  }

  async edit(edits: Edits): Promise<boolean> {
    return (await this.#run.call("edit", edits)) === true;
  }

  async state(): Promise<State> {
    const state = (await this.#run.call("state")) as State | undefined;
    const isState =
      typeof state?.documents === "object" && Array.isArray(state.outcomes) && typeof state.unsent === "number";
    if (!isState) throw new Error(`the driver's state has not the members of one: ${JSON.stringify(state)}`);
    return state;
  }

  async settle(): Promise<void> {
    await this.#run.call("quiet", { ms: QUIET_MS });
  }

  async setToken(token: string): Promise<void> {
    this.#token = token;
    await this.#tell("token", { token });
  }

  async setOnline(isOnline: boolean): Promise<void> {
    this.#isOnline = isOnline;
    await this.#tell(isOnline ? "online" : "offline");
  }

  /** A driver that is killed gets to know it at its next start. */
  async #tell(what: string, members: object = {}): Promise<void> {
    try {
      await this.#run.call(what, members);
    } catch (failure) {
      if (!(failure instanceof Killed)) throw failure;
    }
  }

  /** `crash`: it is killed so many milliseconds from now. */
  special(_: "crash", ms: number): Promise<void> {
    const run = this.#run;
    setTimeout(() => void run.kill(), ms);
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    await this.#run.kill();
    await rm(this.directory, { recursive: true });
  }
}

/** One process of a driver. */
class Run {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #ended: Promise<void>;
  readonly #waiting = new Map<number, Resolve>();
  #calls = 0;
  #isKilled = false;
  #end: Error | undefined;

  constructor([program = "", ...args]: readonly string[]) {
    this.#process = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#process.stdin.on("error", () => undefined);
    createInterface(this.#process.stdout).on("line", (line) => {
      this.#hear(line);
    });
    this.#ended = new Promise((resolve) => {
      const end = (why: string): void => {
        this.#fail(this.#isKilled ? new Killed() : new Error(`the driver ${why}`));
        resolve();
      };
      this.#process.on("error", (error) => {
        end(`cannot be started: ${error.message}`);
      });
      this.#process.on("exit", (code, signal) => {
        end(`ended with ${code ?? signal ?? "nothing"}`);
      });
    });
  }

  call(what: string, members: object = {}): Promise<unknown> {
    if (this.#end) return Promise.reject(this.#end);
    const id = ++this.#calls;
    const answer = new Promise<unknown>((...resolve) => this.#waiting.set(id, resolve));
    this.#process.stdin.write(`${JSON.stringify({ id, do: what, ...members })}\n`);
    const late = setTimeout(() => {
      this.#fail(new Error(`the driver has not answered ${what} within ${ANSWER_MS / 1000} s`));
    }, ANSWER_MS);
    return answer.finally(() => {
      clearTimeout(late);
    });
  }

  async kill(): Promise<void> {
    this.#isKilled = true;
    this.#process.kill("SIGKILL");
    await this.#ended;
  }

  #hear(line: string): void {
    let answer: Answer;
    try {
      answer = JSON.parse(line) as Answer;
    } catch {
      this.#fail(new Error(`the driver wrote a line that is no JSON: ${line}`));
      return;
    }
    const [resolve, reject] = this.#waiting.get(answer.id) ?? [];
    this.#waiting.delete(answer.id);
    if (answer.error === undefined) resolve?.(answer.ok);
    else reject?.(new Error(`the driver says: ${answer.error}`));
  }

  #fail(failure: Error): void {
    this.#end ??= failure;
    for (const [, reject] of this.#waiting.values()) reject(failure);
    this.#waiting.clear();
  }
}
