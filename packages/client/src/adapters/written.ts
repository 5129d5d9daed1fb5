/**
 * What an app has written into a collection of RxDB, in any tab, until the client shows it too.
 */

import { LiveValue, recomputed } from "../client/live.js";

/** How long writes and edits are awaited that come together. */
const FRAME_MS = 16;

export class Written {
  /** How many documents there are. */
  readonly count = new LiveValue<number>();
  /** By document, the number of its last write. */
  readonly #writes = new Map<string, number>();
  readonly #compare: () => void;
  #last = 0;
  #frame: ReturnType<typeof setTimeout> | undefined;

  /** `settled` returns which of these documents RxDB and the client show alike. */
  constructor(settled: (ids: readonly string[]) => Promise<readonly string[]>) {
    this.count.set(0);
    const compute = async (): Promise<readonly (readonly [string, number | undefined])[]> => {
      const before = new Map(this.#writes);
      return (await settled([...before.keys()])).map((id) => [id, before.get(id)] as const);
    };
    this.#compare = recomputed(compute, (alike) => {
      // What was written meanwhile is not what was compared.
      for (const [id, write] of alike) if (this.#writes.get(id) === write) this.#writes.delete(id);
      this.#say();
    });
  }

  has(id: string): boolean {
    return this.#writes.has(id);
  }

  add(ids: Iterable<string>): void {
    for (const id of ids) this.#writes.set(id, ++this.#last);
    this.#say();
    this.compare();
  }

  /** The client or RxDB may show something else from now on. */
  compare(): void {
    if (this.#writes.size === 0) return;
    this.#frame ??= setTimeout(() => {
      this.#frame = undefined;
      this.#compare();
    }, FRAME_MS);
  }

  end(): void {
    clearTimeout(this.#frame);
    this.#writes.clear();
  }

  #say(): void {
    if (this.count.value !== this.#writes.size) this.count.set(this.#writes.size);
  }
}
