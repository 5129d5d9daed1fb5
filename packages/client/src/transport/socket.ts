/**
 * One subscription over one socket of `graphql-transport-ws`. It does not connect again: that is the caller's matter.
 */

import { asObject, refusalOf, Refused, unreachable } from "./transport.js";

/** How often a silent socket is asked whether it lives, and how long it may take to say so. */
const PING_MS = 12_000;
const PONG_MS = 8_000;

/** Codes with which a gateway closes after the client broke the protocol. */
const FATAL = new Set([1002, 1009, 4400, 4401, 4406, 4409, 4429]);

export interface Subscription {
  readonly url: string;
  readonly webSocket: typeof WebSocket;
  /** The payload of `connection_init`. */
  readonly init: Readonly<Record<string, string>>;
  readonly query: string;
  readonly variables: object;
  /** Takes the payload of a `next`. */
  readonly next: (payload: unknown) => void;
}

/** Resolves when the gateway completes the subscription or `signal` aborts it; rejects with {@link Refused}. */
export function subscribe(subscription: Subscription, signal: AbortSignal): Promise<void> {
  const socket = new subscription.webSocket(subscription.url, "graphql-transport-ws");
  const send = (message: object): void => {
    if (socket.readyState === 1) socket.send(JSON.stringify(message));
  };
  return new Promise<void>((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = (failure?: Error): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
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
    const hear = (message: Readonly<Record<string, unknown>>): void => {
      const { type, payload } = message;
      if (type === "connection_ack") {
        const { query, variables } = subscription;
        send({ id: "1", type: "subscribe", payload: { query, variables } });
      } else if (type === "ping") send({ type: "pong" });
      else if (type === "next") subscription.next(payload);
      else if (type === "error") end(refusalOf(Array.isArray(payload) ? payload : []));
      else if (type === "complete") end();
    };
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    socket.onopen = () => {
      send({ type: "connection_init", payload: subscription.init });
    };
    socket.onmessage = (event) => {
      watch();
      try {
        hear(asObject(JSON.parse(String(event.data))) ?? {});
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
  });
}

function closed(code: number, reason: string): Refused {
  const message = `the socket was closed with ${code} ${reason}`;
  if (code === 4403) return new Refused({ code: "UNAUTHENTICATED", message, extensions: {} });
  if (FATAL.has(code)) return new Refused({ code: `CLOSED_${code}`, message, extensions: {} });
  return unreachable(message);
}
