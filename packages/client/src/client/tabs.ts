/**
 * The tabs that share a database: what they say to each other, and the election of their leader, which alone syncs. The term
 * in the storage is its fencing token, so a leader that has not noticed its end can store nothing.
 */

import { listen } from "./page.js";

/** How often the leader gives a sign of life, and how many may be missing. Chromium delays timers, but runs none of a frozen
 * page, while it lets such a page hear and answer messages. */
const BEAT_MS = 2_500;
const BEATS = 3;

export interface TabsOptions<News> {
  /** The name of the database; undefined if no other tab can open it. */
  readonly name: string | undefined;
  /** Web Locks. Without them the newest tab leads. */
  readonly locks: Pick<LockManager, "request"> | undefined;
  readonly beatMs?: number;
  /** Makes this tab the leader in the storage. Returns the term. */
  readonly raise: () => Promise<number>;
  /** Leads until the signal is aborted, or until this tab cannot lead. */
  readonly lead: (term: number, signal: AbortSignal) => Promise<void>;
  /** Takes what another tab has posted, and whether that tab leads, as far as this one has heard. */
  readonly hear: (news: News, leads: boolean) => void;
  /** What the leader says with each sign of life. */
  readonly state: () => News;
  /** The page was frozen or hidden in a cache, where nothing is heard. */
  readonly awake: () => void;
}

interface Message<News> {
  readonly is: "question" | "news" | "beat";
  /** The term of a leader. */
  readonly term: number | undefined;
  readonly news?: News;
}

export class Tabs<News> {
  #channel: BroadcastChannel | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** Ends the turn in which this tab leads or waits to lead. */
  #turn: AbortController | undefined;
  /** The term in which this tab leads. */
  #term: number | undefined;
  /** The newest term that it has heard; the first one is 1. */
  #newest = 1;
  #missing = 0;
  #resting = true;
  /** Aborted when this tab no longer takes part. */
  readonly #left = new AbortController();

  /** Takes part in the election at once. */
  constructor(readonly options: TabsOptions<News>) {
    const { name, awake } = options;
    const sleeps = (): void => {
      this.#rest();
    };
    const wakes = (): void => {
      if (!this.#resting) return;
      this.#enter();
      awake();
    };
    // Browsers freeze pages, and keep those that were left for a way back.
    listen({ freeze: sleeps, pagehide: sleeps, resume: wakes, pageshow: wakes }, this.#left.signal);
    if (name !== undefined) {
      this.#channel = new BroadcastChannel(`tidegate:${name}`);
      this.#channel.onmessage = ({ data }: MessageEvent<Message<News>>) => {
        this.#hear(data);
      };
    }
    this.#enter();
  }

  get leads(): boolean {
    return this.#term !== undefined;
  }

  post(news: News): void {
    this.#send("news", news);
  }

  /** From now on another tab leads. This one still hears and posts. */
  leave(): void {
    this.#left.abort();
    this.#rest();
  }

  close(): void {
    this.leave();
    this.#channel?.close();
    this.#channel = undefined;
  }

  #enter(): void {
    this.#resting = false;
    if (this.#channel) this.#timer = setInterval(() => this.#beat(), this.options.beatMs ?? BEAT_MS);
    this.#send("question");
    this.#run(false);
  }

  /** A page that sleeps holds no lock, and waits for none. */
  #rest(): void {
    this.#resting = true;
    clearInterval(this.#timer);
    this.#turn?.abort();
    this.#turn = undefined;
  }

  /** Waits for its turn to lead, or takes the place of a leader that is silent. */
  #run(steal: boolean): void {
    const { name, locks } = this.options;
    this.#turn?.abort();
    const turn = new AbortController();
    this.#turn = turn;
    if (steal) this.#missing = 0;
    const { signal } = turn;
    const lead = (): Promise<void> => this.#lead(signal);
    const led =
      name !== undefined && locks ? locks.request(`tidegate:${name}`, steal ? { steal } : { signal }, lead) : lead();
    const over = (): void => {
      turn.abort();
      if (this.#turn === turn) this.#turn = undefined;
    };
    led.then(over, over);
  }

  async #lead(signal: AbortSignal): Promise<void> {
    const term = await this.options.raise();
    if (signal.aborted) return;
    this.#term = this.#newest = term;
    // The next leader does not wait for what this one still has to end.
    const aborted = new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => {
        this.#term = undefined;
        // What this tab has shown as the leader may be old.
        this.#send("question");
        resolve();
      });
    });
    await Promise.race([aborted, this.options.lead(term, signal)]);
  }

  /** A tab counts its own beats without one of the leader: while it is frozen itself, it misses none. */
  #beat(): void {
    if (this.#term !== undefined) this.#send("beat", this.options.state());
    else if (++this.#missing > BEATS) this.#run(true);
    else if (!this.#turn && this.options.locks) this.#run(false);
  }

  #send(is: Message<News>["is"], news?: News): void {
    this.#channel?.postMessage({ is, term: this.#term, ...(news !== undefined && { news }) } satisfies Message<News>);
  }

  #hear({ is, term = 0, news }: Message<News>): void {
    if (is === "beat") this.#missing = 0;
    if (this.#term !== undefined) {
      if (this.#term < term) this.#turn?.abort();
      else if (is === "question") this.post(this.options.state());
    }
    const leads = term >= this.#newest;
    if (leads) this.#newest = term;
    if (news !== undefined) this.options.hear(news, leads);
  }
}
