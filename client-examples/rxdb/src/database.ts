/**
 * RxDB's collections, which the client fills. Their properties are fields of the model; `syncLocal` is the adapter's.
 */

import type { Client } from "@tidegate/client";
import { replicateRxDB, type RxDBReplication } from "@tidegate/client/rxdb";
import { addRxPlugin, createRxDatabase, type RxCollection, type RxJsonSchema } from "rxdb";
import { RxDBLeaderElectionPlugin } from "rxdb/plugins/leader-election";
import { getRxStorageDexie } from "rxdb/plugins/storage-dexie";
import type { Article, Model, Task } from "tidegate-example-shared/model";

/** RxDB knows no null: a field without a value is absent. */
export type TaskDoc = Pick<Task, "id" | "audience" | "title" | "done" | "labels" | "minutesSpent"> & {
  readonly notes?: string;
  readonly syncLocal?: number;
};

export type ArticleDoc = Pick<Article, "id" | "audience" | "title"> & {
  readonly text?: string;
  readonly syncLocal?: number;
};

export interface Collections {
  readonly tasks: RxCollection<TaskDoc>;
  readonly articles: RxCollection<ArticleDoc>;
  readonly replication: RxDBReplication;
}

const TASKS: RxJsonSchema<TaskDoc> = {
  version: 0,
  primaryKey: "id",
  type: "object",
  properties: {
    id: { type: "string", maxLength: 100 },
    audience: { type: "string" },
    title: { type: "string" },
    notes: { type: "string" },
    done: { type: "boolean" },
    labels: { type: "array", items: { type: "string" } },
    minutesSpent: { type: "integer" },
    syncLocal: { type: "integer" },
  },
  required: ["id", "audience", "title", "done", "labels", "minutesSpent"],
};

const ARTICLES: RxJsonSchema<ArticleDoc> = {
  version: 0,
  primaryKey: "id",
  type: "object",
  properties: {
    id: { type: "string", maxLength: 100 },
    audience: { type: "string" },
    title: { type: "string" },
    text: { type: "string" },
    syncLocal: { type: "integer" },
  },
  required: ["id", "audience", "title"],
};

/** The user's collections, which follow the client from then on: in the tab that leads, for all tabs. */
export async function openCollections(name: string, client: Client<Model>): Promise<Collections> {
  addRxPlugin(RxDBLeaderElectionPlugin);
  // RxDB may get the writes of other tabs out of order, and would keep the older result of a query.
  const database = await createRxDatabase({ name, storage: getRxStorageDexie(), eventReduce: false });
  const { tasks, articles } = await database.addCollections<Omit<Collections, "replication">>({
    tasks: { schema: TASKS },
    articles: { schema: ARTICLES },
  });
  const all = { tasks: tasks as RxCollection, articles: articles as RxCollection };
  return { tasks, articles, replication: replicateRxDB({ client, collections: all }) };
}
