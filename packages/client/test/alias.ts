/**
 * Lets examples and snippets import the client by the name of its package. Import them after this, dynamically.
 */

import { register } from "node:module";

const client = JSON.stringify(new URL("../src/index.js", import.meta.url).href);
const hook = `export const resolve = (name, context, next) => next(name === "@tidegate/client" ? ${client} : name, context)`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
