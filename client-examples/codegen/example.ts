// Creates a task by generated types, and reads it back. GATEWAY and TOKEN say where, and as whom.
import { randomUUID } from "node:crypto";

import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { print } from "graphql";

import { ChangesSinceDocument, PushChangesDocument, type SyncChangeInput } from "./generated/graphql.js";

const { GATEWAY = "http://127.0.0.1:4000", TOKEN } = process.env;

async function run<Data, Variables>(document: TypedDocumentNode<Data, Variables>, variables: Variables): Promise<Data> {
  const response = await fetch(`${GATEWAY}/graphql`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify({ query: print(document), variables }),
  });
  const { data, errors } = (await response.json()) as { data: Data; errors?: { message: string }[] };
  if (errors) throw new Error(errors.map(({ message }) => message).join("\n"));
  return data;
}

const id = randomUUID();
const change: SyncChangeInput = {
  task: { create: { id, document: { title: "Made by TypeScript", audience: "team:demo" } } },
};

// @ts-expect-error `@oneOf`: a change is about one document.
const two: SyncChangeInput = { task: change.task, project: { delete: { id, baseVersion: 1 } } };
void two;

const { pushChanges } = await run(PushChangesDocument, { input: { changes: [change] } });
const { changesSince } = await run(ChangesSinceDocument, { types: ["Task"] });
const found = changesSince.changes.find(({ documentId }) => documentId === id);
if (found?.document?.__typename !== "Task") throw new Error("the task is not there");
console.log(`${pushChanges.results[0]?.status}: ${found.document.title}`);
