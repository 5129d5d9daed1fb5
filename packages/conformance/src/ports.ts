/**
 * Ports of servers that are stopped and start again.
 */

import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/** How many ports are tried: of so many one is free. */
const TRIES = 1000;

/**
 * A free port on 127.0.0.1. While its server is down no other takes it: systems give sockets that ask for none a higher one
 * (Linux from 32768, others from 49152).
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const port = randomInt(10_000, 20_000);
    if (await isFree(port)) return port;
  }
  throw new Error("no port is free");
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => {
      resolve(false);
    });
    server.listen(port, "127.0.0.1", () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}
