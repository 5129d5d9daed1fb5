/**
 * The examples that the scenarios drive. Another one joins by a line.
 */

import { fileURLToPath } from "node:url";

export interface Example {
  /** Its folder in `client-examples`. */
  readonly name: string;
  /** Whether `make test` plays all scenarios, and not only the shortest road. */
  readonly whole: boolean;
  /** How many lines of its own it may have: 300 unless it does by hand what a library does for the others. */
  readonly lines?: number;
}

const ALL: readonly Example[] = [
  { name: "react", whole: true },
  { name: "apollo-react", whole: false },
  { name: "rxdb", whole: false },
  { name: "urql", whole: false },
  { name: "vanilla", whole: true, lines: 1_600 },
];

const names = process.env.EXAMPLES?.split(" ");

/** Those that the variable EXAMPLES names; without it all. */
export const EXAMPLES = ALL.filter(({ name }) => names?.includes(name) ?? true);

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Where the built page of an example is. */
export function directoryOf({ name }: Example): string {
  return `${ROOT}client-examples/${name}/dist`;
}
