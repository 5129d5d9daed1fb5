/**
 * A network that can be switched off: what a device has without a signal.
 */

export class Network {
  #online = true;
  #cut = new AbortController();
  readonly #sockets = new Set<WebSocket>();

  get online(): boolean {
    return this.#online;
  }

  /** Switched off, requests fail and sockets close. An answer that is under way is lost, as on a train. */
  set online(online: boolean) {
    this.#online = online;
    if (online) {
      this.#cut = new AbortController();
      // The client waits for this event between its attempts.
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
