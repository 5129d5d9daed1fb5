import assert from "node:assert/strict";
import { test } from "node:test";
import { ApolloClient, ApolloLink, gql, InMemoryCache } from "@apollo/client";
import { config, of } from "rxjs";
import { TidegateLink } from "../../src/adapters/apollo.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { contract, type Answer } from "./contract.js";
import { eventually, FLEET, FLEET_ANSWER, fleet, World, type Device } from "./world.js";

const apolloOf = ({ client }: Device, rest = ApolloLink.empty()): ApolloClient => {
  return new ApolloClient({ link: new TidegateLink(client).concat(rest), cache: new InMemoryCache() });
};

// What a listener throws would end the process.
config.onUnhandledError = (mistake) => {
  console.error(mistake);
};

/** What documents say beside what they were asked for. */
const plain = (answer: unknown): Answer =>
  JSON.parse(JSON.stringify(answer), (key, value: unknown) => (key === "__typename" ? undefined : value)) as Answer;

contract((device) => {
  const apollo = apolloOf(device);
  return {
    query: async (document, variables = {}) => {
      const { data } = await apollo.query({ query: gql(document), variables, fetchPolicy: "network-only" });
      return plain(data);
    },
    watch: (document, variables, listener) => {
      const query = apollo.watchQuery({ query: gql(document), variables });
      const subscription = query.subscribe(({ data, dataState }) => {
        if (dataState === "complete") listener(plain(data));
      });
      return () => {
        subscription.unsubscribe();
      };
    },
    mutate: async (document, variables = {}) => {
      const { data } = await apollo.mutate({ mutation: gql(document), variables });
      return plain(data);
    },
    held: () => JSON.stringify(apollo.cache.extract()),
  };
});

test("operations of the gateway are forwarded", async () => {
  const world = await World.start();
  const rest = new ApolloLink(() => of({ data: { viewer: { __typename: "SyncViewer", id: "alice" } } }));
  const apollo = apolloOf(world.device(), rest);
  const { data } = await apollo.query({ query: gql("{ viewer { id } }") });
  assert.deepEqual(plain(data), { viewer: { id: "alice" } });
  await world.stop();
});

test("one-time queries leave nothing that follows", async () => {
  const world = await World.start();
  const device = world.device();
  const apollo = apolloOf(device);
  const query = gql`
    query ($title: String!) {
      tasks(where: { title: { eq: $title } }) {
        nodes {
          id
        }
      }
    }
  `;
  for (let at = 0; at < 50; at++) await apollo.query({ query, variables: { title: `${at}` } });
  await device.client.tasks.create({ title: "49" });
  await eventually("the cache forgets the old answer", async () => {
    const { data } = await apollo.query({ query, variables: { title: "49" } });
    return (data as { tasks: { nodes: unknown[] } }).tasks.nodes.length === 1;
  });
  const fields = Object.keys((apollo.cache.extract() as { ROOT_QUERY?: object }).ROOT_QUERY ?? {});
  assert.ok(fields.length < 5, fields.join());
  await world.stop();
});

test("documents that leave a list are looked up together, and those that are gone leave the cache", async (t) => {
  const world = await World.start();
  const storage = memoryStorage();
  const { client } = world.device({ storage, online: false });
  const apollo = new ApolloClient({ link: new TidegateLink(client), cache: new InMemoryCache() });
  const make = (first: string): Promise<void> =>
    client.transaction(({ tasks }) => {
      for (let at = 0; at < 50; at++) tasks.create({ id: `${first}${at}`, title: `${first}${at}` });
    });
  await make("a");
  const query = gql("{ tasks(orderBy: [title_DESC], first: 50) { nodes { id } } }");
  let shown: readonly string[] = [];
  const subscription = apollo.watchQuery({ query }).subscribe(({ data, dataState }) => {
    if (dataState === "complete")
      shown = (data as { tasks: { nodes: { id: string }[] } }).tasks.nodes.map((it) => it.id);
  });
  const held = (): readonly string[] => Object.keys(apollo.cache.extract() as object).filter((id) => id.includes(":a"));
  await eventually("it shows them", () => shown.length === 50 && held().length === 50);
  await client.tasks.delete("a7");
  const read = t.mock.method(storage, "read");
  await make("b");
  await eventually("it shows the others", () => shown.every((id) => id.startsWith("b")));
  await eventually("what no query shows leaves the cache", () => held().length === 0);
  assert.ok(read.mock.callCount() < 20, `${read.mock.callCount()} reads`);
  subscription.unsubscribe();
  await world.stop();
});

test("embedded documents are part of the one that holds them in the cache", async (t) => {
  const client = await fleet();
  t.after(() => client.close());
  const apollo = new ApolloClient({ link: new TidegateLink(client), cache: new InMemoryCache() });
  const { data } = await apollo.query({ query: gql(FLEET) });
  assert.deepEqual(data, FLEET_ANSWER);
  const ids = Object.keys(apollo.cache.extract() as object).filter((id) => !id.startsWith("__"));
  assert.deepEqual(ids.sort(), ["ROOT_QUERY", "Vessel:v"]);
});
