/**
 * Another service that writes to the collections of a gateway, as histories play it: to documents of its own, and to a
 * field of all documents that no device edits.
 */

import { setTimeout } from "node:timers/promises";
import type { Body, Service } from "@tidegate/conformance";
import { MongoClient, type Collection } from "mongodb";

interface Task {
  readonly _id: string;
  readonly audience: string;
  readonly title: string;
  readonly done: boolean;
  readonly priority: string;
  readonly labels: readonly string[];
  readonly minutesSpent: number;
}

const PRIORITIES = ["LOW", "NORMAL", "HIGH"] as const;

export class OtherService implements Service {
  readonly #client: MongoClient;
  readonly #tasks: Collection<Task>;
  /** The titles of its own documents, by id; null if it has deleted one. */
  readonly #titles = new Map<string, string | null>();
  #writes = 0;

  constructor(url: string) {
    this.#client = new MongoClient(url);
    this.#tasks = this.#client.db().collection("tasks");
  }

  async write(team: string): Promise<void> {
    const n = ++this.#writes;
    const audience = `team:${team}`;
    const [id = "", title] = [...this.#titles].findLast(([, it]) => it !== null) ?? [];
    if (n % 4 === 1) await this.#insert(`service-${team}-${n}`, audience, `service ${n}`);
    else if (n % 4 === 2) {
      const priority = PRIORITIES[(n >> 2) % PRIORITIES.length] ?? "NORMAL";
      await this.#tasks.updateMany({ audience }, { $set: { priority } });
    } else if (title === undefined) return;
    else if (n % 8 === 7) {
      await this.#tasks.deleteOne({ _id: id });
      this.#titles.set(id, null);
    } else {
      await this.#tasks.updateOne({ _id: id }, { $set: { title: `service ${n}` } });
      this.#titles.set(id, `service ${n}`);
    }
    // What it writes meets what devices push.
    await setTimeout(n % 3);
  }

  async #insert(_id: string, audience: string, title: string): Promise<void> {
    const rest = { done: false, priority: "NORMAL", labels: [], minutesSpent: 0 };
    await this.#tasks.insertOne({ _id, audience, title, ...rest });
    this.#titles.set(_id, title);
  }

  owns(key: string): boolean {
    return key.startsWith("Task/service-");
  }

  wants(team: string): Readonly<Record<string, string>> {
    const own = [...this.#titles].filter(([id, title]) => title !== null && id.startsWith(`service-${team}-`));
    return Object.fromEntries(own.map(([id, title]) => [`Task/${id}`, title ?? ""]));
  }

  has(documents: Readonly<Record<string, Body>>): Readonly<Record<string, string>> {
    const own = Object.entries(documents).filter(([key]) => this.owns(key));
    return Object.fromEntries(own.map(([key, { title }]) => [key, typeof title === "string" ? title : ""]));
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}
