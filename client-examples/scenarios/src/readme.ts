/**
 * The commands in the README of an example.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** From nothing to something that works. */
export const MOST_COMMANDS = 3;

export interface Readme {
  readonly text: string;
  /** The commands of each block, in order. */
  readonly blocks: readonly string[];
}

/** The README of an example in a clone of the repository. */
export async function readmeOf(clone: string, example: string): Promise<Readme> {
  const text = await readFile(join(clone, "client-examples", example, "README.md"), "utf8");
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, commands = ""]) => commands);
  return { text, blocks };
}

/** The commands of a block, one by one. */
export function commandsIn(block: string): readonly string[] {
  return block.trim().split(/\s*(?:\n|&&|;)\s*/);
}
