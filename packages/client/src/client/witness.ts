/**
 * Remembers outside of the database how many edits it holds. A browser that is short of room removes a database whole, and
 * says nothing.
 */

export class Witness {
  readonly #key: string;
  #kept: number | undefined;

  constructor(database: string) {
    this.#key = `tidegate:${database}:unsent`;
  }

  /** How many edits the database held; they are gone if it is empty. */
  recall(): number {
    return Number(this.#storage()?.getItem(this.#key) ?? 0) || 0;
  }

  keep(unsent: number): void {
    if (unsent === this.#kept) return;
    this.#kept = unsent;
    try {
      if (unsent > 0) this.#storage()?.setItem(this.#key, String(unsent));
      else this.#storage()?.removeItem(this.#key);
    } catch {
      // It is full too: then nothing is remembered.
    }
  }

  /** Workers have none, and a page may not be allowed to have one. */
  #storage(): Storage | undefined {
    try {
      return (globalThis as { localStorage?: Storage }).localStorage;
    } catch {
      return undefined;
    }
  }
}
