/**
 * RxDB 17: collections that hold what the device shows. Their writes become edits of the client, once each and in order,
 * and the client alone speaks with the gateway.
 */

import type { RxCollection } from "rxdb";
import { INSIDE, type AnyClient } from "../client/inside.js";
import { LiveValue, report, type Live } from "../client/live.js";
import type { ClientMethods, SignOutOptions, Status } from "../client/types.js";
import { ClientError } from "../core/errors.js";
import { Mirror, type Refusal } from "./mirror.js";

export type { AnyClient, Inside } from "../client/inside.js";
export type { Checkpoint, Mirror, MirrorOptions, Refusal, RxDoc } from "./mirror.js";

/** What {@link replicateRxDB} needs. */
export interface RxDBOptions {
  readonly client: AnyClient & Pick<ClientMethods<never>, "signOut" | "status">;
  /**
   * RxDB's collections, by the names of the model's, such as `tasks`. The properties of their schemas are fields of the
   * model, and an integer `syncLocal`, which is the adapter's.
   */
  readonly collections: Readonly<Record<string, RxCollection>>;
  /**
   * A row that the client never takes, such as one with a value that JSON does not carry. RxDB shows the client's document.
   * Without it the error is reported.
   */
  readonly onRefused?: (refusal: Refusal) => void;
}

/** How long a sign-out waits for rows that are not edits yet. */
const SIGN_OUT_MS = 5_000;

/** Keeps RxDB's collections as the client's, both ways, from now on. */
export function replicateRxDB({ client, collections, onRefused = reportRefusal }: RxDBOptions): RxDBReplication {
  const inside = client[INSIDE];
  const typeOf = new Map(Object.entries(inside.model.types).map(([type, { collection }]) => [collection, type]));
  let last: Promise<unknown> = inside.opened;
  /** Rows of all collections become edits one batch after the other. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work);
    last = done.catch(() => undefined);
    return done;
  };
  const mirrors = Object.entries(collections).map(([name, collection]) => {
    const type = typeOf.get(name);
    if (type === undefined) throw new TypeError(`the model has no collection ${name}`);
    return [name, new Mirror({ inside, type, collection, inTurn, onRefused })] as const;
  });
  return new RxDBReplication(client, Object.fromEntries(mirrors));
}

function reportRefusal({ error }: Refusal): void {
  report(error);
}

/** Collections of RxDB that follow a client. */
export class RxDBReplication {
  readonly #status = new LiveValue<Status>();
  readonly #ends: readonly (() => void)[];

  constructor(
    readonly client: RxDBOptions["client"],
    /** By collection. Each has RxDB's own state of its replication. */
    readonly mirrors: Readonly<Record<string, Mirror>>,
  ) {
    const say = (): void => {
      const status = client.status.value;
      const rows = Object.values(mirrors).reduce((sum, { unsent }) => sum + (unsent.value ?? 0), 0);
      if (status) this.#status.set({ ...status, unsent: status.unsent + rows });
    };
    this.#ends = [client.status, ...Object.values(mirrors).map(({ unsent }) => unsent)].map((live) => {
      return (live as Live<unknown>).subscribe(say);
    });
  }

  /** How the client stands to its gateway. As unsent count documents, too, whose rows are not edits yet. */
  get status(): Live<Status> {
    return this.#status;
  }

  /** Resolves when RxDB and the client show the same, and all rows are edits in the outbox. */
  async inSync(): Promise<void> {
    for (const mirror of Object.values(this.mirrors)) await mirror.inSync();
  }

  /** Ends the replication. RxDB keeps what it has. */
  async stop(): Promise<void> {
    for (const end of this.#ends) end();
    await Promise.all(Object.values(this.mirrors).map((mirror) => mirror.stop()));
  }

  /**
   * Signs the client out, and removes RxDB's collections with all that they have stored. It rejects as the client's
   * `signOut`, and with `UNSENT_EDITS` while RxDB has rows that cannot become edits.
   */
  async signOut(options?: SignOutOptions): Promise<void> {
    if (options?.unsent !== "discard") await within(SIGN_OUT_MS, this.inSync());
    await this.client.signOut(options);
    for (const mirror of Object.values(this.mirrors)) await mirror.remove();
  }
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new ClientError("UNSENT_EDITS", "rows of RxDB are not edits yet"));
    }, ms);
  });
  await Promise.race([work, late]).finally(() => {
    clearTimeout(timer);
  });
}
