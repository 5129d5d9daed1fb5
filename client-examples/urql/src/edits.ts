/**
 * What a user does, as mutations. They say what is meant, so two devices that add time or labels both count. Each is answered
 * when the edit is stored on the device, and the outbox sends it.
 */

import type { AnyVariables, Client, TypedDocumentNode } from "urql";
import type { ArticleEdits, TaskEdits } from "tidegate-example-shared/react";
import { newId } from "tidegate-example-shared/words";
import { CREATE_ARTICLE, CREATE_TASK, DELETE_ARTICLE, DELETE_TASK, UPDATE_ARTICLE, UPDATE_TASK } from "./documents.js";

export function taskEdits(urql: Client): TaskEdits {
  return {
    create: (title, audience) => perform(urql, CREATE_TASK, { id: newId(), document: { title, audience } }),
    change: (id, set) => perform(urql, UPDATE_TASK, { id, set }),
    label: (id, label) => perform(urql, UPDATE_TASK, { id, add: { labels: [label] } }),
    unlabel: (id, label) => perform(urql, UPDATE_TASK, { id, remove: { labels: [label] } }),
    spend: (id, minutes) => perform(urql, UPDATE_TASK, { id, increment: { minutesSpent: minutes } }),
    delete: (id) => perform(urql, DELETE_TASK, { id }),
  };
}

export function articleEdits(urql: Client): ArticleEdits {
  return {
    create: (title, audience) => perform(urql, CREATE_ARTICLE, { id: newId(), document: { title, audience } }),
    change: (id, set) => perform(urql, UPDATE_ARTICLE, { id, set }),
    delete: (id) => perform(urql, DELETE_ARTICLE, { id }),
  };
}

/** Rejects with the client's error, such as that the disk is full. */
async function perform<Data, Variables extends AnyVariables>(
  urql: Client,
  mutation: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<void> {
  const { error } = await urql.mutation(mutation, variables).toPromise();
  if (error) throw error.networkError ?? error;
}
