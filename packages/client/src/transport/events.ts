/**
 * One subscription over one event stream of graphql-sse. It does not connect again: that is the caller's matter.
 */

import { ACCEPT, answered, exchange, type Request } from "./http.js";
import { malformed, unreachable } from "./transport.js";

/** A gateway is heard every 12 s. */
const SILENCE_MS = 20_000;

/** Resolves when the gateway completes the subscription; rejects when `signal` aborts it, or with {@link Refused}. */
export function streamEvents(request: Request, next: (payload: unknown) => void, signal: AbortSignal): Promise<void> {
  const headers = { ...request.headers, Accept: `text/event-stream, ${ACCEPT}` };
  const read = async (response: Response, chunks: AsyncIterable<string>): Promise<void> => {
    if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
      await answered(response, chunks);
      throw malformed();
    }
    let event = "";
    let data = "";
    for await (const line of linesOf(chunks)) {
      const [, name, value = ""] = /^(\w+): ?(.*)$/s.exec(line) ?? [];
      if (name === "event") event = value;
      else if (name === "data") data = value;
      else if (line === "" && event === "complete") return;
      else if (line === "" && event === "next") next(JSON.parse(data));
      if (line === "") event = data = "";
    }
    throw unreachable("the event stream was cut");
  };
  return exchange({ ...request, headers }, signal, read, SILENCE_MS);
}

/** A line may come in many chunks, each of which is looked at once. */
async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<string, void> {
  let begun: string[] = [];
  for await (const chunk of chunks) {
    const [first = "", ...others] = chunk.split("\n");
    begun.push(first);
    for (const line of others) {
      yield begun.join("").replace(/\r$/, "");
      begun = [line];
    }
  }
}
