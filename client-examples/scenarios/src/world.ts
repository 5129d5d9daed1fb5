/**
 * What all scenarios of an example share: a gateway on one of its stores, a browser, and the pages.
 */

import { execFileSync } from "node:child_process";
import { Gateway, Proxy } from "@tidegate/conformance";
import { chromium, type Browser, type BrowserContextOptions } from "playwright-core";
import { Device } from "./device.js";
import { directoryOf, ROOT, type Example } from "./examples.js";
import { Pages } from "./pages.js";

export const BINARY = process.env.TIDEGATE_BINARY ?? `${ROOT}target/debug/tidegate`;

/** The one browser of a run. */
export function startBrowser(): Promise<Browser> {
  const executablePath = execFileSync(`${ROOT}scripts/chromium`, { encoding: "utf8" }).trim();
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
}

export class World {
  readonly #devices: Device[] = [];

  private constructor(
    readonly browser: Browser,
    readonly gateway: Gateway,
    readonly pages: Pages,
    /** Prints a measurement with the results of the tests. */
    readonly say: (text: string) => void = () => undefined,
  ) {}

  static async start(browser: Browser, gateway: Gateway, example: Example): Promise<World> {
    return new World(browser, gateway, await Pages.start(directoryOf(example)));
  }

  /** For one scenario: the same gateway, browser and pages, and devices of its own. */
  fork(say: (text: string) => void): World {
    return new World(this.browser, this.gateway, this.pages, say);
  }

  async stop(): Promise<void> {
    await this.closeDevices();
    this.pages.stop();
  }

  async closeDevices(): Promise<void> {
    await Promise.all(this.#devices.splice(0).map((device) => device.close()));
  }

  /** A device that has nothing stored yet. */
  async device(user: string, teams: readonly string[], options: BrowserContextOptions = {}): Promise<Device> {
    const device = await Device.open({
      context: await this.browser.newContext({ reducedMotion: "reduce", ...options }),
      proxy: await Proxy.start(this.gateway.origin),
      user,
      teams,
      origin: this.pages.origin,
      sign: (name, { teams: of, seconds }) => this.gateway.token(name, of, seconds),
    });
    this.#devices.push(device);
    return device;
  }

  /** Sends a push as another program of a user. The gateway may be gone for a moment: another scenario kills it. */
  async push(user: string, teams: readonly string[], changes: readonly object[]): Promise<void> {
    for (let attempts = 0; attempts < 100; attempts += 1) {
      try {
        await this.#push(user, teams, changes);
        return;
      } catch (failure) {
        if (!(failure instanceof TypeError)) throw failure;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    throw new Error("the gateway does not come back");
  }

  async #push(user: string, teams: readonly string[], changes: readonly object[]): Promise<void> {
    const query = `mutation ($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }`;
    const response = await fetch(this.gateway.url, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${this.gateway.token(user, teams)}` },
      body: JSON.stringify({ query, variables: { input: { changes } } }),
    });
    const answer = await response.text();
    if (!response.ok || answer.includes('"errors"')) throw new Error(answer);
  }
}
