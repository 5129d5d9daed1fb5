/**
 * The inbox of conflicts. The gateway keeps it; the client follows it while anybody looks at it, and resolves while it can
 * reach the gateway. Nothing of it is stored on the device: a resolution that is not answered leaves its conflict there.
 */

import { isTransient } from "../core/refusals.js";
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
    if (!conflict) throw new ClientError("GONE", "the inbox does not show such a conflict");
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
        await backoff.pause(failure instanceof Refused ? failure.retryAfter : 0, signal);
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
    const wire =
      "take" in resolution
        ? { take: resolution.take === "mine" ? "MINE" : "THEIRS" }
        : "set" in resolution
          ? { [rootOf(type)]: resolution.set }
          : { delete: true };
    const input = { conflictId: id, baseVersion: currentVersion, resolution: wire };
    const backoff = new Backoff(pauses);
    const { signal } = this.#closed;
    for (let tries = 1; ; tries++) {
      try {
        const { status, error } = await network.resolveConflict(input, signal);
        if (status === "CONFLICT") throw new ClientError("STALE", "the document has changed since");
        if (status === "REJECTED") throw new ClientError("REJECTED", error?.message ?? "the gateway refuses it");
        onSettled([id]);
        return;
      } catch (failure) {
        if (!(failure instanceof Refused)) throw failure;
        const { code, message } = failure.refusal;
        if (signal.aborted) throw new ClientError("CLOSED", "the client is closed");
        if (code === "CONFLICT_NOT_FOUND") {
          onSettled([id]);
          throw new ClientError("GONE", "the conflict is settled");
        }
        if (!isTransient(code) && code !== "UNAUTHENTICATED") throw new ClientError("REJECTED", message);
        if (tries === TRIES) throw new ClientError("OFFLINE", `the gateway cannot be reached: ${message}`);
        await backoff.pause(failure.retryAfter, signal);
      }
    }
  }
}
