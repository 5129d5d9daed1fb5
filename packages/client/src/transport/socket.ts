/**
 * One subscription over one socket of `graphql-transport-ws`. It does not connect again: that is the caller's matter.
 */

import type { Request } from "./http.js";
import { asObject, refusalOf, Refused, unreachable } from "./transport.js";

/** How often a silent socket is asked whether it lives, and how long it may take to say so. */
const PING_MS = 12_000;
const PONG_MS = 8_000;

/** Resolves when the gateway completes the subscription or `signal` aborts it; rejects with {@link Refused}. */
export function subscribe(
  { url, headers, body, onBytes }: Request,
  webSocket: typeof WebSocket,
  next: (payload: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  let socket: WebSocket;
  try {
    socket = new webSocket(url.replace(/^http/, "ws"), "graphql-transport-ws");
  } catch (failure) {
    return Promise.reject(unreachable(String(failure)));
  }
  const send = (message: object): void => {
    if (socket.readyState === 1) socket.send(JSON.stringify(message));
  };
  return new Promise<void>((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = (failure?: Error): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      socket.onmessage = null;
      if (failure === undefined) resolve();
      else reject(failure);
      socket.close(1000);
    };
    const abort = (): void => {
      end();
    };
    const watch = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        send({ type: "ping" });
        timer = setTimeout(end, PONG_MS, unreachable("the socket is silent"));
      }, PING_MS);
    };
    const hear = ({ type, payload }: Readonly<Record<string, unknown>>): void => {
      if (type === "connection_ack") send({ id: "1", type: "subscribe", payload: body });
      else if (type === "ping") send({ type: "pong" });
      else if (type === "next") next(payload);
      else if (type === "error") end(refusalOf(Array.isArray(payload) ? payload : []));
      else if (type === "complete") end();
    };
    socket.onopen = () => {
      send({ type: "connection_init", payload: headers });
    };
    socket.onmessage = (event) => {
      watch();
      try {
        const text = String(event.data);
        onBytes(new TextEncoder().encode(text).length);
        hear(asObject(JSON.parse(text)) ?? {});
      } catch (failure) {
        end(failure instanceof Refused ? failure : unreachable("a message is not that of a gateway"));
      }
    };
    socket.onerror = () => {
      end(unreachable("the socket failed"));
    };
    socket.onclose = ({ code, reason }) => {
      end(closed(code, reason));
    };
    watch();
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
  });
}

/** Any code but that of the token may come from a proxy. What the gateway has against a request, it says by POST too. */
function closed(code: number, reason: string): Refused {
  const message = `the socket was closed with ${code} ${reason}`;
  return unreachable(message, 0, code === 4403 ? "UNAUTHENTICATED" : undefined);
}
