/**
 * Waiting that a signal ends.
 */

/** Calls `abort` when the signal is aborted, at once if it is. Returns how to end that. */
export function onAbort(signal: AbortSignal, abort: () => void): () => void {
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  return () => {
    signal.removeEventListener("abort", abort);
  };
}

/** Resolves after a time, or when the signal is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      end();
      resolve();
    }, ms);
    const end = onAbort(signal, () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
