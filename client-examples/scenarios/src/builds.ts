/**
 * Builds the pages of all examples, side by side.
 */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { EXAMPLES, ROOT } from "./examples.js";

const run = promisify(execFile);

await Promise.all(EXAMPLES.map(({ name }) => run("npm", ["run", "build"], { cwd: `${ROOT}client-examples/${name}` })));
