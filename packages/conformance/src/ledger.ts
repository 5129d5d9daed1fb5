/**
 * What applications were promised, edit by edit, and whether the documents of the end keep it. It knows nothing of how
 * devices work.
 */

import assert from "node:assert/strict";
import type { Body, Edit, Edits, Outcome, Value } from "./device.js";

/** Whether an edit must have taken effect, or may have: its application died before it knew, or its store was put back. */
type Certainty = "must" | "may";

interface Entry {
  readonly device: number;
  readonly edit: Edit;
  certainty: Certainty;
  /** The edits of one transaction share it. */
  readonly transaction: number | undefined;
}

type Documents = Readonly<Record<string, Body>>;

/** The fields whose last value stands. */
const VALUES = ["title", "name", "text"];

const FAILED = new Set<Outcome["status"]>(["CONFLICT", "REJECTED", "DROPPED", "REFUSED"]);

export class Ledger {
  readonly #entries: Entry[] = [];
  /** By device and number. */
  readonly #discarded = new Map<string, Outcome>();
  /** What was UNKNOWN and was made again: it may count twice. */
  readonly #again: Outcome[] = [];
  #transactions = 0;

  /** Edits that a device made, or may have made. */
  note(device: number, { edits, transaction }: Edits, certainty: Certainty): void {
    const of = transaction ? ++this.#transactions : undefined;
    for (const edit of edits) this.#entries.push({ device, edit, certainty, transaction: of });
  }

  discarded(device: number, outcome: Outcome): void {
    this.#discarded.set(`${device} ${outcome.n}`, outcome);
  }

  /**
   * An outcome was made again. Its counters and sets count as long as it does not fail again; its values are new. Of a
   * merged edit, values that are in force are not made again.
   */
  retried(device: number, outcome: Outcome): void {
    this.#discarded.delete(`${device} ${outcome.n}`);
    if (outcome.status === "UNKNOWN") this.#again.push(outcome);
    const values = Object.entries(outcome.set).filter(([field]) => VALUES.includes(field));
    const fields = Object.fromEntries(values.map(([field, value]) => [field, { set: value }] as const));
    const { type, id } = outcome;
    if (outcome.op !== "update") return;
    const certainty = outcome.status === "MERGED" ? "may" : "must";
    this.note(device, { edits: [{ op: "update", type, id, fields }], transaction: false }, certainty);
  }

  /** The store was put back to an earlier state: nothing that was promised so far is sure. */
  doubtAll(): void {
    for (const entry of this.#entries) entry.certainty = "may";
  }

  /** Compares the documents that users can see with what was promised, by the outcomes that each device still has. */
  check(documents: Documents, outcomes: readonly (readonly Outcome[])[]): void {
    const all = new Map(this.#discarded);
    outcomes.forEach((of, device) => {
      for (const outcome of of) all.set(`${device} ${outcome.n}`, outcome);
    });
    const failed = [...all.values()].filter(({ status }) => FAILED.has(status));
    const unknown = [...all.values()].filter(({ status }) => status === "UNKNOWN");
    const ids = new Set(this.#entries.map(({ edit }) => keyOf(edit)));
    for (const key of ids) new Account(key, this.#of(key), failed, [...unknown, ...this.#again]).check(documents[key]);
    this.#checkTransactions(documents);
    for (const key of Object.keys(documents)) assert.ok(ids.has(key), `${key} was made by no device`);
  }

  #of(key: string): readonly Entry[] {
    return this.#entries.filter(({ edit }) => keyOf(edit) === key);
  }

  /** The labels of one transaction are there together or not at all, while nobody takes labels away. */
  #checkTransactions(documents: Documents): void {
    const removed = new Set(this.#entries.flatMap(({ edit }) => itemsOf(edit, "remove")));
    for (let of = 1; of <= this.#transactions; of++) {
      const edits = this.#entries.filter(({ transaction }) => transaction === of).map(({ edit }) => edit);
      const there = edits.flatMap((edit) => {
        const labels = listOf(documents[keyOf(edit)]?.labels);
        const added = itemsOf(edit, "add").filter((label) => !removed.has(label));
        // A document that was created twice has lost what the first one had.
        const isThere =
          documents[keyOf(edit)] && this.#of(keyOf(edit)).filter((it) => it.edit.op === "create").length < 2;
        return isThere ? added.map((label) => labels.includes(label)) : [];
      });
      assert.ok(new Set(there).size < 2, `a part of a transaction took effect: ${JSON.stringify(edits)}`);
    }
  }
}

/** What was promised of one document. */
class Account {
  readonly #failed: readonly Outcome[];
  readonly #unknown: readonly Outcome[];

  constructor(
    readonly key: string,
    readonly entries: readonly Entry[],
    failed: readonly Outcome[],
    unknown: readonly Outcome[],
  ) {
    const mine = (outcome: Outcome): boolean => `${outcome.type}/${outcome.id}` === key;
    this.#failed = failed.filter(mine);
    this.#unknown = unknown.filter(mine);
  }

  check(document: Body | undefined): void {
    const creates = this.entries.filter(({ edit }) => edit.op === "create");
    if (!document) return this.#checkGone(creates);
    const deletes = this.entries.filter(({ edit, certainty }) => edit.op === "delete" && certainty === "must");
    const undone = [...this.#failed, ...this.#unknown].filter(({ op }) => op === "delete");
    assert.ok(creates.length > 1 || deletes.length <= undone.length, `${this.key} was deleted, and is there`);
    // A document that was created twice has lost what the first one had.
    if (creates.length > 1) return;
    this.#checkCounter(document);
    this.#checkLabels(listOf(document.labels));
    for (const field of VALUES) this.#checkValue(field, document[field]);
  }

  #checkGone(creates: readonly Entry[]): void {
    const mayBeDeleted = this.entries.some(({ edit }) => edit.op === "delete");
    const mayHaveFailed = [...this.#failed, ...this.#unknown].some(({ op }) => op === "create");
    const isSure = creates.some(({ certainty }) => certainty === "must");
    assert.ok(mayBeDeleted || mayHaveFailed || !isSure, `${this.key} is lost`);
  }

  /** Each increment counts once, or not at all where it may have had no effect. */
  #checkCounter({ minutesSpent }: Body): void {
    if (minutesSpent === undefined) return;
    const by = (certainty: Certainty): number =>
      sum(this.entries.filter((it) => it.certainty === certainty).map(({ edit }) => incrementOf(edit)));
    const failed = sum(this.#failed.map(counted));
    const unknown = sum(this.#unknown.map(counted));
    const [least, most] = [by("must") - failed - unknown, by("must") + by("may") - failed + unknown];
    const count = Number(minutesSpent);
    // What failed may be among what the device may have made.
    const isRight = count <= most + (by("may") > 0 ? failed : 0) && count >= least;
    assert.ok(isRight, `the count of ${this.key} is ${count}, and should be ${least} to ${most}`);
  }

  #checkLabels(labels: readonly Value[]): void {
    assert.equal(new Set(labels).size, labels.length, `labels of ${this.key} are doubled: ${JSON.stringify(labels)}`);
    const failed = new Set(this.#failed.flatMap(added));
    const open = new Set([...this.#unknown, ...this.#failed].flatMap((it) => [...added(it), ...removed(it)]));
    const certain = (what: "add" | "remove", certainty: Certainty): readonly Value[] =>
      this.entries.filter((it) => it.certainty === certainty).flatMap(({ edit }) => itemsOf(edit, what));
    const taken = new Set([...certain("remove", "must"), ...certain("remove", "may")]);
    for (const label of certain("add", "must")) {
      if (!taken.has(label) && !open.has(label))
        assert.ok(labels.includes(label), `${this.key} has lost ${JSON.stringify(label)}`);
    }
    const made = new Set([...certain("add", "must"), ...certain("add", "may")]);
    const gone = new Set(certain("remove", "must").filter((label) => !open.has(label)));
    for (const label of labels) {
      assert.ok(made.has(label), `nobody gave ${this.key} the label ${JSON.stringify(label)}`);
      assert.ok(!gone.has(label), `${this.key} has the label ${JSON.stringify(label)}, which was taken away`);
      const mayBe = certain("add", "may").includes(label);
      assert.ok(
        !failed.has(label) || mayBe,
        `${this.key} has the label ${JSON.stringify(label)} of an edit that failed`,
      );
    }
  }

  /** The last value of one of the devices, or one that may have been made. */
  #checkValue(field: string, value: Value | undefined): void {
    const writes = this.entries.flatMap(({ device, edit, certainty }) => {
      const written = valueOf(edit, field);
      return written === undefined ? [] : [{ device, certainty, written }];
    });
    if (writes.length === 0 || value === undefined || value === null) return;
    const failed = new Set(this.#failed.map(({ set }) => set[field]));
    // An edit may be folded into the next ones, and fails with the last of them.
    const isSure = (at: number): boolean => {
      const [it, ...next] = writes.slice(at).filter(({ device }) => device === writes[at]?.device);
      return it?.certainty === "must" && ![it, ...next].some(({ written }) => failed.has(written));
    };
    const candidates = writes.filter(({ device, certainty }, at) => {
      const later = writes.some((it, nth) => nth > at && it.device === device && isSure(nth));
      return certainty === "may" || !later;
    });
    const mayBe = candidates.map(({ written }) => written);
    const unsure = this.#unknown.length > 0;
    const allowed = unsure ? writes.map(({ written }) => written) : mayBe;
    assert.ok(
      allowed.includes(value),
      `${field} of ${this.key} is ${JSON.stringify(value)}, not one of ${JSON.stringify(allowed)}`,
    );
  }
}

function keyOf({ type, id }: Edit): string {
  return `${type}/${id}`;
}

function itemsOf(edit: Edit, what: "add" | "remove"): readonly Value[] {
  if (edit.op !== "update") return [];
  return Object.values(edit.fields).flatMap((field) =>
    what in field ? (field as Record<typeof what, Value[]>)[what] : [],
  );
}

function incrementOf(edit: Edit): number {
  if (edit.op !== "update") return 0;
  return sum(Object.values(edit.fields).map((field) => ("increment" in field ? field.increment : 0)));
}

function valueOf(edit: Edit, field: string): Value | undefined {
  if (edit.op === "create") return edit.document[field];
  const change = edit.op === "update" ? edit.fields[field] : undefined;
  return change && "set" in change ? change.set : undefined;
}

/** How far an edit with this outcome would have counted. */
function counted({ op, set, base }: Outcome): number {
  return op === "update" ? Number(set.minutesSpent ?? 0) - Number(base.minutesSpent ?? 0) : 0;
}

function added({ op, set, base }: Outcome): readonly Value[] {
  return op === "update" ? listOf(set.labels).filter((label) => !listOf(base.labels).includes(label)) : [];
}

function removed({ op, set, base }: Outcome): readonly Value[] {
  return op === "update" && set.labels !== undefined
    ? listOf(base.labels).filter((label) => !listOf(set.labels).includes(label))
    : [];
}

function listOf(value: Value | undefined): readonly Value[] {
  return Array.isArray(value) ? (value as readonly Value[]) : [];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
