/**
 * Serves the built page of an example, as any web server of files does.
 */

import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
};

export class Pages {
  private constructor(
    readonly server: Server,
    readonly origin: string,
  ) {}

  static async start(directory: string): Promise<Pages> {
    const server = createServer((request, response) => {
      const { pathname } = new URL(request.url ?? "/", "http://pages.invalid");
      const path = join(directory, normalize(pathname === "/" ? "/index.html" : pathname));
      readFile(path).then(
        (file) => response.writeHead(200, { "Content-Type": TYPES[extname(path)] ?? "" }).end(file),
        () => response.writeHead(404).end(),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Pages(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}
