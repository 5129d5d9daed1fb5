// Who uses the page, and how it reaches the gateway. The address of the page says it: `?user=bob&teams=demo,garden`.

/** A network that can be switched off, as on a train. A real application has no such switch. */
export class Network {
  #cut = new AbortController();

  get online() {
    return !this.#cut.signal.aborted;
  }

  set online(online) {
    if (!online) {
      this.#cut.abort(new TypeError("the device is offline"));
      return;
    }
    this.#cut = new AbortController();
    dispatchEvent(new Event("online"));
  }

  fetch = (resource, options = {}) => {
    const signals = [this.#cut.signal, ...(options.signal ? [options.signal] : [])];
    return fetch(resource, { ...options, signal: AbortSignal.any(signals) });
  };
}

export function openSession() {
  const parameters = new URLSearchParams(location.search);
  const user = parameters.get("user") ?? "alice";
  const teams = parameters.get("teams") ?? "demo";
  const gateway = parameters.get("gateway") ?? "http://127.0.0.1:4000";
  const network = new Network();
  return {
    user,
    audiences: [...teams.split(",").map((team) => `team:${team}`), `user:${user}`],
    url: `${gateway}/graphql`,
    database: `tidelist of ${user}`,
    network,
    /** A token of the login server, which is here `tidegate dev` itself. */
    token: async () => {
      const response = await network.fetch(`${gateway}/dev/token?${new URLSearchParams({ sub: user, teams })}`);
      if (!response.ok) throw new Error(`the login server answers ${response.status}`);
      return (await response.json()).token;
    },
  };
}
