/**
 * What a user does, as edits of the client: by intention, so that two devices that add time or labels both count.
 */

import { add, increment, remove, type Client } from "@tidegate/client";
import type { Model } from "tidegate-example-shared/model";
import type { ArticleEdits, TaskEdits } from "tidegate-example-shared/react";
import { newId } from "tidegate-example-shared/words";

export function taskEdits({ tasks }: Client<Model>): TaskEdits {
  return {
    create: (title, audience) => tasks.create({ id: newId(), title, audience }),
    change: (id, fields) => tasks.update(id, fields),
    label: (id, label) => tasks.update(id, { labels: add(label) }),
    unlabel: (id, label) => tasks.update(id, { labels: remove(label) }),
    spend: (id, minutes) => tasks.update(id, { minutesSpent: increment(minutes) }),
    delete: (id) => tasks.delete(id),
  };
}

export function articleEdits({ articles }: Client<Model>): ArticleEdits {
  return {
    create: (title, audience) => articles.create({ id: newId(), title, audience }),
    change: (id, fields) => articles.update(id, fields),
    delete: (id) => articles.delete(id),
  };
}
