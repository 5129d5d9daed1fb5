/**
 * A network that can be switched off, as it is on a train. A real application has no such switch: it passes nothing, and the
 * client uses the `fetch` and the `WebSocket` of the browser.
 */

export class Network {
  #online = true;
  #cut = new AbortController();
  readonly #sockets = new Set<WebSocket>();

  get online(): boolean {
    return this.#online;
  }

  /** Switched off, requests fail and sockets close. An answer that is under way is lost. */
  set online(online: boolean) {
    this.#online = online;
    if (online) {
      this.#cut = new AbortController();
      // Clients wait for this event between their attempts.
      dispatchEvent(new Event("online"));
      return;
    }
    this.#cut.abort(new TypeError("the device is offline"));
    for (const socket of this.#sockets) socket.close();
    this.#sockets.clear();
  }

  readonly fetch: typeof fetch = (resource, options = {}) => {
    const signals = [this.#cut.signal, ...(options.signal ? [options.signal] : [])];
    return fetch(resource, { ...options, signal: AbortSignal.any(signals) });
  };

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
