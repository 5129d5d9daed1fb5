// The endpoint: one request by POST, or one subscription as server-sent events. A failure is a `Refused` with a code; the core
// says what follows from it.
import { API_HASH, VIEWER } from "./model.js";

/** The gateway is heard every 12 s on a stream. An answer may take a minute. */
const SILENCE_MS = 20_000;
const ANSWER_MS = 60_000;

export class Refused extends Error {
  constructor(code, message, extensions = {}) {
    super(message);
    Object.assign(this, { code, extensions });
  }
}

export class Gateway {
  #token;

  constructor({ user, url, token, network }) {
    Object.assign(this, { user, url, token, network });
  }

  /** The next request asks for another token. */
  renew() {
    this.#token = undefined;
  }

  /** The data of an answer. */
  async ask(query, variables) {
    const silent = new AbortController();
    const timer = setTimeout(() => silent.abort(), ANSWER_MS);
    try {
      return await answered(await this.#post(query, variables, "application/graphql-response+json", silent.signal));
    } catch (failure) {
      throw refusalOf(failure);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The data of each event, until the stream ends: that is a failure too, since a subscription goes on for ever. */
  async *follow(query, variables, signal) {
    const silent = new AbortController();
    const listen = () => setTimeout(() => silent.abort(), SILENCE_MS);
    let timer = listen();
    try {
      const either = AbortSignal.any([signal, silent.signal]);
      const response = await this.#post(query, variables, "text/event-stream", either);
      if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) await answered(response);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = ""; ;) {
        const { done, value } = await reader.read();
        if (done) throw new Refused("NETWORK", "the stream ended");
        clearTimeout(timer);
        timer = listen();
        const events = (text + value).split("\n\n");
        text = events.pop();
        for (const event of events) {
          const [, data] = /^event: next\ndata: (.*)$/.exec(event) ?? [];
          if (data) yield dataOf(JSON.parse(data));
        }
      }
    } catch (failure) {
      throw refusalOf(failure);
    } finally {
      clearTimeout(timer);
      silent.abort();
    }
  }

  async #post(query, variables, accept, signal) {
    this.#token ??= await this.#newToken(signal);
    return this.#send(this.#token, { query, variables }, accept, signal);
  }

  /** What is kept belongs to one user. */
  async #newToken(signal) {
    const token = await this.token();
    const { viewer } = await answered(await this.#send(token, { query: VIEWER }, "application/json", signal));
    if (viewer.id !== this.user) refuse("WRONG_USER", `the token is of ${viewer.id}`);
    return token;
  }

  #send(token, body, accept, signal) {
    const headers = {
      "Content-Type": "application/json",
      Accept: accept,
      Authorization: `Bearer ${token}`,
      "Tidegate-Schema": API_HASH,
    };
    return this.network.fetch(this.url, { method: "POST", headers, body: JSON.stringify(body), signal });
  }
}

/** A proxy may answer with a page for people: its status then says what is wrong. */
async function answered(response) {
  const text = await response.text();
  try {
    return dataOf(JSON.parse(text));
  } catch (failure) {
    if (failure instanceof Refused) throw failure;
    const code = { 401: "UNAUTHENTICATED", 413: "PAYLOAD_TOO_LARGE" }[response.status] ?? "NETWORK";
    throw new Refused(code, `the answer has status ${response.status} and is not that of a gateway`);
  }
}

function dataOf({ data, errors }) {
  if (!errors) return data ?? refuse("NETWORK", "the answer is not that of a gateway");
  const [{ message, extensions = {} }] = errors;
  return refuse(extensions.code ?? "UNKNOWN", message, extensions);
}

function refuse(...reason) {
  throw new Refused(...reason);
}

/** No failure of `fetch` says whether the request arrived. */
function refusalOf(failure) {
  return failure instanceof Refused ? failure : new Refused("NETWORK", failure.message);
}
