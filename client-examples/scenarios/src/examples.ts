/**
 * The examples that the scenarios drive. Another one joins by a line.
 */

import { fileURLToPath } from "node:url";

export interface Example {
  /** Its folder in `client-examples`. */
  readonly name: string;
  /** Whether `make test` plays all scenarios, and not only the shortest road. */
  readonly whole: boolean;
  /** Whether its tabs work side by side, and not one after the other. */
  readonly tabs: boolean;
  /** How many lines of its own it may have: 300 unless it does by hand what a library does for the others. */
  readonly lines?: number;
}

const ALL: readonly Example[] = [
  { name: "react", whole: true, tabs: true },
  { name: "apollo-react", whole: false, tabs: true },
  { name: "rxdb", whole: false, tabs: true },
  { name: "urql", whole: false, tabs: true },
  { name: "vanilla", whole: true, tabs: false, lines: 1_600 },
];

const names = process.env.EXAMPLES?.split(" ");

/** Those that the variable EXAMPLES names; without it all. */
export const EXAMPLES = ALL.filter(({ name }) => names?.includes(name) ?? true);

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Where the built page of an example is. */
export function directoryOf({ name }: Example): string {
  return `${ROOT}client-examples/${name}/dist`;
}
