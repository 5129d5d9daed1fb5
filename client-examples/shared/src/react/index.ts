/**
 * The parts of the page, for the examples with React. They draw what they get and report what a user does; where documents
 * come from, each example shows.
 */

export { Articles, type ArticleEdits, type ShownArticle } from "./Articles.js";
export { Inbox } from "./Inbox.js";
export { Shell } from "./Shell.js";
export { Tasks, Waits, type ShownTask, type TaskEdits } from "./Tasks.js";
