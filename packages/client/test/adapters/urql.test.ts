import assert from "node:assert/strict";
import { test } from "node:test";
import { readFileSync } from "node:fs";
import { buildSchema, introspectionFromSchema, parse, validate, type IntrospectionQuery } from "graphql";
import { Client, gql, makeResult, type Exchange, type OperationResult } from "@urql/core";
import { filter, map, pipe, subscribe } from "wonka";
import { localSchema, tidegateExchanges } from "../../src/adapters/urql.js";
import { contract, type Answer } from "./contract.js";
import { ROOT } from "../gateway/gateway.js";
import { model } from "../models/example.js";
import { FLEET, FLEET_ANSWER, fleet, newStorage, quiet, until, World, type Device } from "./world.js";

type Options = Parameters<typeof tidegateExchanges>[1];

const urqlOf = ({ client }: Device, options?: Options, ...rest: Exchange[]): Client => {
  return new Client({ url: "http://gateway.invalid", exchanges: [...tidegateExchanges(client, options), ...rest] });
};

const plain = (answer: unknown): Answer =>
  JSON.parse(JSON.stringify(answer), (key, value: unknown) => (key === "__typename" ? undefined : value)) as Answer;

function dataOf({ data, error }: OperationResult): Answer {
  if (error) throw error.networkError ?? error;
  return plain(data);
}

contract((device) => {
  const urql = urqlOf(device);
  const shown = new Map<string, string>();
  return {
    query: async (document, variables = {}) => dataOf(await urql.query(gql(document), variables).toPromise()),
    watch: (document, variables, listener) => {
      const key = document + JSON.stringify(variables);
      const subscription = pipe(
        urql.query(gql(document), variables),
        filter(({ data }) => data !== undefined),
        subscribe((result) => {
          shown.set(key, JSON.stringify(result.data));
          listener(dataOf(result));
        }),
      );
      return () => {
        subscription.unsubscribe();
      };
    },
    mutate: async (document, variables = {}) => dataOf(await urql.mutation(gql(document), variables).toPromise()),
    held: () => [...shown.values()].join(),
  };
});

test("operations of the gateway are forwarded", async () => {
  const world = await World.start();
  const answers: Exchange = () => (operations) =>
    pipe(
      operations,
      map((operation) => makeResult(operation, { data: { viewer: { __typename: "SyncViewer", id: "alice" } } })),
    );
  const urql = urqlOf(world.device(), {}, answers);
  const { data } = await urql
    .query<{ viewer: { id: string } }>(
      gql`
        {
          viewer {
            id
          }
        }
      `,
      {},
    )
    .toPromise();
  assert.equal(data?.viewer.id, "alice");
  await world.stop();
});

/** The gateway's schema with what the client answers, as Graphcache takes it. */
function schemaOfApp(): { schema: ReturnType<typeof buildSchema>; introspection: IntrospectionQuery } {
  const schema = buildSchema(`${readFileSync(`${ROOT}/schema.graphql`, "utf8")}\n${localSchema(model)}`);
  return { schema, introspection: introspectionFromSchema(schema) };
}

const WITH_INTERFACE = `query ($where: TaskWhere) {
  tasks(where: $where) { nodes { id title audience ... on SyncDocument { syncVersion } ... on Project { name } } }
}`;

test("Graphcache takes the schema: interfaces match, required fields are there, and no operation is unknown", async (t) => {
  const world = await World.start();
  const { schema, introspection } = schemaOfApp();
  const complaints = ["warn", "error"].map((level) => t.mock.method(console, level as "warn"));
  const urql = urqlOf(world.device({ online: false }), { schema: introspection as never });
  const create = `mutation { createTask(document: { title: "Typed", audience: "team:demo" }) { id syncVersion } }`;
  assert.deepEqual(validate(schema, parse(create)), []);
  assert.equal((await urql.mutation(gql(create), {}).toPromise()).error, undefined);
  const where = { title: { eq: "Typed" } };
  const { tasks } = dataOf(await urql.query(gql(WITH_INTERFACE), { where }).toPromise()) as {
    tasks: { nodes: Answer[] };
  };
  assert.deepEqual(
    tasks.nodes.map(({ id: _, ...rest }) => rest),
    [{ title: "Typed", audience: "team:demo", syncVersion: 0 }],
  );
  const said = complaints.flatMap(({ mock }) => mock.calls.map(({ arguments: [text] }) => String(text)));
  assert.deepEqual(
    said.filter((text) => !text.startsWith("a query reads all of")),
    [],
  );
  await world.stop();
});

test("lists need no keys from the app, and its own keys hold beside them", async (t) => {
  const world = await World.start();
  const complaints = t.mock.method(console, "error");
  const keys = { Task: ({ title }: { title?: unknown }) => String(title) };
  const urql = urqlOf(world.device({ online: false }), { keys: keys as never });
  const create = gql`
    mutation ($id: ID!, $title: String!) {
      createTask(id: $id, document: { title: $title }) {
        id
        title
      }
    }
  `;
  for (const id of ["one", "two"]) await urql.mutation(create, { id, title: "Same" }).toPromise();
  const list = gql`
    query ($where: TaskWhere) {
      tasks(where: $where) {
        nodes {
          id
          title
        }
      }
    }
  `;
  const answer = dataOf(await urql.query(list, { where: { id: { in: ["one", "two"] } } }).toPromise());
  // By the app's key the two tasks are one.
  assert.deepEqual(
    (answer.tasks as { nodes: { id: string }[] }).nodes.map(({ id }) => id),
    ["two", "two"],
  );
  assert.deepEqual(complaints.mock.calls, []);
  await world.stop();
});

test("edits made offline are flushed in their order when the network is back, with nothing for the app to do", async () => {
  const world = await World.start();
  const storage = newStorage();
  const device = world.device({ storage, online: false });
  const urql = urqlOf(device);
  const id = `flushed-${Date.now()}`;
  const create = gql`
    mutation ($id: ID!) {
      createTask(id: $id, document: { title: "0", audience: "team:demo" }) {
        id
      }
    }
  `;
  const retitle = gql`
    mutation ($id: ID!, $title: String!) {
      updateTask(id: $id, set: { title: $title }) {
        id
        title
      }
    }
  `;
  await urql.mutation(create, { id }).toPromise();
  for (let at = 1; at <= 5; at++) await urql.mutation(retitle, { id, title: `${at}` }).toPromise();
  device.online = true;
  await quiet(device);
  const other = world.device({ user: "bob" });
  await until(other.client.tasks.live({ where: { id: { eq: id } } }), ([task]) => task?.title === "5");
  assert.deepEqual(await until(device.client.outcomes, () => true), []);
  await world.stop();
});

test("embedded documents need no keys from the app", async (t) => {
  const client = await fleet();
  t.after(() => client.close());
  const complaints = ["warn", "error"].map((level) => t.mock.method(console, level as "warn"));
  const urql = new Client({ url: "http://gateway.invalid", exchanges: tidegateExchanges(client) });
  const result: OperationResult<unknown> = await urql.query(gql(FLEET), {}).toPromise();
  assert.deepEqual(JSON.parse(JSON.stringify(result.data)), FLEET_ANSWER);
  assert.deepEqual(
    complaints.flatMap(({ mock }) => mock.calls),
    [],
  );
});
