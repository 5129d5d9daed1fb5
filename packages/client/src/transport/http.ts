/**
 * One POST: it fails when nothing is heard for too long, and when a proxy answers in the gateway's place. What the answer
 * says is the caller's matter.
 */

import { dataOf } from "./answers.js";
import { Refused, unreachable } from "./transport.js";

/** How long an answer may be silent at first, and at most: longer than the gateway's own deadline. */
export const SILENCE_MIN_MS = 20_000;
const SILENCE_MAX_MS = 60_000;

export const ACCEPT = "application/graphql-response+json, application/json";

/** The least rate at which a request is sent. */
const LEAST_BYTES_PER_MS = 4;

/** The longest pause that a proxy may ask for. */
const RETRY_AFTER_MAX_S = 3600;

/** How long the next answer may be silent. As for a retransmission, a silence doubles it, and an answer sets it. */
export interface Patience {
  ms: number;
}

export interface Request {
  readonly url: string;
  readonly fetch: typeof fetch;
  /** In place of the platform's own. */
  readonly webSocket?: typeof WebSocket | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: object;
  readonly patience: Patience;
  /** Called with the number of bytes that have arrived. */
  readonly onBytes: (count: number) => void;
}

/** The data of an answer. */
export function post(request: Request, signal: AbortSignal): Promise<ReturnType<typeof dataOf>> {
  return exchange(request, signal, answered);
}

/** Sends a request, and reads its answer by `read`. */
export async function exchange<T>(
  { url, fetch: send, headers, body, onBytes, patience }: Request,
  signal: AbortSignal,
  read: (response: Response, chunks: AsyncIterable<string>) => Promise<T>,
  silenceMs?: number,
): Promise<T> {
  const silent = new AbortController();
  const text = JSON.stringify(body);
  const begun = performance.now();
  const wait = (ms: number): void => {
    patience.ms = Math.min(Math.max(ms, SILENCE_MIN_MS), SILENCE_MAX_MS);
  };
  const silence = (ms = patience.ms): ReturnType<typeof setTimeout> => {
    return setTimeout(() => {
      wait(patience.ms * 2);
      silent.abort();
    }, ms);
  };
  let timer = silence(patience.ms + text.length / LEAST_BYTES_PER_MS);
  const heard = (bytes: number): void => {
    clearTimeout(timer);
    timer = silence(silenceMs);
    onBytes(bytes);
  };
  try {
    const either = AbortSignal.any([signal, silent.signal]);
    const sent = { "Content-Type": "application/json", Accept: ACCEPT, ...headers };
    const response = await send(url, { method: "POST", headers: sent, body: text, signal: either });
    wait((performance.now() - begun) * 2);
    heard(0);
    return await read(response, chunksOf(response, heard));
  } catch (failure) {
    // `fetch` fails with many kinds of errors, and none says whether the request arrived.
    throw failure instanceof Refused ? failure : unreachable(String(failure));
  } finally {
    clearTimeout(timer);
    silent.abort();
  }
}

/** Reads the whole answer. A proxy may answer with a page for people, and its status then says what is wrong. */
export async function answered(response: Response, chunks: AsyncIterable<string>): Promise<ReturnType<typeof dataOf>> {
  let text = "";
  for await (const chunk of chunks) text += chunk;
  const retryAfter = retryAfterOf(response.headers);
  try {
    return dataOf(JSON.parse(text), retryAfter);
  } catch (failure) {
    if (failure instanceof Refused && failure.refusal.code !== "NETWORK") throw failure;
    const code = { 401: "UNAUTHENTICATED", 413: "PAYLOAD_TOO_LARGE" }[response.status];
    throw unreachable(`the answer is not that of a gateway: status ${response.status}`, retryAfter, code);
  }
}

async function* chunksOf(response: Response, heard: (bytes: number) => void): AsyncGenerator<string, void, void> {
  // Some platforms hand over an answer only as a whole.
  if (!response.body) return yield await response.text();
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return yield decoder.decode();
    heard(value.length);
    yield decoder.decode(value, { stream: true });
  }
}

/** Seconds, or a date, which counts from the sender's own clock. */
function retryAfterOf(headers: Headers): number | undefined {
  const text = headers.get("Retry-After");
  if (text === null) return undefined;
  const now = Date.parse(headers.get("Date") ?? "") || Date.now();
  const seconds = /^\d+$/.test(text.trim()) ? Number(text) : (Date.parse(text) - now) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(seconds, 0), RETRY_AFTER_MAX_S);
}
