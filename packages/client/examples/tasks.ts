/**
 * A whole application: the tasks of a team. `show` draws its text, `run` carries out what a user types.
 */
import { add, createClient, increment, indexedDBStorage, remove } from "@tidegate/client";
import type { ClientOptions, Conflict, OutcomeOf, Status } from "@tidegate/client";
import { model, type Model, type Task } from "./model.js";

type Options = Pick<ClientOptions, "url" | "token"> & Partial<ClientOptions>;

export function tasksOf(user: string, team: string, options: Options, show: (page: string) => void) {
  const client = createClient<Model>({ model, storage: indexedDBStorage(`tasks of ${user}`), ...options });
  const open = client.tasks.live({ where: { done: { eq: false } }, orderBy: ["title_ASC"], limit: 50 });
  const { status, outcomes, conflicts } = client;

  const draw = (): void => {
    const tasks = (open.value ?? []).map(line);
    const problems = (outcomes.value ?? []).filter((it) => it.status !== "MERGED").map(problem);
    const questions = (conflicts.value ?? []).map(question);
    show([header(status.value), ...tasks, ...problems, ...questions].join("\n"));
  };
  for (const live of [open, status, outcomes, conflicts]) live.subscribe(draw);

  const outcome = (n: string) => outcomes.value?.find((it) => it.n === Number(n));
  const commands: Record<string, (id: string, word: string) => Promise<unknown> | undefined> = {
    add: (title) => client.tasks.create({ title, audience: `team:${team}` }),
    rename: (id, title) => client.tasks.update(id, { title }),
    done: (id) => client.tasks.update(id, (task) => ({ done: !task.done })),
    work: (id, minutes) => client.tasks.update(id, { minutesSpent: increment(Number(minutes)) }),
    label: (id, label) => client.tasks.update(id, { labels: add(label) }),
    unlabel: (id, label) => client.tasks.update(id, { labels: remove(label) }),
    delete: (id) => client.tasks.delete(id),
    again: (n) => outcome(n)?.retry(),
    forget: (n) => outcome(n)?.discard(),
    mine: (id) => client.resolve(id, { take: "mine" }),
    theirs: (id) => client.resolve(id, { take: "theirs" }),
  };
  return { client, run: (name: string, id: string, word = "") => commands[name]?.(id, word) };
}

function header(status: Status | undefined): string {
  const { phase = "offline", unsent = 0, error } = status ?? {};
  return `${phase}, ${unsent} unsent${error ? `: ${error.message}` : ""}`;
}

function line({ id, title, minutesSpent, labels }: Task): string {
  return `[ ] ${title} (${minutesSpent} min) ${labels.join(", ")} ${id}`;
}

function problem({ n, op, id, status, error }: OutcomeOf<Model>): string {
  return `! ${op} of ${id}: ${error?.message ?? status}. again ${n}, forget ${n}`;
}

function question({ id, type, documentId, fields }: Conflict<Model>): string {
  return `? ${type} ${documentId}: ${fields.join(", ")}. mine ${id}, theirs ${id}`;
}
