/**
 * What an app has written into a collection of RxDB, in any tab, until the client shows it too.
 */

import { LiveValue, repeated } from "../client/live.js";

/** How long writes and edits are awaited that come together. */
const FRAME_MS = 16;

export class Written {
  /** How many documents there are. */
  readonly count = new LiveValue<number>();
  /** By document, the number of its last write. */
  readonly #writes = new Map<string, number>();
  readonly #compare: () => void;
  #last = 0;

  /** `alike` returns which of these documents RxDB and the client show alike. */
  constructor(alike: (ids: readonly string[]) => Promise<readonly string[]>) {
    this.count.set(0);
    this.#compare = repeated(async () => {
      await new Promise((resolve) => setTimeout(resolve, FRAME_MS));
      const before = new Map(this.#writes);
      if (before.size === 0) return;
      // What was written meanwhile is not what was compared.
      for (const id of await alike([...before.keys()])) {
        if (this.#writes.get(id) === before.get(id)) this.#writes.delete(id);
      }
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
    if (this.#writes.size > 0) this.#compare();
  }

  end(): void {
    this.#writes.clear();
  }

  #say(): void {
    if (this.count.value !== this.#writes.size) this.count.set(this.#writes.size);
  }
}
