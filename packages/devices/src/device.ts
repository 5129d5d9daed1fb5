/**
 * A device of the page: a user, a database of its own, and a network that can be switched off.
 */

import { createClient, indexedDBStorage, type Client } from "@tidegate/client";
// What `tidegate operations --typescript` prints for the example model.
import { model, type Model } from "../../client/test/models/example.js";
import { Network } from "../../client/src/adapters/testing.js";

/** The team that both users are in, and its scope. */
const TEAM = "demo";
export const AUDIENCE = `team:${TEAM}`;

export interface Device {
  readonly user: string;
  readonly name: string;
  readonly icon: "laptop" | "phone";
  readonly client: Client<Model>;
  readonly network: Network;
}

export function openDevice(user: string, name: string, icon: Device["icon"]): Device {
  const network = new Network();
  const client = createClient<Model>({
    url: new URL("/graphql", location.href).href,
    token: () => tokenOf(user, network),
    model,
    storage: indexedDBStorage(`tidegate ${name}`),
    fetch: network.fetch,
    webSocket: network.webSocket,
    pauses: { minMs: 500, maxMs: 3_000 },
  });
  return { user, name, icon, client, network };
}

/** Whether the gateway's model has the types of the page, as the example model has. */
export async function isModelServed(): Promise<boolean> {
  const network = new Network();
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${await tokenOf("alice", network)}` };
  const body = JSON.stringify({ query: model.operations.changesSince, variables: { types: Object.keys(model.types) } });
  const response = await network.fetch("/graphql", { method: "POST", headers, body });
  const { errors } = (await response.json()) as { readonly errors?: readonly unknown[] };
  return errors === undefined;
}

async function tokenOf(user: string, network: Network): Promise<string> {
  const response = await network.fetch(`/dev/token?sub=${user}&teams=${TEAM}`);
  if (!response.ok) throw new Error(`the gateway answers ${response.status} to /dev/token`);
  const { token } = (await response.json()) as { readonly token: string };
  return token;
}

/** Something to begin with. */
export async function addExamples({ client }: Device): Promise<void> {
  await client.tasks.create({ title: "Buy milk", audience: AUDIENCE });
  await client.tasks.create({ title: "Water the plants", audience: AUDIENCE });
  await client.articles.create({ title: "Tea", text: "What we all agree on.", audience: AUDIENCE });
}
