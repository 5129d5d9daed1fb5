/**
 * A storage for tests that outlasts its process: each step is a line of a file. What is written when the process is
 * killed stays with the kernel; it is not flushed, so it does not outlast the machine. The file only grows.
 */

import { closeSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { Need, Slice, Writes } from "../../src/core/draft.js";
import type { Flight, Meta } from "../../src/core/records.js";
import type { Storage } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import type { StepOptions } from "../../src/storage/storage.js";
import { forgetFlight } from "../gateway/breaks.js";

const STRICT = { strict: true };

export class FileStorage implements Storage {
  readonly durable = true;
  readonly #memory = memoryStorage();
  #file: number | undefined;

  /** `forgetsFlight` breaks it, to show that a suite notices. */
  constructor(
    readonly path: string,
    readonly forgetsFlight = false,
  ) {}

  async open(fresh: Meta): Promise<void> {
    const lines = this.#wholeLines();
    const [first = JSON.stringify(fresh), ...steps] = lines;
    await this.#memory.open(JSON.parse(first) as Meta);
    for (const step of steps)
      await this.#memory.step(
        () => ({}),
        () => JSON.parse(step) as Writes,
        STRICT,
      );
    this.#file = openSync(this.path, "a");
    if (lines.length === 0) this.#append(fresh);
    if (this.forgetsFlight) await this.step(() => ({}), forgetFlight, STRICT);
  }

  /** The last line is cut off if the process died in the middle of it. */
  #wholeLines(): readonly string[] {
    let text: Buffer;
    try {
      text = readFileSync(this.path);
    } catch {
      return [];
    }
    const end = text.lastIndexOf("\n") + 1;
    if (end < text.length) truncateSync(this.path, end);
    return text.subarray(0, end).toString().split("\n").slice(0, -1);
  }

  #append(record: object): void {
    if (this.#file === undefined) throw new Error("the storage is not open");
    writeSync(this.#file, `${JSON.stringify(record)}\n`);
  }

  read(need: Need): Promise<Slice> {
    return this.#memory.read(need);
  }

  step(
    need: (meta: Meta, flight: Flight | null) => Need,
    run: (slice: Slice) => Writes,
    options: StepOptions,
  ): Promise<void> {
    const stored = (slice: Slice): Writes => {
      const writes = run(slice);
      this.#append(writes);
      return writes;
    };
    return this.#memory.step(need, stored, options);
  }

  close(): Promise<void> {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
    return Promise.resolve();
  }

  async destroy(): Promise<void> {
    await this.close();
    await this.#memory.destroy();
    await rm(this.path, { force: true });
  }
}
