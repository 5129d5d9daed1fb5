import assert from "node:assert/strict";
import { test } from "node:test";
import { ApolloClient, ApolloLink, gql, InMemoryCache } from "@apollo/client";
import { config, of } from "rxjs";
import { TidegateLink } from "../../src/adapters/apollo.js";
import { contract, type Answer } from "./contract.js";
import { eventually, World, type Device } from "./world.js";

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
