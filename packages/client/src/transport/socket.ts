/**
 * One subscription over one socket of `graphql-transport-ws`. It does not connect again: that is the caller's matter.
 */

import type { Request } from "./http.js";
import { asObject, malformed, refusalOf, Refused, unreachable } from "./transport.js";
import { onAbort } from "./waiting.js";

/** How often a silent socket is asked whether it lives, and how long it may take to say so. */
const PING_MS = 12_000;
const PONG_MS = 8_000;

/** Resolves when the gateway completes the subscription or `signal` aborts it; rejects with {@link Refused}. */
export function subscribe(
  { url, webSocket, headers, body, onBytes }: Request,
  next: (payload: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  let socket: WebSocket;
  try {
    socket = new (webSocket ?? WebSocket)(url.replace(/^http/, "ws"), "graphql-transport-ws");
  } catch (failure) {
    return Promise.reject(unreachable(String(failure)));
  }
  const send = (message: object): void => {
    if (socket.readyState === 1) socket.send(JSON.stringify(message));
  };
  return new Promise<void>((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let forget = (): void => undefined;
    const end = (failure?: Error): void => {
      clearTimeout(timer);
      forget();
      socket.onmessage = null;
      if (failure) reject(failure);
      else resolve();
      socket.close(1000);
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
        end(failure instanceof Refused ? failure : malformed());
      }
    };
    // It is closed next.
    socket.onerror = () => undefined;
    socket.onclose = ({ code, reason }) => {
      end(closed(code, reason));
    };
    watch();
    forget = onAbort(signal, () => {
      end();
    });
  });
}

/** Any code but that of the token may come from a proxy. What the gateway has against a request, it says by POST too. */
function closed(code: number, reason: string): Refused {
  const message = `the socket was closed: ${code} ${reason}`;
  return unreachable(message, 0, code === 4403 ? "UNAUTHENTICATED" : undefined);
}
