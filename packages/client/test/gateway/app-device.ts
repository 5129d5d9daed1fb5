/**
 * The application of the README as histories drive it: by the commands that a user types, and by the page that it draws.
 * What it has no command for, another part of the same application does with its client.
 */

import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import type { Body, Edit, Edits, Place, Value } from "@tidegate/conformance";
import type { tasksOf } from "../../examples/tasks.js";
import type { ClientOptions, Storage } from "../../src/index.js";
import { ClientDevice } from "./client-device.js";

/** How long a page may take to show what the client has. */
const DRAW_MS = 5_000;
/** How many tasks it shows. */
const SHOWN = 50;

type Show = (page: string) => void;
type Command = readonly [name: string, id: string, word?: string];

interface Shown {
  page: string;
  run: (...command: Command) => Promise<unknown> | undefined;
}

/** How a test breaks an application, to see that the judge notices. */
export interface Break {
  readonly options?: (options: ClientOptions) => ClientOptions;
  readonly show?: (show: Show) => Show;
}

export class AppDevice extends ClientDevice {
  readonly #shown: Shown;

  constructor(application: typeof tasksOf, place: Place, storage: () => Storage, broken: Break = {}) {
    const shown: Shown = { page: "", run: () => undefined };
    const draw = (page: string): void => {
      shown.page = page;
    };
    super(place, storage, (options) => {
      shown.page = "";
      const show = broken.show?.(draw) ?? draw;
      const { client, run } = application(place.name, place.team, broken.options?.(options) ?? options, show);
      shown.run = run;
      return client;
    });
    this.#shown = shown;
  }

  override edit(edits: Edits): Promise<boolean> {
    const [edit] = edits.edits;
    const isPlain = edits.edits.length === 1 && !edits.transaction && edits.policy === undefined;
    const command = isPlain && edit ? commandOf(edit) : undefined;
    if (!edit || !command) return super.edit(edits);
    const run = (): Promise<unknown> | undefined => this.#shown.run(...command);
    return this.allowed(async () => {
      if (edit.op === "create") assert.equal(await withId(edit.id, run), edit.id);
      else await run();
    });
  }

  override retry(n: number): Promise<boolean> {
    return this.#command("again", String(n));
  }

  override async discard(n: number): Promise<void> {
    await this.#command("forget", String(n));
  }

  override async resolve(id: string, take: "mine" | "theirs"): Promise<void> {
    await this.#command(take, id);
  }

  #command(...command: Command): Promise<boolean> {
    return this.allowed(async () => {
      await this.#shown.run(...command);
    });
  }

  /** The page has the tasks of a fresh device, and what the user has to see to. */
  async judge(documents: Readonly<Record<string, Body>>): Promise<void> {
    const { outcomes } = await this.state();
    const conflicts = await this.conflicts();
    const problems = outcomes.filter(({ status }) => status !== "MERGED").map(({ n }) => `again ${n}, forget ${n}`);
    const questions = conflicts.map(({ id }) => `mine ${id}, theirs ${id}`);
    const page = ["live, 0 unsent", ...linesOf(documents), ...problems, ...questions];
    for (const deadline = Date.now() + DRAW_MS; !isDeepStrictEqual(this.#page(), page) && Date.now() < deadline;) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.deepEqual(this.#page(), page, "the application draws something else");
  }

  /** Its lines; of problems and questions, what a user can do about them. */
  #page(): readonly string[] {
    return this.#shown.page.split("\n").map((line) => line.replace(/^[!?] .*\. (?=(again|mine) )/, ""));
  }
}

/** The command by which a user makes an edit, if there is one. */
function commandOf(edit: Edit): Command | undefined {
  if (edit.type !== "Task") return undefined;
  if (edit.op === "delete") return ["delete", edit.id];
  if (edit.op === "create") return ["add", text(edit.document.title)];
  const [[name, field] = [], ...others] = Object.entries(edit.fields);
  if (name === undefined || field === undefined || others.length > 0) return undefined;
  if ("increment" in field) return ["work", edit.id, text(field.increment)];
  if ("add" in field) return ["label", edit.id, text(field.add[0])];
  if ("remove" in field) return ["unlabel", edit.id, text(field.remove[0])];
  if (name === "title") return ["rename", edit.id, text(field.set)];
  return name === "done" ? ["done", edit.id] : undefined;
}

/** Histories name the documents that they make: the random id of this one is theirs. */
function withId<T>(id: string, work: () => T): T {
  Object.defineProperty(crypto, "randomUUID", { value: () => id, configurable: true });
  try {
    return work();
  } finally {
    Reflect.deleteProperty(crypto, "randomUUID");
  }
}

/** The open tasks as the README's page has them. */
function linesOf(documents: Readonly<Record<string, Body>>): readonly string[] {
  const open = Object.entries(documents).flatMap(([key, body]) =>
    key.startsWith("Task/") && !body.done ? [body] : [],
  );
  const ordered = open.sort((a, b) => order(text(a.title), text(b.title)) || order(text(a.id), text(b.id)));
  return ordered.slice(0, SHOWN).map(({ id, title, minutesSpent, labels }) => {
    const words = Array.isArray(labels) ? labels.map(text) : [];
    return `[ ] ${text(title)} (${text(minutesSpent)} min) ${words.join(", ")} ${text(id)}`;
  });
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function text(value: Value | undefined): string {
  return typeof value === "string" ? value : JSON.stringify(value ?? null);
}
