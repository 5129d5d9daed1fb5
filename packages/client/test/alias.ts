/**
 * Lets examples and snippets import the client by the name of its package. Import them after this, dynamically.
 */

import { register } from "node:module";

const source = JSON.stringify(new URL("../src/", import.meta.url).href);
const hook = `export const resolve = (name, context, next) => {
  const [, adapter] = /^@tidegate\\/client(?:\\/(.+))?$/.exec(name) ?? [name, null];
  return next(adapter === null ? name : ${source} + (adapter ? "adapters/" + adapter : "index") + ".js", context);
}`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
