/**
 * Events of the page that the client runs in. Elsewhere there are none.
 */

type Listening = Partial<Pick<Window, "addEventListener">>;

/** Calls the listener of each event until the signal is aborted. */
export function listen(events: Readonly<Record<string, () => void>>, signal: AbortSignal): void {
  const { addEventListener } = globalThis as Listening;
  for (const [name, listener] of Object.entries(events)) addEventListener?.(name, listener, { capture: true, signal });
}
