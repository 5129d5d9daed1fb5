/**
 * The documents that those of an answer refer to, such as the project of a task. Each type of them is one query by ids, which
 * is followed as long as the answer is.
 */

import type { Inside } from "../client/inside.js";
import { own } from "../core/records.js";
import type { Body } from "../protocol.js";
import { foundNow } from "./found.js";

/** The document that is referred to; undefined if it is not on the device. */
export type Refer = (type: string, id: string) => Body | undefined;

/** Documents of one type that were looked up. */
interface Found {
  readonly ids: ReadonlySet<string>;
  readonly end: () => void;
  /** By their ids; undefined before the first answer. */
  bodies: ReadonlyMap<string, Body> | undefined;
}

export class Referred {
  readonly #found = new Map<string, Found>();

  /** `changed` is called when one of them was read, or is another one. */
  constructor(
    readonly inside: Inside,
    readonly changed: () => void = () => undefined,
  ) {}

  /** What `make` makes of them, and undefined while one of them is still to be read. */
  follow<T>(make: (refer: Refer) => T): T | undefined {
    const [made, wanted] = this.#make(make);
    for (const [type, ids] of wanted) this.#follow(type, ids);
    for (const type of this.#found.keys()) if (!wanted.has(type)) this.#drop(type);
    return [...this.#found.values()].every(({ bodies }) => bodies) ? made : undefined;
  }

  /** What `make` makes of them as they are now. */
  async now<T>(make: (refer: Refer) => T): Promise<T> {
    for (;;) {
      const [made, wanted] = this.#make(make);
      const missing = [...wanted].filter(([type, ids]) => !this.#has(type, ids));
      if (missing.length === 0) return made;
      for (const [type, ids] of missing) {
        const bodies = byId(await foundNow(this.inside, type, { where: { id: { in: [...ids] } } }));
        this.#found.set(type, { ids, bodies, end: () => undefined });
      }
    }
  }

  end(): void {
    for (const type of this.#found.keys()) this.#drop(type);
  }

  #make<T>(make: (refer: Refer) => T): readonly [T, ReadonlyMap<string, ReadonlySet<string>>] {
    const wanted = new Map<string, Set<string>>();
    const made = make((type, id) => {
      if (!own(this.inside.model.types, type)) return undefined;
      wanted.set(type, (wanted.get(type) ?? new Set()).add(id));
      return this.#found.get(type)?.bodies?.get(id);
    });
    return [made, wanted];
  }

  #has(type: string, ids: ReadonlySet<string>): boolean {
    const found = this.#found.get(type);
    return found !== undefined && [...ids].every((id) => found.ids.has(id));
  }

  #follow(type: string, ids: ReadonlySet<string>): void {
    if (this.#has(type, ids)) return;
    this.#drop(type);
    const live = this.inside.live(type, { where: { id: { in: [...ids] } } });
    const end = live.subscribe((bodies) => {
      found.bodies = byId(bodies);
      this.changed();
    });
    const found: Found = { ids, end, bodies: undefined };
    this.#found.set(type, found);
  }

  #drop(type: string): void {
    this.#found.get(type)?.end();
    this.#found.delete(type);
  }
}

function byId(bodies: readonly Body[]): ReadonlyMap<string, Body> {
  return new Map(bodies.map((body) => [body.id as string, body]));
}
