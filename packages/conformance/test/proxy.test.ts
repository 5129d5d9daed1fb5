import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, afterEach, before, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { Proxy, type Fault, type Traffic } from "../src/proxy.js";

const PUSH = JSON.stringify({ query: "# Applies changes\nmutation Push { push }" });
const READ = JSON.stringify({ query: "query Pull { pull }" });
const FOLLOW = JSON.stringify({ query: "subscription Follow { follow }" });

let server: Server;
let proxy: Proxy;
/** What a server behind the proxy was sent. */
let heard: string[] = [];

before(async () => {
  server = createServer((incoming, outgoing) => {
    let body = "";
    incoming.on("data", (piece: Buffer) => (body += piece.toString()));
    incoming.on("end", () => {
      heard.push(body);
      if (body === FOLLOW) outgoing.write("event 1\n");
      else outgoing.end(`answer ${heard.length}`);
    });
  });
  new WebSocketServer({ server }).on("connection", (socket) => {
    socket.on("message", (message: Buffer) => {
      socket.send(`echo ${message.toString()}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  proxy = await Proxy.start(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

after(async () => {
  await proxy.stop();
  server.closeAllConnections();
  server.close();
});

afterEach(async () => {
  await proxy.heal();
  heard = [];
});

async function send(body: string): Promise<string> {
  // A connection that is kept would be cut between two tests.
  const init = { method: "POST", body, headers: { Connection: "close" } };
  return (await fetch(`${proxy.origin}/graphql`, init)).text();
}

/** Something goes wrong once. */
function once(kind: Traffic["kind"], fault: Fault): void {
  let waits = true;
  proxy.plan = (traffic) => {
    if (!waits || traffic.kind !== kind) return undefined;
    waits = false;
    return fault;
  };
}

async function opened(): Promise<WebSocket> {
  const socket = new WebSocket(proxy.origin);
  await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
  return socket;
}

function echo(socket: WebSocket, message: string): Promise<string> {
  socket.send(message);
  return new Promise((resolve, reject) => {
    socket.once("message", (answer: Buffer) => {
      resolve(answer.toString());
    });
    socket.once("close", reject);
  });
}

test("without a plan everything passes as it is", async () => {
  assert.equal(await send(PUSH), "answer 1");
  const socket = await opened();
  assert.equal(await echo(socket, "a"), "echo a");
  socket.close();
});

test("a request that is refused does not arrive, and one whose answer is lost does", async () => {
  once("push", { fault: "refuse" });
  assert.equal(await send(READ), "answer 1");
  await assert.rejects(send(PUSH));
  assert.deepEqual(heard, [READ]);
  once("push", { fault: "lose" });
  await assert.rejects(send(PUSH));
  assert.deepEqual(heard, [READ, PUSH]);
});

test("a request arrives twice, and the second answer comes back", async () => {
  once("push", { fault: "double" });
  assert.equal(await send(PUSH), "answer 2");
  assert.deepEqual(heard, [PUSH, PUSH]);
});

test("a late request arrives after the one that repeats it", async () => {
  once("push", { fault: "late", ms: 50 });
  await assert.rejects(send(PUSH));
  assert.equal(await send(READ), "answer 1");
  await proxy.heal();
  assert.deepEqual(heard, [READ, PUSH]);
});

test("an answer ends in the middle, comes from somewhere else, or never", async () => {
  once("read", { fault: "cut", bytes: 3 });
  await assert.rejects(send(READ));
  once("read", { fault: "page", status: 502 });
  assert.match(await send(READ), /^<!doctype html>/);
  once("read", { fault: "silence", bytes: 3 });
  const silent = send(READ);
  assert.equal(await Promise.race([silent.catch(() => "cut"), send(READ)]), "answer 3");
  proxy.cut();
  await assert.rejects(silent);
});

test("nothing passes while it is offline, and open streams end", async () => {
  const socket = await opened();
  const closed = new Promise((resolve) => socket.on("close", resolve).on("error", resolve));
  proxy.setOnline(false);
  await closed;
  await assert.rejects(send(READ));
  await assert.rejects(opened());
  proxy.setOnline(true);
  assert.equal(await send(READ), "answer 1");
});

test("a socket is cut, or falls silent in both directions", async () => {
  once("stream", { fault: "refuse" });
  await assert.rejects(opened());
  once("stream", { fault: "cut", bytes: 200 });
  const cut = await opened();
  await assert.rejects(echo(cut, "x".repeat(300)));
  once("stream", { fault: "silence", bytes: 200 });
  const silent = await opened();
  silent.send("x".repeat(300));
  silent.once("message", () => assert.fail("a message came through"));
  once("stream", { fault: "slow", ms: 5 });
  const slow = await opened();
  assert.deepEqual([await echo(slow, "a"), await echo(slow, "b")], ["echo a", "echo b"]);
  assert.equal(silent.readyState, WebSocket.OPEN);
  proxy.cut();
});

test("an event stream is cut with what it carries", async () => {
  once("stream", { fault: "cut", bytes: 4 });
  assert.equal(await send(FOLLOW), "even");
});
