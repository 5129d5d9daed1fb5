/**
 * Random histories as data: what applications, users, networks and the operator do, one after the other. fast-check
 * draws them and cuts down those that fail.
 */

import fc from "fast-check";
import type { Fault, Traffic } from "./proxy.js";

/** What one application, its user or its network does. Numbers choose among what is there. */
export type Act =
  | { readonly act: EditAct; readonly id: number }
  | { readonly act: "transaction"; readonly id: number; readonly other: number }
  | { readonly act: "offline" | "online" | "cut" | "kill" | "refresh" | "reset" | "withdraw" | "grant" }
  | { readonly act: "token"; readonly token: "expired" | "refused" | "other" | "good" }
  | { readonly act: "retry" | "discard"; readonly nth: number }
  | { readonly act: "resolve"; readonly nth: number; readonly take: "mine" | "theirs" }
  | { readonly act: "wait"; readonly ms: number }
  /** What only some devices know: `n` is theirs. */
  | { readonly act: "special"; readonly what: string; readonly n: number };

export type EditAct =
  | "create"
  | "recreate"
  | "count"
  | "work"
  | "label"
  | "unlabel"
  | "title"
  | "done"
  | "notes"
  | "move"
  | "delete"
  | "project"
  | "article";

/** What the operator of the gateway does; `write`: another service writes to its database. */
export type Operation = "rotate" | "collect" | "crash" | "backup" | "restore" | "write";

export type Step = readonly [device: number, act: Act] | readonly [operator: "operator", operation: Operation];

export interface History {
  readonly steps: readonly Step[];
  /** What goes wrong with what each device sends, one after the other. Then nothing does. */
  readonly faults: readonly (readonly Trouble[])[];
}

/** So much traffic of a kind passes, and then something goes wrong. */
export interface Trouble {
  readonly kind: Traffic["kind"];
  readonly after: number;
  readonly fault: Fault;
}

export interface Kinds {
  readonly devices: number;
  readonly steps: number;
  /** The acts besides edits that these devices know, with their weights. */
  readonly acts: readonly Weighted[];
  readonly operations: readonly Operation[];
  /** How often something is the operator's; 60 of it are a device's. */
  readonly operated?: number;
  /** Whether there is a proxy. */
  readonly faults: boolean;
}

export interface Weighted {
  readonly weight: number;
  readonly arbitrary: fc.Arbitrary<Act>;
}

/** How many documents there are of each type. */
export const IDS = 4;

/** Printed without a prototype that says nothing. */
const plainRecord = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true });

const id = fc.nat(IDS - 1);
const edits: readonly (readonly [number, EditAct])[] = [
  [4, "create"],
  [1, "recreate"],
  [6, "count"],
  [4, "work"],
  [5, "label"],
  [2, "unlabel"],
  [3, "title"],
  [2, "done"],
  [2, "notes"],
  [2, "move"],
  [2, "delete"],
  [2, "project"],
  [2, "article"],
];
const edit: fc.Arbitrary<Act> = plainRecord({
  act: fc.oneof(...edits.map(([weight, act]) => ({ weight, arbitrary: fc.constant(act) }))),
  id,
});
const transaction: fc.Arbitrary<Act> = plainRecord({ act: fc.constant("transaction" as const), id, other: id });

/** An act without more to say. */
export function plain(
  act: "offline" | "online" | "cut" | "kill" | "refresh" | "reset" | "withdraw" | "grant",
): fc.Arbitrary<Act> {
  return fc.constant({ act });
}

export function special(what: string, most = 0): fc.Arbitrary<Act> {
  return plainRecord({ act: fc.constant("special" as const), what: fc.constant(what), n: fc.nat(most) });
}

/** Acts that every device knows. */
export const COMMON: readonly Weighted[] = [
  { weight: 2, arbitrary: plain("kill") },
  { weight: 1, arbitrary: plain("withdraw") },
  { weight: 2, arbitrary: plain("grant") },
  {
    weight: 2,
    arbitrary: plainRecord({
      act: fc.constant("token" as const),
      token: fc.constantFrom("expired", "refused", "other", "good", "good"),
    }),
  },
];

/** What happens to a network, and time for it. */
export const NETWORK: readonly Weighted[] = [
  { weight: 2, arbitrary: plain("offline") },
  { weight: 4, arbitrary: plain("online") },
  { weight: 1, arbitrary: plain("cut") },
  { weight: 12, arbitrary: plainRecord({ act: fc.constant("wait" as const), ms: fc.nat(20) }) },
];

/** Acts on the inbox. */
export const INBOX: readonly Weighted[] = [
  {
    weight: 2,
    arbitrary: plainRecord({
      act: fc.constant("resolve" as const),
      nth: fc.nat(3),
      take: fc.constantFrom("mine" as const, "theirs" as const),
    }),
  },
];

/** Acts on outcomes. */
export const OUTCOMES: readonly Weighted[] = [
  { weight: 2, arbitrary: plainRecord({ act: fc.constantFrom("retry" as const, "discard" as const), nth: fc.nat(3) }) },
];

const fault: fc.Arbitrary<Fault> = fc.oneof(
  plainRecord({ fault: fc.constantFrom("refuse" as const, "lose" as const, "double" as const) }),
  plainRecord({ fault: fc.constantFrom("cut" as const, "silence" as const), bytes: fc.nat(2000) }),
  plainRecord({ fault: fc.constant("late" as const), ms: fc.nat(60) }),
  plainRecord({ fault: fc.constant("slow" as const), ms: fc.nat(30) }),
  plainRecord({ fault: fc.constant("page" as const), status: fc.constantFrom(200, 403, 502, 503) }),
);
const trouble: fc.Arbitrary<Trouble> = plainRecord({
  kind: fc.constantFrom("push" as const, "push" as const, "read" as const, "stream" as const),
  after: fc.nat(2),
  fault,
});

export function histories({ devices, steps, acts, operations, operated = 1, faults }: Kinds): fc.Arbitrary<History> {
  const act = fc.oneof({ weight: 40, arbitrary: edit }, { weight: 3, arbitrary: transaction }, ...acts);
  const ofDevice: fc.Arbitrary<Step> = fc.tuple(fc.nat(devices - 1), act);
  const ofOperator = operations.map((operation): fc.Arbitrary<Step> => fc.constant(["operator", operation]));
  // A gateway that nobody operates has none.
  const others = ofOperator.length > 0 ? [{ weight: operated, arbitrary: fc.oneof(...ofOperator) }] : [];
  const step = fc.oneof({ weight: 60, arbitrary: ofDevice }, ...others);
  const troubles = fc.array(trouble, { maxLength: faults ? 12 : 0 });
  return plainRecord({
    steps: fc.array(step, { minLength: 1, maxLength: steps, size: "max" }),
    faults: fc.array(troubles, { minLength: devices, maxLength: devices }),
  });
}
