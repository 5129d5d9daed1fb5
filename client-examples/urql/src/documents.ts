/**
 * What the page asks and edits, in GraphQL. The client answers all of it on the device.
 *
 * The index of `done` and `due` in the model serves `Tasks`: it reads 50 tasks and not all. No task of the page has a due
 * date, so they come in the order of their ids, the newest first.
 */

import { graphql } from "../generated/gql.js";

export const TASKS = graphql(`
  query Tasks($where: TaskWhere, $first: Int) {
    tasks(where: $where, orderBy: [due_DESC], first: $first) {
      nodes {
        ...TaskRow
      }
    }
  }

  fragment TaskRow on Task {
    id
    audience
    title
    notes
    done
    labels
    minutesSpent
  }
`);

export const CREATE_TASK = graphql(`
  mutation CreateTask($id: ID!, $document: TaskInput!) {
    createTask(id: $id, document: $document) {
      ...TaskRow
    }
  }
`);

export const UPDATE_TASK = graphql(`
  mutation UpdateTask($id: ID!, $set: TaskPatch, $increment: TaskPatch, $add: TaskPatch, $remove: TaskPatch) {
    updateTask(id: $id, set: $set, increment: $increment, add: $add, remove: $remove) {
      ...TaskRow
    }
  }
`);

export const DELETE_TASK = graphql(`
  mutation DeleteTask($id: ID!) {
    deleteTask(id: $id)
  }
`);

export const ARTICLES = graphql(`
  query Articles {
    articles(orderBy: [title_ASC], first: 20) {
      nodes {
        ...ArticleRow
      }
    }
  }

  fragment ArticleRow on Article {
    id
    audience
    title
    text
  }
`);

export const CREATE_ARTICLE = graphql(`
  mutation CreateArticle($id: ID!, $document: ArticleInput!) {
    createArticle(id: $id, document: $document) {
      ...ArticleRow
    }
  }
`);

export const UPDATE_ARTICLE = graphql(`
  mutation UpdateArticle($id: ID!, $set: ArticlePatch) {
    updateArticle(id: $id, set: $set) {
      ...ArticleRow
    }
  }
`);

export const DELETE_ARTICLE = graphql(`
  mutation DeleteArticle($id: ID!) {
    deleteArticle(id: $id)
  }
`);
