/**
 * How the pages say things. Nothing in here knows a framework.
 */

import type { Status } from "@tidegate/client";

/** What a list shows. */
export interface Filter {
  readonly done: boolean;
  /** Those of one audience, or all. */
  readonly audience: string | undefined;
  /** How many at most. */
  readonly limit: number;
}

export const FIRST_FILTER: Filter = { done: false, audience: undefined, limit: 50 };

/** Ids that begin with the time: lists show the newest first, offline too. */
export function newId(): string {
  return `${Date.now().toString(36)}-${crypto.randomUUID().slice(0, 8)}`;
}

/** `team:demo` is called Demo, and `user:alice` Only me. */
export function audienceName(audience: string): string {
  const [kind, name = audience] = audience.split(":");
  return kind === "user" ? "Only me" : capital(name);
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function phaseName({ phase, done }: Pick<Status, "phase" | "done">): string {
  if (phase === "live") return "In step";
  if (phase === "catching-up")
    return done > 0 ? `Catching up, ${done.toLocaleString("en")} changes read` : "Catching up";
  return phase === "halted" ? "Stopped" : "Offline";
}

export function waiting(edits: number): string {
  return edits === 1 ? "1 edit waits" : `${edits.toLocaleString("en")} edits wait`;
}

/** The question before a sign-out. */
export function unsentEdits(edits: number): string {
  return edits === 1 ? "One edit is not sent yet" : `${edits.toLocaleString("en")} edits are not sent yet`;
}

export function lastSync(at: Date | undefined): string {
  return at ? `last in step at ${at.toLocaleTimeString("en", { timeStyle: "short" })}` : "never in step yet";
}

/** `95` is 1 h 35 min. */
export function timeSpent(minutes: number): string {
  const hours = Math.trunc(minutes / 60);
  return hours === 0 ? `${minutes} min` : `${hours} h ${Math.abs(minutes % 60)} min`;
}

/** Whose edit waits in the inbox. */
export function editOf(openedBy: string, user: string): string {
  return openedBy === user ? "Your edit" : `${capital(openedBy)}’s edit`;
}

/** What became of an edit, by its status. */
export const OUTCOME_NAMES: Readonly<Record<string, string>> = {
  MERGED: "Merged with another edit",
  CONFLICT: "Another edit came first",
  REJECTED: "Not accepted",
  DROPPED: "Not sent",
  REFUSED: "Too large to send",
  UNKNOWN: "Perhaps in force",
};

const FIELD_NAMES: Readonly<Record<string, string>> = {
  minutesSpent: "Time spent",
  audience: "For",
  projectId: "Project",
};

/** The fields of a document that people read, with their names and values as text. */
export function readable(
  document: object | null | undefined,
  fields: readonly string[],
): readonly (readonly [string, string])[] {
  const values = new Map<string, unknown>(Object.entries(document ?? {}));
  return fields.map((field) => [fieldName(field), shown(field, values.get(field))]);
}

export function fieldName(field: string): string {
  return FIELD_NAMES[field] ?? capital(field);
}

/** A value as text. */
export function shown(field: string, value: unknown): string {
  if (value === null || value === undefined || value === "") return "—";
  if (field === "audience" && typeof value === "string") return audienceName(value);
  if (field === "minutesSpent") return timeSpent(Number(value));
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.length === 0 ? "—" : value.join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** What a document of a type is called: its title, of whichever of these has one. */
export function titleOf(type: string, ...documents: readonly (object | null | undefined)[]): string {
  for (const document of documents) {
    if (document && "title" in document && typeof document.title === "string") return document.title;
  }
  return `${type === "Article" ? "An" : "A"} ${type.toLowerCase()}`;
}
