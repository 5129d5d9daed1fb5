/**
 * Who uses the page, and how it reaches the gateway. The address of the page says it: `?user=bob&teams=demo,garden`.
 */

import { Network } from "@tidegate/client/testing";

export interface Session {
  readonly user: string;
  /** Where tasks can be: with the user alone, and with each team. */
  readonly audiences: readonly string[];
  /** The endpoint of the gateway. */
  readonly url: string;
  /** The name of the user's database on this device. */
  readonly database: string;
  readonly network: Network;
  /** A token of the login server, which is here `tidegate dev` itself. */
  readonly token: () => Promise<string>;
}

/** The session that the address of the page names. */
export function openSession(): Session {
  const parameters = new URLSearchParams(location.search);
  const user = parameters.get("user") ?? "alice";
  const teams = parameters.get("teams") ?? "demo";
  const gateway = parameters.get("gateway") ?? "http://127.0.0.1:4000";
  const network = new Network();
  return {
    user,
    audiences: [...teams.split(",").map((team) => `team:${team}`), `user:${user}`],
    url: `${gateway}/graphql`,
    database: `tasks of ${user}`,
    network,
    token: async () => {
      const asked = new URLSearchParams([
        ["sub", user],
        ["teams", teams],
      ]);
      const response = await network.fetch(`${gateway}/dev/token?${asked.toString()}`);
      if (!response.ok) throw new Error(`the login server answers ${response.status}`);
      const { token } = (await response.json()) as { readonly token: string };
      return token;
    },
  };
}
