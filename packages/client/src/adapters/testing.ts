/**
 * A network that can be switched off, for tests and demonstrations of an app. Any other app passes no network, and the client
 * uses the `fetch` and the `WebSocket` of the browser.
 */

/**
 * The browser's network behind a switch: `createClient({ …, fetch: network.fetch, webSocket: network.webSocket })`. Each
 * client has one of its own.
 */
export class Network {
  #online = true;
  #cut = new AbortController();
  readonly #sockets = new Set<WebSocket>();

  /** Whether requests pass, and sockets open. */
  get online(): boolean {
    return this.#online;
  }

  /** Switched off, requests fail and sockets close. An answer that is under way is lost. */
  set online(online: boolean) {
    this.#online = online;
    if (online) {
      this.#cut = new AbortController();
      // Clients wait for this event between their attempts. Node has none.
      const { dispatchEvent } = globalThis as Partial<Pick<typeof globalThis, "dispatchEvent">>;
      dispatchEvent?.call(globalThis, new Event("online"));
      return;
    }
    this.#cut.abort(new TypeError("the device is offline"));
    for (const socket of this.#sockets) socket.close();
    this.#sockets.clear();
  }

  /** As the global one, while it is online. */
  readonly fetch: typeof fetch = (resource, options = {}) => {
    const signals = [this.#cut.signal, ...(options.signal ? [options.signal] : [])];
    return fetch(resource, { ...options, signal: AbortSignal.any(signals) });
  };

  /** As the global one; a socket that opens offline closes. */
  get webSocket(): typeof WebSocket {
    const open = (socket: WebSocket): void => {
      if (this.#online) this.#sockets.add(socket);
      else socket.close();
      socket.addEventListener("close", () => this.#sockets.delete(socket));
    };
    return class extends WebSocket {
      constructor(...options: ConstructorParameters<typeof WebSocket>) {
        super(...options);
        open(this);
      }
    };
  }
}
