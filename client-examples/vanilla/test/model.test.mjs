// The operations of the page are those of the API.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { buildSchema, parse, validate } from "graphql";

import { API_HASH, MODEL, RESOLVE, VIEWER } from "../src/model.js";

test("the operations fit the schema, and the API hash is its own", async () => {
  const text = await readFile(new URL("../../../schema.graphql", import.meta.url), "utf8");
  assert.ok(text.startsWith(`# API hash: ${API_HASH}\n`));
  const schema = buildSchema(text);
  for (const operation of [MODEL.changes, MODEL.push, MODEL.conflicts, VIEWER, RESOLVE]) {
    assert.deepEqual(validate(schema, parse(operation)), []);
  }
});
