/**
 * How applications die in tests: at any moment, also in the middle of a step, before what it writes is stored or after.
 */

import { Killed } from "@tidegate/conformance";
import type { Need, Slice, Writes } from "../../src/core/draft.js";
import type { Flight, Meta } from "../../src/core/records.js";
import type { Search, StepOptions, Storage } from "../../src/storage/storage.js";

/** One run of an application. */
export class Life {
  readonly #end = new AbortController();
  /** How many writes it has left, and whether the last one is stored. */
  #doom: { writes: number; readonly isStored: boolean } | undefined;

  get isOver(): boolean {
    return this.#end.signal.aborted;
  }

  get signal(): AbortSignal {
    return this.#end.signal;
  }

  end(): void {
    this.#end.abort();
  }

  /** It dies with a write to come. */
  doom(writes: number, isStored: boolean): void {
    this.#doom = { writes, isStored };
  }

  /** Counts a write, and carries it out unless the application dies before it. */
  async write(work: () => Promise<void>): Promise<void> {
    const doom = this.#doom;
    if (doom && doom.writes-- === 0) {
      if (doom.isStored) await work();
      this.end();
    } else await work();
    await this.until();
  }

  /** What the application asks for after its end never comes. */
  until(): Promise<void> {
    return this.isOver ? new Promise(() => undefined) : Promise.resolve();
  }

  /** What others wait for rejects with {@link Killed} when the application dies. */
  async orDie<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this;
    let killed = (): void => undefined;
    const death = new Promise<never>((_, reject) => {
      killed = () => {
        reject(new Killed());
      };
      if (signal.aborted) killed();
      signal.addEventListener("abort", killed);
    });
    return Promise.race([promise, death]).finally(() => {
      signal.removeEventListener("abort", killed);
    });
  }
}

/** The storage as one run of an application sees it. */
export class MortalStorage implements Storage {
  #opened = Promise.resolve();

  constructor(
    readonly inner: Storage,
    readonly life: Life,
  ) {
    // A connection that stays open would keep the database from being removed.
    life.signal.addEventListener("abort", () => void this.close());
  }

  get durable(): boolean {
    return this.inner.durable;
  }

  open(...how: Parameters<Storage["open"]>): Promise<void> {
    return this.life.write(() => (this.#opened = this.inner.open(...how)));
  }

  async read(need: Need): Promise<Slice> {
    await this.life.until();
    const slice = await this.inner.read(need);
    await this.life.until();
    return slice;
  }

  async step(
    need: (meta: Meta, flight: Flight | null) => Need,
    run: (slice: Slice) => Writes,
    options: StepOptions,
  ): Promise<void> {
    await this.life.until();
    await this.life.write(() => this.inner.step(need, run, options));
  }

  async search(search: Search): Promise<boolean> {
    await this.life.until();
    const searched = (await this.inner.search?.(search)) ?? false;
    await this.life.until();
    return searched;
  }

  async close(): Promise<void> {
    await this.#opened;
    await this.inner.close();
  }

  destroy(): Promise<void> {
    return this.inner.destroy();
  }
}
