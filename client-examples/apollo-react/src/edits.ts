/**
 * What a user does, as mutations. They say what is meant, so two devices that add time or labels both count. Each is answered
 * when the edit is stored on the device, and the outbox sends it.
 */

import type { ApolloClient } from "@apollo/client";
import type { ArticleEdits, TaskEdits } from "tidegate-example-shared/react";
import { newId } from "tidegate-example-shared/words";
import type { UpdateTaskMutationVariables } from "../generated/graphql.js";
import { CREATE_ARTICLE, CREATE_TASK, DELETE_ARTICLE, DELETE_TASK, UPDATE_ARTICLE, UPDATE_TASK } from "./documents.js";

export function taskEdits(apollo: ApolloClient): TaskEdits {
  const update = (variables: UpdateTaskMutationVariables): Promise<unknown> =>
    apollo.mutate({ mutation: UPDATE_TASK, variables });
  return {
    create: (title, audience) =>
      apollo.mutate({ mutation: CREATE_TASK, variables: { id: newId(), document: { title, audience } } }),
    change: (id, set) => update({ id, set }),
    label: (id, label) => update({ id, add: { labels: [label] } }),
    unlabel: (id, label) => update({ id, remove: { labels: [label] } }),
    spend: (id, minutes) => update({ id, increment: { minutesSpent: minutes } }),
    delete: (id) => apollo.mutate({ mutation: DELETE_TASK, variables: { id } }),
  };
}

export function articleEdits(apollo: ApolloClient): ArticleEdits {
  return {
    create: (title, audience) =>
      apollo.mutate({ mutation: CREATE_ARTICLE, variables: { id: newId(), document: { title, audience } } }),
    change: (id, set) => apollo.mutate({ mutation: UPDATE_ARTICLE, variables: { id, set } }),
    delete: (id) => apollo.mutate({ mutation: DELETE_ARTICLE, variables: { id } }),
  };
}
