/**
 * Values that change: a subscriber gets the present one, and each that follows.
 */

import type { Engine, Touched } from "./engine.js";

/** A value that changes: a query, the status, the outcomes. */
export interface Live<T> extends AsyncIterable<T> {
  /** The newest value; undefined before the first. */
  readonly value: T | undefined;
  /**
   * Calls `listener` with the present value and with each that follows. Returns how to end it. What the listener throws is
   * reported, and ends nothing.
   */
  subscribe(listener: (value: T) => void): () => void;
}

/** A live value that is computed while anybody listens. */
export class LiveValue<T> implements Live<T> {
  readonly #listeners = new Set<(value: T) => void>();
  #end: (() => void) | undefined;
  #value: T | undefined;

  /** `begin` starts to set values, and returns how to stop. */
  constructor(readonly begin: (live: LiveValue<T>) => () => void = () => () => undefined) {}

  get value(): T | undefined {
    return this.#value;
  }

  set(value: T): void {
    this.#value = value;
    for (const listener of [...this.#listeners]) listener(value);
  }

  subscribe(listener: (value: T) => void): () => void {
    // One function may subscribe twice.
    const own = (value: T): void => {
      try {
        listener(value);
      } catch (mistake) {
        report(mistake);
      }
    };
    this.#listeners.add(own);
    if (this.#value !== undefined) own(this.#value);
    this.#end ??= this.begin(this);
    return () => {
      this.#listeners.delete(own);
      if (this.#listeners.size > 0) return;
      this.#end?.();
      this.#end = undefined;
    };
  }

  /** Each value, or only the newest if several come before it is asked for. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    const newest: T[] = [];
    let wake: () => void = () => undefined;
    const end = this.subscribe((value) => {
      newest[0] = value;
      wake();
    });
    try {
      for (;;) {
        const [value] = newest.splice(0);
        if (value !== undefined) yield value;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    } finally {
      end();
    }
  }
}

/** A mistake of the app is not the client's: neither the sync nor another listener ends by it. */
export function report(mistake: unknown): void {
  const { reportError = console.error } = globalThis as Partial<Pick<typeof globalThis, "reportError">>;
  reportError(mistake);
}

/** Runs are at least a frame apart: a page shows no more than one of them. */
const FRAME_MS = 16;

/** What live values read. */
export interface Source {
  /** When the storage can be read. */
  readonly opened: Promise<void>;
  /** Whether nothing is shown: what is stored is another user's. */
  readonly hides: () => boolean;
  /** It says what steps touch. */
  readonly engine: Pick<Engine, "listen">;
}

/** How a live value follows the steps of a client. */
export interface Computed<T> {
  /** Whether a step may have changed it. */
  readonly depends: (touched: Touched) => boolean;
  /** Computes it, or undefined if it is what it was. */
  readonly compute: () => Promise<readonly T[] | undefined>;
}

/** A value that is computed again after the steps that it depends on. */
export function computed<T>({ opened, hides, engine }: Source, begin: () => Computed<T>): Live<readonly T[]> {
  let newest: Computed<T> | undefined;
  return new LiveValue((live) => {
    const own = (newest = begin());
    const again = repeated(async () => {
      const value = hides() ? [] : await own.compute();
      // Who asks once, and once more later, gets then what has come of the first time.
      if (value && own === newest) live.set(value);
      await new Promise((resolve) => setTimeout(resolve, FRAME_MS));
    });
    opened.then(again, () => undefined);
    return engine.listen((touched) => {
      if (own.depends(touched)) again();
    });
  });
}

/** Runs again whenever it is asked to, one run at a time and only the last of several requests. */
export function repeated(work: () => Promise<void>): () => void {
  let running = false;
  let wanted = false;
  const run = async (): Promise<void> => {
    running = true;
    while (wanted) {
      wanted = false;
      await work();
    }
    running = false;
  };
  return () => {
    wanted = true;
    // A storage that was closed meanwhile has nothing more to say.
    if (!running) run().catch(() => (running = false));
  };
}
