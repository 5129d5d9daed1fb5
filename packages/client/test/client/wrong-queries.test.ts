/**
 * Queries that are wrong, and those that no index serves.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, type Client } from "../../src/index.js";
import { memoryStorage } from "../../src/storage/memory.js";
import { model, type Model } from "../models/example.js";

function offline(): Client<Model> {
  return createClient<Model>({
    url: "http://localhost/graphql",
    token: () => "token",
    model,
    storage: memoryStorage(),
    fetch: () => Promise.reject(new TypeError("offline")),
  });
}

test("a query that does not fit the model does not compile", () => {
  const wrong = (client: Client<Model>): void => {
    // @ts-expect-error there is no such field
    client.tasks.live({ where: { colour: { eq: "red" } } });
    // @ts-expect-error there is no such field inside either
    client.tasks.live({ where: { or: [{ colour: { eq: "red" } }] } });
    // @ts-expect-error a priority is one of three
    client.tasks.live({ where: { priority: { in: ["URGENT"] } } });
    // @ts-expect-error a number is no text
    client.tasks.live({ where: { minutesSpent: { gt: "5" } } });
    // @ts-expect-error a number begins with nothing
    client.tasks.live({ where: { minutesSpent: { startsWith: "5" } } });
    // @ts-expect-error no order is between truth values
    client.tasks.live({ where: { done: { lt: true } } });
    // @ts-expect-error null is no operand
    client.tasks.live({ where: { due: { eq: null } } });
    // @ts-expect-error a list is not queried
    client.tasks.live({ where: { labels: { eq: [] } } });
    // @ts-expect-error a list is not ordered
    client.tasks.live({ orderBy: ["labels_ASC"] });
    // @ts-expect-error fields of the sync are not queried
    client.tasks.live({ orderBy: ["syncVersion_ASC"] });
    // @ts-expect-error a direction is ASC or DESC
    client.tasks.live({ orderBy: ["due_UP"] });
    // @ts-expect-error an operator is one of nine
    client.tasks.live({ where: { title: { contains: "milk" } } });
  };
  assert.equal(typeof wrong, "function");
});

test("a query that is no query is refused, as by an app without types", async () => {
  const client = offline();
  for (const query of [
    { where: { title: { contains: "milk" } } },
    { where: { due: { eq: undefined } } },
    { where: { or: [{ due: { in: ["2026-03-01T00:00:00Z", null] } }] } },
    { where: { due: { startsWith: "2026" } } },
    { where: { done: { isNull: null } } },
    { orderBy: ["title"] },
  ]) {
    assert.throws(() => client.tasks.live(query as object), { code: "INVALID_QUERY" }, JSON.stringify(query));
  }
  await client.close();
});

test("a query that no index serves says so once, with the fields that one would need", async (context) => {
  const warned = context.mock.method(console, "warn", () => undefined);
  const client = offline();
  for (let times = 0; times < 2; times++) {
    client.tasks.live({ where: { title: { startsWith: "Buy" }, done: { eq: false } } });
    client.tasks.live({ where: { priority: { ne: "LOW" } } });
    client.tasks.live({ where: { title: { gte: "Buy" }, priority: { eq: "LOW" } } });
    client.projects.live({ orderBy: ["name_ASC"], limit: 10 });
    client.projects.live({ orderBy: ["name_ASC"] });
    client.projects.live({ limit: 10 });
    client.tasks.live({ where: { id: { eq: "a" } } });
    client.tasks.live({ where: { projectId: { eq: "a" } }, orderBy: ["title_ASC"] });
  }
  const texts = warned.mock.calls.map((call) => String(call.arguments[0]));
  assert.deepEqual(texts, [
    "a query reads all of Task: no @index for priority",
    "a query reads all of Task: no @index for title, priority",
    "a query reads all of Project: no @index for name",
  ]);
  await client.close();
});
