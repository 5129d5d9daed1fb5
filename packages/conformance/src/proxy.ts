/**
 * A proxy between clients and a gateway that loses, delays, doubles and cuts what passes, as a plan says. The plan is the
 * test's; there is no randomness here.
 */

import { Agent, createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo } from "node:net";
import type { Duplex, Readable, Writable } from "node:stream";

/** What passes: a mutation, another operation, or a WebSocket or an event stream. */
export interface Traffic {
  readonly kind: "push" | "read" | "stream";
  /** The request's body; empty for a WebSocket. */
  readonly body: string;
}

/** What goes wrong with one request or stream. */
export type Fault =
  /** The connection is cut before the gateway hears of it. */
  | { readonly fault: "refuse" }
  /** The gateway answers, and the connection is cut. A stream is cut before its first byte. */
  | { readonly fault: "lose" }
  /** The connection is cut after so many bytes of the answer. */
  | { readonly fault: "cut"; readonly bytes: number }
  /** After so many bytes of the answer nothing passes any more, in either direction, and the connection stays open. */
  | { readonly fault: "silence"; readonly bytes: number }
  /** The gateway gets it twice, one after the other, and the client the second answer. A stream passes as it is. */
  | { readonly fault: "double" }
  /** The connection is cut at once, and the request arrives so many milliseconds later. A stream is refused. */
  | { readonly fault: "late"; readonly ms: number }
  /** It takes so many milliseconds longer; of a stream each piece does. */
  | { readonly fault: "slow"; readonly ms: number }
  /** A page with this status comes from somewhere on the way, and the gateway hears nothing. */
  | { readonly fault: "page"; readonly status: number };

/** Says what goes wrong with each request and stream. */
export type Plan = (traffic: Traffic) => Fault | undefined;

const NOTHING: Plan = () => undefined;
const PAGE = "<!doctype html><title>Sign in to this network</title>";

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

export class Proxy {
  /** What goes wrong from now on. */
  plan: Plan = NOTHING;
  readonly #server: Server;
  readonly #connections = new Set<Duplex>();
  readonly #agent = new Agent({ keepAlive: true });
  /** Requests on their way; clients may have given them up. */
  readonly #underWay = new Set<Promise<unknown>>();
  #isOnline = true;

  /** `target` is the origin of a gateway, such as `http://127.0.0.1:4000`. It may move. */
  private constructor(public target: string) {
    this.#server = createServer((incoming, outgoing) => {
      this.#track(this.#request(incoming, outgoing).catch(() => outgoing.destroy()));
    });
    this.#server.on("upgrade", (incoming: IncomingMessage, client: Duplex, head: Buffer) => {
      this.#upgrade(incoming, client, head);
    });
    this.#server.on("connection", (connection) => {
      this.#keep(connection);
      if (!this.#isOnline) connection.destroy();
    });
  }

  static async start(target: string): Promise<Proxy> {
    const proxy = new Proxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  /** Its own origin. */
  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cuts all connections; new ones are refused while it is offline. */
  setOnline(isOnline: boolean): void {
    this.#isOnline = isOnline;
    if (!isOnline) this.cut();
  }

  /** Cuts all connections, once. */
  cut(): void {
    for (const connection of this.#connections) connection.destroy();
  }

  /** Nothing goes wrong from now on. Resolves when the gateway has answered all that it gets late. */
  async heal(): Promise<void> {
    this.plan = NOTHING;
    this.cut();
    this.setOnline(true);
    await Promise.all(this.#underWay);
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    await this.heal();
    await closed;
    this.#agent.destroy();
  }

  #track(exchange: Promise<unknown>): void {
    const tracked = exchange.finally(() => this.#underWay.delete(tracked));
    this.#underWay.add(tracked);
  }

  #keep(connection: Duplex): void {
    this.#connections.add(connection);
    connection.on("close", () => this.#connections.delete(connection));
    connection.on("error", () => connection.destroy());
  }

  async #request(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = await bytesOf(incoming);
    const traffic = { kind: kindOf(body), body: body.toString() };
    const fault = incoming.method === "OPTIONS" ? undefined : this.plan(traffic);
    if (traffic.kind === "stream") return this.#stream(incoming, body, outgoing, fault);
    switch (fault?.fault) {
      case "refuse":
        outgoing.destroy();
        return;
      case "late":
        outgoing.destroy();
        await pause(fault.ms);
        await this.#exchange(incoming, body);
        return;
      case "page":
        outgoing.writeHead(fault.status, { "Content-Type": "text/html" }).end(PAGE);
        return;
      case "slow":
        await pause(fault.ms);
        break;
      case "double":
        await this.#exchange(incoming, body);
    }
    answerWith(await this.#exchange(incoming, body), outgoing, fault);
  }

  /** The gateway's whole answer. */
  async #exchange(incoming: IncomingMessage, body: Buffer): Promise<Answer> {
    const response = await this.#forward(incoming, body);
    return { status: response.statusCode ?? 500, headers: response.headers, body: await bytesOf(response) };
  }

  #forward({ method, url, headers }: IncomingMessage, body: Buffer): Promise<IncomingMessage> {
    const { host } = new URL(this.target);
    return new Promise((resolve, reject) => {
      const to = new URL(url ?? "/", this.target);
      const forwarded = request(to, { ...(method && { method }), headers: { ...headers, host }, agent: this.#agent });
      forwarded.on("response", resolve).on("error", reject).end(body);
    });
  }

  /** An event stream. */
  async #stream(
    incoming: IncomingMessage,
    body: Buffer,
    outgoing: ServerResponse,
    fault: Fault | undefined,
  ): Promise<void> {
    if (isRefused(fault)) {
      outgoing.destroy();
      return;
    }
    const response = await this.#forward(incoming, body);
    outgoing.on("close", () => response.destroy());
    response.on("close", () => outgoing.destroy());
    outgoing.writeHead(response.statusCode ?? 500, response.headers);
    relay(response, outgoing, fault);
  }

  #upgrade(incoming: IncomingMessage, client: Duplex, head: Buffer): void {
    const fault = this.plan({ kind: "stream", body: "" });
    if (isRefused(fault)) {
      client.destroy();
      return;
    }
    const { hostname, port, host } = new URL(this.target);
    const gateway = connect(Number(port), hostname, () => {
      const lines = Object.entries({ ...incoming.headers, host }).map(([name, value]) => `${name}: ${String(value)}`);
      gateway.write([`GET ${incoming.url ?? "/"} HTTP/1.1`, ...lines, "", ""].join("\r\n"));
      gateway.write(head);
      const isSilent = relay(gateway, client, fault);
      relay(client, gateway, fault?.fault === "slow" ? fault : undefined, isSilent);
    });
    this.#keep(gateway);
    client.on("error", () => client.destroy());
    client.on("close", () => gateway.destroy());
    gateway.on("close", () => client.destroy());
  }
}

function isRefused(fault: Fault | undefined): boolean {
  return fault?.fault === "refuse" || fault?.fault === "late" || fault?.fault === "page";
}

function answerWith({ status, headers, body }: Answer, outgoing: ServerResponse, fault: Fault | undefined): void {
  if (fault?.fault === "lose") {
    outgoing.destroy();
    return;
  }
  outgoing.writeHead(status, { ...headers, "content-length": body.length });
  if (fault?.fault === "cut" || fault?.fault === "silence") {
    outgoing.write(body.subarray(0, Math.min(fault.bytes, body.length - 1)), () => {
      if (fault.fault === "cut") outgoing.destroy();
    });
  } else outgoing.end(body);
}

/** Passes a stream on until its fault. Returns whether it has fallen silent. */
function relay(from: Readable, to: Writable, fault: Fault | undefined, isSilent = (): boolean => false): () => boolean {
  let passed = 0;
  let last = Promise.resolve();
  const most =
    fault?.fault === "cut" || fault?.fault === "silence" ? fault.bytes : fault?.fault === "lose" ? 0 : Infinity;
  const pass = (piece: Buffer): void => {
    if (isSilent() || passed > most) return;
    const isLast = passed + piece.length > most && fault?.fault !== "silence";
    to.write(piece.subarray(0, most - passed), () => isLast && to.destroy());
    passed += piece.length;
  };
  from.on("data", (piece: Buffer) => {
    if (fault?.fault === "slow") last = last.then(() => pause(fault.ms)).then(() => pass(piece));
    else pass(piece);
  });
  from.on("end", () => {
    void last.then(() => to.end());
  });
  return () => fault?.fault === "silence" && passed > most;
}

/** By the first word of the operation. */
function kindOf(body: Buffer): Traffic["kind"] {
  let query: unknown;
  try {
    ({ query } = JSON.parse(body.toString()) as { readonly query?: unknown });
  } catch {
    return "read";
  }
  const [, word] = /^(?:\s|,|#.*)*(\w+)/.exec(String(query)) ?? [];
  return word === "mutation" ? "push" : word === "subscription" ? "stream" : "read";
}

async function bytesOf(stream: Readable): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
