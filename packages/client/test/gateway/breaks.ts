/**
 * Applications whose sync is broken, each in one way. A judge of histories that lets one of them pass proves nothing.
 */

import type { Slice, Writes } from "../../src/core/draft.js";
import type { Storage } from "../../src/index.js";
import type { Break } from "./app-device.js";

const STRICT = { strict: true };

export interface BrokenApp extends Break {
  readonly does: string;
  /** What the judge says of it. */
  readonly verdict: RegExp;
}

export const BROKEN: readonly BrokenApp[] = [
  {
    does: "forgets the push under way when it starts",
    options: (options) => ({ ...options, storage: forgetful(options.storage) }),
    verdict: /is lost|has lost|the count of|is .*, not one of|was deleted, and is there/,
  },
  {
    does: "sends each push under a second client id too",
    options: (options) => ({ ...options, fetch: repeating(options.fetch ?? fetch) }),
    verdict: /the count of|of an edit that failed|is there|not one of/,
  },
  {
    does: "does not store each seventh document that a page brings",
    options: (options) => ({ ...options, storage: leaky(options.storage) }),
    verdict: /shows other documents than a fresh one|has not sent all|says that it differs/,
  },
  {
    does: "draws nothing after its first pages",
    show: (show) => {
      let pages = 0;
      return (page) => {
        if (++pages < 30) show(page);
      };
    },
    verdict: /draws something else/,
  },
];

/** Clients that say something else of their equality than is true. */
export const DISHONEST: readonly (BrokenApp & { readonly isHarmed: boolean })[] = [
  {
    does: "compares no digests, and so misses what its disk has lost",
    options: ({ model, ...options }) => ({
      ...options,
      model: { ...model, operations: withoutDigests(model.operations) },
    }),
    verdict: /shows other documents than a fresh one/,
    isHarmed: true,
  },
  {
    does: "takes digests for others than they are",
    options: (options) => ({ ...options, fetch: misreading(options.fetch ?? fetch) }),
    verdict: /says that it differs/,
    isHarmed: false,
  },
];

/** The operations of a gateway that knows no digests. */
export function withoutDigests<T extends { readonly changes: string; readonly changesSince: string }>(
  operations: T,
): T {
  const without = (text: string): string => text.replace(/ {2}digests \{[^}]*\}\n/, "");
  const { changes, changesSince } = operations;
  return { ...operations, changes: without(changes), changesSince: without(changesSince) };
}

/** The writes that forget the push under way. */
export function forgetFlight({ meta }: Slice): Writes {
  return { meta, flight: null, docs: [], queue: [], lingering: [], outcomes: [], types: [] };
}

/** A storage with some calls of its own; the others are those of `storage`. */
function wrapped(storage: Storage, own: Partial<Storage>): Storage {
  return new Proxy(storage, {
    get(target, name) {
      const value: unknown = Reflect.get(name in own ? own : target, name);
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}

function forgetful(storage: Storage): Storage {
  return wrapped(storage, {
    open: async (...how) => {
      await storage.open(...how);
      await storage.step(() => ({}), forgetFlight, STRICT);
    },
  });
}

function leaky(storage: Storage): Storage {
  let docs = 0;
  const some = (writes: Writes): Writes => ({ ...writes, docs: writes.docs.filter(() => ++docs % 7 !== 0) });
  return wrapped(storage, { step: (need, run, options) => storage.step(need, (slice) => some(run(slice)), options) });
}

function repeating(send: typeof fetch): typeof fetch {
  const second = crypto.randomUUID();
  return async (url, init) => {
    const text = typeof init?.body === "string" ? init.body : "{}";
    const body = JSON.parse(text) as { variables?: { input?: { client?: { id: string } } } };
    const { input } = body.variables ?? {};
    if (init && input?.client) {
      const again = { ...input, client: { ...input.client, id: second } };
      await (await send(url, { ...init, body: JSON.stringify({ ...body, variables: { input: again } }) })).text();
    }
    return send(url, init);
  };
}

function misreading(send: typeof fetch): typeof fetch {
  return async (url, init) => {
    const answer = await send(url, init);
    if (!answer.headers.get("Content-Type")?.includes("json")) return answer;
    const text = (await answer.text()).replace(/"digest":"./g, '"digest":"-');
    return new Response(text, { status: answer.status, headers: { "Content-Type": "application/json" } });
  };
}
