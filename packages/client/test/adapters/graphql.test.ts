import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { buildSchema, parse, validate } from "graphql";
import { localOperation, localSchema, type Answer, type Variables } from "../../src/adapters/graphql.js";
import { INSIDE } from "../../src/client/inside.js";
import { createClient, type Client } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { ROOT } from "../gateway/gateway.js";
import { model, type Model } from "../models/example.js";
import { FLEET, FLEET_ANSWER, fleet } from "./world.js";

const schema = buildSchema(`${readFileSync(`${ROOT}/schema.graphql`, "utf8")}\n${localSchema(model)}`);

let client: Client<Model>;

before(async () => {
  client = createClient<Model>({
    url: "http://gateway.invalid",
    token: () => "none",
    model,
    storage: memoryStorage(),
    fetch: () => Promise.reject(new TypeError("offline")),
  });
  await client.tasks.create({ id: "a", title: "A", labels: ["x"] });
  await client.tasks.create({ id: "b", title: "B", done: true, projectId: "p" });
  await client.projects.create({ id: "p", name: "P" });
});

after(() => client.close());

/** The answer to an operation, which the schema has to know. */
async function answerTo(document: string, variables: Variables = {}): Promise<Answer> {
  assert.deepEqual(validate(schema, parse(document)), []);
  const local = localOperation(client[INSIDE], parse(document), variables);
  assert.ok(local, "it is for the client");
  if (local.kind === "mutation") return local.perform();
  return new Promise((resolve, reject) => {
    const end = local.follow((answer) => {
      resolve(answer);
      queueMicrotask(() => {
        end();
      });
    }, reject);
  });
}

const ANSWERS: readonly (readonly [shows: string, document: string, variables: Variables, answer: Answer])[] = [
  [
    "aliases, and type names wherever they are asked for",
    `{ __typename first: task(id: "a") { __typename name: title } list: tasks(orderBy: [id_DESC]) { __typename nodes { id } } }`,
    {},
    {
      __typename: "Query",
      first: { __typename: "Task", name: "A" },
      list: { __typename: "TaskConnection", nodes: [{ id: "b" }, { id: "a" }] },
    },
  ],
  [
    "references, and null where there is none or the device has none",
    `{ tasks(where: { id: { in: ["a", "b"] } }) { nodes { id project { __typename id name } } } }`,
    {},
    {
      tasks: {
        nodes: [
          { id: "a", project: null },
          { id: "b", project: { __typename: "Project", id: "p", name: "P" } },
        ],
      },
    },
  ],
  [
    "fragments of its type and of interfaces, and none of other types",
    `query { task(id: "a") { ...T ... on SyncDocument { syncVersion } ... { id } } } fragment T on Task { title }`,
    {},
    { task: { title: "A", syncVersion: 0, id: "a" } },
  ],
  [
    "what is skipped and included",
    `query ($yes: Boolean!, $no: Boolean!) { task(id: "a") { id @skip(if: $no) title @skip(if: $yes) done @include(if: $yes) notes @include(if: $no) } }`,
    { yes: true, no: false },
    { task: { id: "a", done: false } },
  ],
  [
    "defaults of variables, and null as no argument",
    `query ($id: ID! = "b", $where: TaskWhere, $first: Int = 1) { task(id: $id) { id } tasks(where: $where, first: $first, orderBy: null) { nodes { id } } }`,
    { where: null },
    { task: { id: "b" }, tasks: { nodes: [{ id: "a" }] } },
  ],
  [
    "selections of one field, merged",
    `{ task(id: "a") { id } task(id: "a") { title } }`,
    {},
    { task: { id: "a", title: "A" } },
  ],
  ["null for a field without a value", `{ task(id: "a") { notes due } }`, {}, { task: { notes: null, due: null } }],
  ["null for no document", `{ task(id: "z") { id } }`, {}, { task: null }],
];

for (const [shows, document, variables, answer] of ANSWERS) {
  test(`an answer shows ${shows}`, async () => {
    assert.deepEqual(await answerTo(document, variables), answer);
  });
}

test("a mutation carries out its fields one after the other", async () => {
  const document = `mutation ($set: TaskPatch) {
    made: createTask(id: "c", document: { title: "C", minutesSpent: 1 }) { id }
    updateTask(id: "c", set: $set, increment: { minutesSpent: 2 }, add: { labels: ["p", "q"] }, remove: { labels: "p" }) { title minutesSpent labels notes }
    deleteTask(id: "c")
  }`;
  assert.deepEqual(await answerTo(document, { set: { title: "D" } }), {
    made: { id: "c" },
    updateTask: { title: "D", minutesSpent: 3, labels: ["p", "q"], notes: null },
    deleteTask: "c",
  });
  assert.equal(await client.tasks.get("c"), undefined);
});

test("a variable that is not given changes no field, and null clears it", async () => {
  const document = `mutation ($notes: String, $title: String) { updateTask(id: "a", set: { notes: $notes, title: $title }) { notes title } }`;
  await answerTo(document, { notes: "Some", title: "A" });
  assert.deepEqual(await answerTo(document, { notes: null }), { updateTask: { notes: null, title: "A" } });
});

const REFUSED: readonly (readonly [document: string, variables: Variables, code: string])[] = [
  [`query ($due: DateTime) { tasks(where: { due: { eq: $due } }) { nodes { id } } }`, {}, "INVALID_QUERY"],
  [`{ tasks(after: "a") { nodes { id } } }`, {}, "INVALID_QUERY"],
  [`{ tasks { pageInfo { hasNextPage } } }`, {}, "INVALID_QUERY"],
  [`{ viewer { id } tasks { nodes { id } } }`, {}, "INVALID_QUERY"],
  [`mutation { updateTask(id: "z", set: { title: "Z" }) { id } }`, {}, "GONE"],
  [`mutation { createTask(id: "b", document: { title: "B" }) { id } }`, {}, "EXISTS"],
  [`mutation { updateTask(id: "a", increment: { title: "A" }) { id } }`, {}, "INVALID_VALUE"],
];

for (const [document, variables, code] of REFUSED) {
  test(`${code}: ${document}`, async () => {
    await assert.rejects(() => answerTo(document, variables), { name: "ClientError", code });
  });
}

test("what the gateway answers is not for the client", () => {
  for (const document of ["{ viewer { id } }", "subscription { conflicts { nodes { id } } }", "{ __typename }"]) {
    assert.equal(localOperation(client[INSIDE], parse(document)), undefined);
  }
});

test("a query follows what its documents refer to, and other documents of the same type", async () => {
  const document = parse(`{ task(id: "moving") { project { name } } }`);
  const shown: unknown[] = [];
  const [one, other] = [await client.projects.create({ name: "One" }), await client.projects.create({ name: "Other" })];
  await client.tasks.create({ id: "moving", title: "Moving", projectId: one });
  const end = localOperation(client[INSIDE], document)?.follow(
    ({ task }) => shown.push((task as { project: { name: string } | null } | null)?.project?.name),
    (error) => assert.fail(String(error)),
  );
  const shows = async (name: string | undefined): Promise<void> => {
    while (shown.length === 0 || shown.at(-1) !== name) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await shows("One");
  await client.projects.update(one, { name: "First" });
  await shows("First");
  await client.tasks.update("moving", { projectId: other });
  await shows("Other");
  await client.projects.delete(other);
  await shows(undefined);
  end?.();
  assert.deepEqual([...new Set(shown)], ["One", "First", "Other", undefined]);
});

test("a mutation answers what its document refers to", async () => {
  const answer = await answerTo(
    `mutation { updateTask(id: "b", set: { priority: HIGH }) { priority project { name } } }`,
  );
  assert.deepEqual(answer, { updateTask: { priority: "HIGH", project: { name: "P" } } });
});

test("embedded documents have their type names, in lists and in each other", async (t) => {
  const client = await fleet();
  t.after(() => client.close());
  const local = localOperation(client[INSIDE], parse(FLEET));
  const answer = await new Promise<Answer>((resolve) => local?.follow(resolve, (error) => assert.fail(String(error))));
  assert.deepEqual(answer, FLEET_ANSWER);
});
