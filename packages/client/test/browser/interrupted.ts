/**
 * A storage that is interrupted in the middle of a step: while its transaction runs, or as soon as it is stored.
 */

import type { Slice, Writes } from "../../src/core/draft.js";
import type { Storage } from "../../src/storage/storage.js";

export type StepKind = "edit" | "flight" | "answer" | "page";
export type Moment = "running" | "stored";

/** What happens at the next step of a kind. */
let due: { readonly kind: StepKind; readonly moment: Moment; readonly act: () => void } | undefined;

export function interrupt(kind: StepKind, moment: Moment, act: () => void): void {
  due = { kind, moment, act };
}

export function interrupted(storage: Storage): Storage {
  const step: Storage["step"] = async (need, run, options) => {
    let kind: StepKind | undefined;
    const watched = (slice: Slice): Writes => {
      const writes = run(slice);
      kind = kindOf(slice, writes);
      actAt(kind, "running");
      return writes;
    };
    await storage.step(need, watched, options);
    actAt(kind, "stored");
  };
  return new Proxy(storage, {
    get: (target, name) => {
      if (name === "step") return step;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

function kindOf(before: Slice, writes: Writes): StepKind | undefined {
  if (before.meta.n !== writes.meta.n) return "edit";
  if (!before.flight && writes.flight) return "flight";
  if (before.flight && !writes.flight) return "answer";
  return before.meta.checkpoint === writes.meta.checkpoint ? undefined : "page";
}

function actAt(kind: StepKind | undefined, moment: Moment): void {
  if (!due || due.kind !== kind || due.moment !== moment) return;
  const { act } = due;
  due = undefined;
  act();
}
