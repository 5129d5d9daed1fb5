/**
 * The inbox of conflicts. The gateway keeps it; the client follows it while anybody looks at it, and resolves while it can
 * reach the gateway. Nothing of it is stored on the device: a resolution that is not answered leaves its conflict there.
 */

import { isTransient, retryAfterOf } from "../core/refusals.js";
import type { InboxConflict } from "../protocol.js";
import type { Network } from "../transport/network.js";
import { Refused } from "../transport/transport.js";
import { ClientError } from "../core/errors.js";
import { LiveValue } from "./live.js";
import { Backoff, type PauseOptions } from "./pause.js";
import type { CollectionShape, ConflictIn, Resolution } from "./types.js";

/** How often a resolution is sent before the caller learns that the gateway cannot be reached. */
const TRIES = 4;

export interface InboxOptions {
  readonly network: Network;
  readonly pauses: PauseOptions;
  /** The key of a type in resolutions. */
  readonly rootOf: (type: string) => string;
  /** These conflicts are settled. */
  readonly onSettled: (ids: readonly string[]) => void;
}

export class Inbox {
  readonly conflicts: LiveValue<readonly ConflictIn<CollectionShape>[]>;
  readonly #closed = new AbortController();

  constructor(readonly options: InboxOptions) {
    this.conflicts = new LiveValue(() => {
      const unwatched = new AbortController();
      void this.#follow(AbortSignal.any([unwatched.signal, this.#closed.signal]));
      return () => {
        unwatched.abort();
      };
    });
  }

  close(): void {
    this.#closed.abort();
    if (this.conflicts.value) this.conflicts.set([]);
  }

  /** Resolves one of the conflicts that are shown. */
  async resolve(id: string, resolution: Resolution): Promise<void> {
    const conflict = this.conflicts.value?.find((it) => it.id === id);
    if (!conflict) throw gone();
    await conflict.resolve(resolution);
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.options.pauses);
    while (!signal.aborted) {
      try {
        await this.options.network.followConflicts((conflicts) => {
          this.#show(conflicts);
        }, signal);
      } catch (failure) {
        await backoff.pause(failure instanceof Refused ? retryAfterOf(failure.refusal) : 0, signal);
      }
    }
  }

  #show(conflicts: readonly InboxConflict[]): void {
    if (this.#closed.signal.aborted) return;
    const before = this.conflicts.value ?? [];
    this.conflicts.set(
      conflicts.map((conflict) => ({
        ...conflict,
        resolve: (resolution) => this.#resolve(conflict, resolution),
      })),
    );
    const settled = before.filter(({ id }) => conflicts.every((it) => it.id !== id));
    if (settled.length > 0) this.options.onSettled(settled.map(({ id }) => id));
  }

  /** The same resolution again has the same answer, and nothing is done twice. */
  async #resolve({ id, type, currentVersion }: InboxConflict, resolution: Resolution): Promise<void> {
    const { network, rootOf, pauses, onSettled } = this.options;
    const input = { conflictId: id, baseVersion: currentVersion, resolution: wire(resolution, rootOf(type)) };
    const backoff = new Backoff(pauses);
    const { signal } = this.#closed;
    for (let tries = 1; ; tries++) {
      try {
        const { status, error } = await network.resolveConflict(input, signal);
        if (status === "CONFLICT") throw new ClientError("STALE", "the document has changed since");
        if (status === "REJECTED") throw new ClientError(status, String(error?.message));
        onSettled([id]);
        return;
      } catch (failure) {
        if (!(failure instanceof Refused)) throw failure;
        const { code, message } = failure.refusal;
        if (signal.aborted) throw new ClientError("CLOSED", "the client is closed");
        if (code === "CONFLICT_NOT_FOUND") {
          onSettled([id]);
          throw gone();
        }
        if (!isTransient(code) && code !== "UNAUTHENTICATED") throw new ClientError("REJECTED", message);
        if (tries === TRIES) throw new ClientError("OFFLINE", message);
        await backoff.pause(retryAfterOf(failure.refusal), signal);
      }
    }
  }
}

/** A resolution as the gateway takes it; the values of one are under the key of its type. */
function wire(resolution: Resolution, root: string): object {
  if ("take" in resolution) return { take: resolution.take.toUpperCase() };
  return "set" in resolution ? { [root]: resolution.set } : resolution;
}

function gone(): ClientError {
  return new ClientError("GONE", "the conflict is settled");
}
