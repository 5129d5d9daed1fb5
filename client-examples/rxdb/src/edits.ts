/**
 * What a user does, as writes into RxDB. The adapter sends what a write changes: of counters and sets the difference, so
 * that two devices that add time or labels both count.
 */

import type { RxCollection, RxDocument } from "rxdb";
import type { ArticleEdits, TaskEdits } from "tidegate-example-shared/react";
import { newId } from "tidegate-example-shared/words";
import type { Collections, TaskDoc } from "./database.js";

export function taskEdits({ tasks }: Collections): TaskEdits {
  const change = async (id: string, edit: (task: TaskDoc) => Partial<TaskDoc>): Promise<void> => {
    await (await found(tasks, id)).incrementalModify((task) => ({ ...task, ...edit(task) }));
  };
  return {
    create: (title, audience) => {
      return tasks.insert({ id: newId(), title, audience, done: false, labels: [], minutesSpent: 0 });
    },
    change: (id, fields) => change(id, () => fields),
    label: (id, label) => change(id, ({ labels }) => ({ labels: [...new Set([...labels, label])] })),
    unlabel: (id, label) => change(id, ({ labels }) => ({ labels: labels.filter((it) => it !== label) })),
    spend: (id, minutes) => change(id, ({ minutesSpent }) => ({ minutesSpent: minutesSpent + minutes })),
    delete: (id) => remove(tasks, id),
  };
}

export function articleEdits({ articles }: Collections): ArticleEdits {
  return {
    create: (title, audience) => articles.insert({ id: newId(), title, audience }),
    change: async (id, fields) => (await found(articles, id)).incrementalPatch(fields),
    delete: (id) => remove(articles, id),
  };
}

async function found<T>(collection: RxCollection<T>, id: string): Promise<RxDocument<T>> {
  const doc = await collection.findOne(id).exec();
  if (!doc) throw new Error("Another device has deleted this document.");
  return doc;
}

async function remove<T>(collection: RxCollection<T>, id: string): Promise<void> {
  await (await collection.findOne(id).exec())?.incrementalRemove();
}
