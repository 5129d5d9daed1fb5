/**
 * Remembers outside of a database how many edits it holds. A browser that is short of room removes a database whole, and
 * says nothing. Workers have no such place, a page may not be allowed to have one, and it may be full: then nothing is
 * remembered.
 */

/** How many edits a database held; they are gone if it is empty. */
export function recall(database: string | undefined): number {
  try {
    return database === undefined ? 0 : Number(localStorage.getItem(keyOf(database)));
  } catch {
    return 0;
  }
}

export function remember(database: string | undefined, unsent: number): void {
  try {
    if (unsent === recall(database) || database === undefined) return;
    if (unsent > 0) localStorage.setItem(keyOf(database), String(unsent));
    else localStorage.removeItem(keyOf(database));
  } catch {
    // Nothing is remembered.
  }
}

function keyOf(database: string): string {
  return `tidegate:${database}:unsent`;
}
