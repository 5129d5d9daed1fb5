/**
 * The form of traces (conformance/README.md), their files, and merge patches. Nothing here knows the core's steps.
 */

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { own } from "../../src/core/records.js";
import type { Body, Page, Policy, Result, Value } from "../../src/protocol.js";

type Patch = Readonly<Record<string, unknown>>;

export interface EditForm {
  readonly edit: number;
  readonly op: "create" | "update" | "delete";
  readonly type: string;
  readonly id: string;
  readonly document?: Body;
  readonly fields?: Readonly<Record<string, IntentForm>>;
}

export interface IntentForm {
  readonly set?: Value;
  readonly increment?: number;
  readonly add?: readonly Value[];
  readonly remove?: readonly Value[];
}

type Step =
  | {
      readonly do: "edit";
      readonly edits: readonly EditForm[];
      readonly atomic?: boolean;
      readonly policy?: Policy;
      readonly changedAt: string;
    }
  | { readonly do: "refresh"; readonly types: readonly string[] }
  | { readonly do: "begin" }
  | {
      readonly do: "page";
      readonly from: string | null;
      readonly round: number | null;
      readonly types?: readonly string[];
      readonly refresh?: readonly string[];
      readonly reread?: readonly string[];
      readonly page: Page;
    }
  | { readonly do: "unread"; readonly code: string }
  | { readonly do: "send"; readonly request: number; readonly limit?: number }
  | { readonly do: "answer"; readonly to: number; readonly results: readonly Result[] }
  | { readonly do: "refused"; readonly to: number; readonly code: string; readonly extensions?: Body }
  | { readonly do: "last"; readonly to: number; readonly lastMutationId: number }
  | { readonly do: "restart" }
  | { readonly do: "start" };

/** A line: what happens, and what must follow. */
export type Line = Step & {
  readonly refused?: string;
  readonly halts?: boolean;
  readonly sends?: unknown;
  readonly reports?: readonly string[];
  readonly equals?: boolean;
  readonly later?: boolean;
  readonly is?: Patch;
};

/** The first line. */
export interface Head {
  readonly trace: number;
  readonly folds?: boolean;
  readonly digests?: boolean;
}

export interface Trace {
  readonly name: string;
  readonly text: string;
}

/** The traces of a directory, the short ones first. */
export async function traces(directory: string): Promise<readonly Trace[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(".jsonl"));
  const read = names.map(async (name) => ({ name, text: await readFile(join(directory, name), "utf8") }));
  return (await Promise.all(read)).sort((a, b) => a.text.length - b.text.length);
}

/** A state without what is null or empty. */
export function plain(value: unknown): unknown {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  const members = Object.entries(value).filter(([, member]) => member !== null && member !== undefined);
  return Object.fromEntries(members.map(([name, member]) => [name, plain(member)]));
}

/** A JSON merge patch (RFC 7396). */
export function merged(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) result[name] = merged(own(result, name), value);
  return Object.fromEntries(Object.entries(result).filter(([name]) => own(patch, name) !== null));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
