/**
 * What the tests in a browser share: one Chromium, a server of the page, a gateway, which pages of this machine may use,
 * and a proxy before it.
 */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { type Gateway, Proxy } from "@tidegate/conformance";
import { build, type Plugin } from "esbuild";
import { chromium, type BrowserContext, type CDPSession, type Page } from "playwright-core";
import { ROOT, startGateway } from "../gateway/gateway.js";

const PAGE = fileURLToPath(new URL("page.js", import.meta.url));

export class World {
  readonly #devices: Device[] = [];

  private constructor(
    readonly browser: Chromium,
    readonly server: Server,
    readonly gateway: Gateway,
  ) {}

  static async start(): Promise<World> {
    const server = await serve();
    return new World(await Chromium.start(), server, await startGateway());
  }

  async stop(): Promise<void> {
    await this.browser.stop();
    for (const device of this.#devices) await device.proxy.stop();
    this.server.closeAllConnections();
    this.server.close();
    await this.gateway.stop();
  }

  /** A device that has nothing stored yet. `flags` are parameters of its page, and `at` is where the page is. */
  async device(user = "alice", flags: Readonly<Record<string, string>> = {}, at = "/"): Promise<Device> {
    const proxy = await Proxy.start(new URL(this.gateway.url).origin);
    const database = `device ${this.#devices.length}`;
    const parameters = { url: `${proxy.origin}/graphql`, token: this.gateway.token(user), database, ...flags };
    const address = `${originOf(this.server)}${at}?${new URLSearchParams(parameters).toString()}`;
    const device = new Device(this.browser.context, proxy, address);
    this.#devices.push(device);
    return device;
  }
}

/** A browser as its users have it: Playwright's own pages are never hidden, and so never frozen. */
class Chromium {
  private constructor(
    readonly context: BrowserContext,
    readonly stop: () => Promise<void>,
  ) {}

  static async start(): Promise<Chromium> {
    const executable = execFileSync(`${ROOT}scripts/chromium`, { encoding: "utf8" }).trim();
    const profile = await mkdtemp(join(tmpdir(), "tidegate-browser-"));
    const options = [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
    ];
    const process = spawn(executable, [...options, "--remote-debugging-port=0", `--user-data-dir=${profile}`], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    const ended = new Promise((resolve) => process.once("exit", resolve));
    const address = await new Promise<string>((resolve, reject) => {
      let printed = "";
      process.stderr.on("data", (chunk: Buffer) => {
        printed += chunk.toString();
        const found = /ws:\/\/\S+/.exec(printed);
        if (found) resolve(found[0]);
      });
      process.once("error", reject);
      void ended.then(() => {
        reject(new Error(`the browser ended: ${printed}`));
      });
    });
    const browser = await chromium.connectOverCDP(address, { noDefaults: true });
    const [context] = browser.contexts();
    if (!context) throw new Error("a browser has a context");
    return new Chromium(context, async () => {
      await (await browser.newBrowserCDPSession()).send("Browser.close").catch(() => undefined);
      await ended;
      await rm(profile, { recursive: true });
    });
  }
}

/** The page's script. `unhashed`: it hashes nothing, so digests cost no time, and it asks for none. */
async function scriptOf(unhashed: boolean): Promise<string> {
  const contents = "export const sha256 = () => [0, 0, 0, 0];";
  const stub: Plugin = {
    name: "unhashed",
    setup: (bundler) => {
      bundler.onLoad({ filter: /core.sha256\.js$/ }, () => ({ contents }));
    },
  };
  const plugins = unhashed ? [stub] : [];
  const { outputFiles } = await build({ entryPoints: [PAGE], bundle: true, format: "esm", write: false, plugins });
  return outputFiles[0]?.text ?? "";
}

/** Where a service worker may be. It hands on whatever pages there request. */
export const WORKED = "/worked/";

const WORKER = `
  addEventListener("activate", (event) => event.waitUntil(clients.claim()));
  addEventListener("fetch", (event) => event.respondWith(fetch(event.request)));
`;

/** Serves the page. */
async function serve(): Promise<Server> {
  const scripts = new Map([
    ["/page.js", await scriptOf(false)],
    ["/unhashed.js", await scriptOf(true)],
    [`${WORKED}worker.js`, WORKER],
  ]);
  const server = createServer(({ url = "" }, response) => {
    const script = scripts.get(url);
    const name = url.includes("unhashed") ? "unhashed" : "page";
    response.setHeader("Content-Type", script === undefined ? "text/html" : "text/javascript");
    response.end(script ?? `<!doctype html><script type="module" src="/${name}.js"></script>`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // A gateway that does not start ends the tests.
  server.unref();
  return server;
}

/** A database of the browser, the tabs on it, and what is between them and the gateway. */
export class Device {
  readonly #tabs: Tab[] = [];

  constructor(
    readonly context: BrowserContext,
    readonly proxy: Proxy,
    readonly address: string,
  ) {}

  /** `before` runs in the page before anything else does. */
  async tab(before?: () => void): Promise<Tab> {
    const page = await this.context.newPage();
    const tab = new Tab(page, await this.context.newCDPSession(page));
    this.#tabs.push(tab);
    if (before) await page.addInitScript(before);
    await page.goto(this.address);
    await tab.until(() => "app" in window);
    return tab;
  }

  /** Two tabs that show all there is: the one that leads, and the other. */
  async leaderAndFollower(before?: () => void): Promise<readonly [Tab, Tab]> {
    const tabs = [await this.tab(before), await this.tab(before)] as const;
    for (const tab of tabs) await tab.isQuiet();
    const leads = await Promise.all(tabs.map((tab) => tab.leads()));
    assert.deepEqual([...leads].sort(), [false, true], "one of them leads");
    return leads[0] ? tabs : [tabs[1], tabs[0]];
  }

  async close(): Promise<void> {
    for (const tab of this.#tabs) await tab.close();
  }
}

export class Tab {
  constructor(
    readonly page: Page,
    readonly session: CDPSession,
  ) {}

  create(title: string): Promise<string> {
    return this.page.evaluate((it) => window.app.create(it), title);
  }

  bump(id: string): Promise<void> {
    return this.page.evaluate((it) => window.app.bump(it), id);
  }

  /** Waits until something holds in the page. Timers of hidden pages are too slow to ask them to wait. */
  async until<A = undefined>(holds: (it: A) => boolean | Promise<boolean>, it?: A): Promise<void> {
    const evaluate = this.page.evaluate.bind(this.page) as (f: typeof holds, it?: A) => Promise<boolean>;
    while (!(await evaluate(holds, it))) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** The minutes that the page's live query shows. */
  async shows(id: string, minutes: number): Promise<void> {
    await this.until(([it, count]) => window.app.seen[it] === count, [id, minutes] as const);
  }

  /** The minutes that the database has, with the edits in it. */
  async has(id: string): Promise<number | undefined> {
    return this.page.evaluate(async (it) => (await window.app.client.tasks.get(it))?.minutesSpent, id);
  }

  /** Of the page's thread, in milliseconds; 0 if none took 50. */
  longestTask(): Promise<number> {
    return this.page.evaluate(() => Math.round(Math.max(0, ...window.app.longTasks)));
  }

  async leads(): Promise<boolean> {
    return this.page.evaluate(() => window.app.sockets > 0);
  }

  async halts(code: string): Promise<void> {
    await this.until((it) => window.app.status()?.error?.code === it, code);
    assert.equal(await this.page.evaluate(() => window.app.status()?.phase), "halted");
  }

  async isQuiet(): Promise<void> {
    await this.until(() => window.app.isQuiet());
  }

  async freeze(): Promise<void> {
    await this.session.send("Page.setWebLifecycleState", { state: "frozen" });
  }

  async resume(): Promise<void> {
    await this.session.send("Page.setWebLifecycleState", { state: "active" });
  }

  async reload(): Promise<void> {
    await this.page.reload();
    await this.until(() => "app" in window);
  }

  async crash(): Promise<void> {
    const crashed = this.page.waitForEvent("crash");
    this.session.send("Page.crash").catch(() => undefined);
    await crashed;
    await this.page.close();
  }

  async close(): Promise<void> {
    await this.page.close();
  }
}

function originOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

let shared: World | undefined;

before(async () => {
  shared = await World.start();
});

after(() => shared?.stop());

/** The one that all tests share. */
export function world(): World {
  if (!shared) throw new Error("the tests have not begun");
  return shared;
}

/** The minutes that a device gets which has nothing yet. */
export async function minutesOf(id: string): Promise<number | undefined> {
  const device = await world().device();
  const tab = await device.tab();
  await tab.isQuiet();
  const minutes = await tab.has(id);
  await device.close();
  return minutes;
}
