import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Backoff } from "../../src/client/pause.js";
import type { Refusal } from "../../src/protocol.js";
import { SILENCE_MIN_MS, post } from "../../src/transport/http.js";
import { streamEvents } from "../../src/transport/events.js";
import { Token } from "../../src/transport/token.js";
import { Refused } from "../../src/transport/transport.js";

const NEVER = new AbortController().signal;

/** A request that is answered by `answer`. */
function requestTo(
  answer: (signal: AbortSignal) => Response | Promise<Response>,
  patience = { ms: SILENCE_MIN_MS },
): Parameters<typeof post>[0] {
  return {
    url: "http://127.0.0.1/graphql",
    fetch: async (_, init) => await answer(init?.signal ?? NEVER),
    headers: {},
    body: {},
    patience,
    onBytes: () => undefined,
  };
}

async function refusalOf(work: Promise<unknown>): Promise<Refusal> {
  try {
    await work;
  } catch (failure) {
    if (failure instanceof Refused) return failure.refusal;
    throw failure;
  }
  throw new Error("it was not refused");
}

/** A body that begins with these texts and never ends. */
function endless(signal: AbortSignal, ...texts: readonly string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const text of texts) controller.enqueue(new TextEncoder().encode(text));
      signal.addEventListener("abort", () => {
        controller.error(new DOMException("aborted", "AbortError"));
      });
    },
  });
}

test("Retry-After is honoured in seconds and as a date, by the sender's clock and within an hour", async () => {
  const date = "Sun, 01 Mar 2026 12:00:00 GMT";
  const cases = [
    [{ "Retry-After": "7" }, 7],
    [{ "Retry-After": "Sun, 01 Mar 2026 12:00:30 GMT", Date: date }, 30],
    [{ "Retry-After": "Sun, 01 Mar 2026 11:00:00 GMT", Date: date }, 0],
    [{ "Retry-After": "86400" }, 3600],
    [{ "Retry-After": "soon" }, 0],
    [{}, 0],
  ] as const;
  for (const [headers, seconds] of cases) {
    const refusal = await refusalOf(
      post(
        requestTo(() => new Response("busy", { status: 503, headers })),
        NEVER,
      ),
    );
    assert.deepEqual([refusal.code, refusal.extensions.retryAfter], ["NETWORK", seconds]);
  }
});

test("the gateway's own word on when to come back counts for more than the header", async () => {
  const errors = [{ message: "", extensions: { code: "OVERLOADED", retryAfter: 3 } }];
  const answer = (): Response => new Response(JSON.stringify({ errors }), { headers: { "Retry-After": "9" } });
  assert.equal((await refusalOf(post(requestTo(answer), NEVER))).extensions.retryAfter, 3);
});

test("a proxy's status says that a token is refused, or that a push is too large", async () => {
  for (const [status, code] of [
    [401, "UNAUTHENTICATED"],
    [413, "PAYLOAD_TOO_LARGE"],
    [403, "NETWORK"],
    [404, "NETWORK"],
  ] as const) {
    const refusal = await refusalOf(
      post(
        requestTo(() => new Response("<html>", { status })),
        NEVER,
      ),
    );
    assert.equal(refusal.code, code);
  }
});

/** Whether a request has failed after so many milliseconds more of silence. */
async function isGivenUp(t: TestContext, failed: Promise<Refusal>, ms: number): Promise<boolean> {
  let ended = false;
  void failed.then(() => (ended = true));
  await new Promise(setImmediate);
  t.mock.timers.tick(ms);
  await new Promise(setImmediate);
  return ended;
}

test("a request fails when nothing is heard for too long, and not before: each silence doubles it up to a minute", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const patience = { ms: SILENCE_MIN_MS };
  // Nothing comes, not even an error: as from the fetch of Node 20 when its first connection closes at once.
  const nothing = (signal: AbortSignal): Promise<Response> => {
    return new Promise((_, reject) => {
      signal.addEventListener("abort", () => {
        reject(new DOMException("aborted", "AbortError"));
      });
    });
  };
  for (const seconds of [20, 40, 60, 60]) {
    const failed = refusalOf(post(requestTo(nothing, patience), NEVER));
    assert.equal(await isGivenUp(t, failed, seconds * 1000 - 500), false);
    assert.equal(await isGivenUp(t, failed, 1000), true);
    assert.equal((await failed).code, "NETWORK");
  }
});

test("an answer may be silent for twice as long as the last one took, within a minute and not below 20 s", async (t) => {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const patience = { ms: SILENCE_MIN_MS };
  for (const [took, seconds] of [
    [25, 50],
    [45, 60],
    [1, 20],
  ] as const) {
    const answer = (signal: AbortSignal): Response => {
      now += took * 1000;
      return new Response(endless(signal, "{"));
    };
    const failed = refusalOf(post(requestTo(answer, patience), NEVER));
    assert.equal(await isGivenUp(t, failed, seconds * 1000 - 500), false);
    assert.equal(await isGivenUp(t, failed, 1000), true);
  }
});

test("an event stream is dead when two heartbeats are missing", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const heard: unknown[] = [];
  let send: (text: string) => void = () => undefined;
  const answer = (signal: AbortSignal): Response => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        send = (text) => controller.enqueue(new TextEncoder().encode(text));
        signal.addEventListener("abort", () => {
          controller.error(new DOMException("aborted", "AbortError"));
        });
      },
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
  const failed = refusalOf(streamEvents(requestTo(answer), (payload) => heard.push(payload), NEVER));
  let ended = false;
  void failed.then(() => (ended = true));
  // A line may be cut anywhere, may end as on another system, and its text may hold any other separator.
  for (const text of [":\n\nevent: ne", 'xt\ndata: {"a":"\u2028', '"}\r\n\r\n', ":\n\n", ":\n\n"]) {
    await new Promise(setImmediate);
    send(text);
    await new Promise(setImmediate);
    t.mock.timers.tick(12_000);
  }
  await new Promise(setImmediate);
  assert.deepEqual([heard, ended], [[{ a: "\u2028" }], false]);
  t.mock.timers.tick(9_000);
  assert.equal((await failed).code, "NETWORK");
});

test("two requests with one refused token ask for one other", async () => {
  let asked = 0;
  const token = new Token(() => `token ${asked++}`);
  const refused = (): Promise<never> =>
    Promise.reject(new Refused({ code: "UNAUTHENTICATED", message: "", extensions: {} }));
  await Promise.all([1, 2].map(() => refusalOf(token.use(refused, NEVER))));
  const used = await Promise.all([1, 2].map(() => token.use((it) => Promise.resolve(it), NEVER)));
  assert.deepEqual([used, asked], [["token 1", "token 1"], 2]);
});

test("a token that never comes does not keep the client from closing", async () => {
  const token = new Token(() => new Promise(() => undefined));
  const closing = new AbortController();
  const failed = refusalOf(token.use(() => Promise.resolve(), closing.signal));
  closing.abort();
  assert.equal((await failed).code, "NETWORK");
});

test("pauses grow to the longest, and are short again after what has worked for long", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 0;
  t.mock.method(performance, "now", () => now);
  t.mock.method(Math, "random", () => 1);
  const backoff = new Backoff({ minMs: 500, maxMs: 30_000 });
  // How many half seconds it pauses.
  const pauseOf = async (seconds: number): Promise<number> => {
    const paused = { ended: false, ticks: 0 };
    void backoff.pause(seconds, NEVER).then(() => (paused.ended = true));
    for (; !isEnded(paused); paused.ticks += 1) {
      now += 500;
      t.mock.timers.tick(500);
      await new Promise(setImmediate);
    }
    return paused.ticks;
  };
  const pauses: number[] = [];
  for (let times = 0; times < 8; times++) pauses.push(await pauseOf(0));
  assert.deepEqual(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
  assert.equal(await pauseOf(60), 120);
  now += 31_000;
  assert.equal(await pauseOf(0), 1);
});

function isEnded({ ended }: { readonly ended: boolean }): boolean {
  return ended;
}
