/**
 * The examples that the scenarios drive. Another one joins by a line.
 */

import { fileURLToPath } from "node:url";

export interface Example {
  /** Its folder in `client-examples`. */
  readonly name: string;
  /** Whether `make test` plays all scenarios, and not only the shortest road. */
  readonly whole: boolean;
}

export const EXAMPLES: readonly Example[] = [
  { name: "react", whole: true },
  { name: "vanilla", whole: true },
];

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Where the built page of an example is. */
export function directoryOf({ name }: Example): string {
  return `${ROOT}client-examples/${name}/dist`;
}
