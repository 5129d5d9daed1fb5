/**
 * A device: a browser's context with its own storage, a user, and a network of its own. It reads and does what a user can,
 * by the names in client-examples/README.md, so it drives the page of every example.
 */

import assert from "node:assert/strict";
import type { Proxy } from "@tidegate/conformance";
import type { BrowserContext, Locator, Page } from "playwright-core";

/** How long a page may take to show what it is going to show, on a machine that does much else. */
const PATIENCE_MS = 120_000;

/** How long a click waits for a button that may be going. */
const CLICK_MS = 2_000;

export interface TokenOptions {
  readonly teams: readonly string[];
  readonly seconds?: number;
}

export interface DeviceOptions {
  readonly context: BrowserContext;
  readonly proxy: Proxy;
  readonly user: string;
  readonly teams: readonly string[];
  /** The address of the example's page. */
  readonly origin: string;
  readonly sign: (user: string, options: TokenOptions) => string;
}

/** What a user sees of a task. */
export interface SeenTask {
  readonly title: string;
  readonly done: boolean;
  readonly minutes: string;
  readonly labels: readonly string[];
}

export class Device {
  /** The tokens that its login server gives from now on. */
  token: TokenOptions;
  /** The next one, if it is another one. */
  nextToken: TokenOptions | undefined;
  /** How many it has given. */
  tokens = 0;
  #page: Page | undefined;

  private constructor(readonly options: DeviceOptions) {
    this.token = { teams: options.teams };
  }

  static async open(options: DeviceOptions): Promise<Device> {
    const device = new Device(options);
    await options.context.route("**/dev/token*", async (route) => {
      const { nextToken = device.token } = device;
      device.nextToken = undefined;
      device.tokens += 1;
      await route.fulfill({
        json: { token: options.sign(options.user, nextToken) },
        headers: { "Access-Control-Allow-Origin": "*" },
      });
    });
    await device.load();
    return device;
  }

  get page(): Page {
    if (!this.#page) throw new Error("the page is not open");
    return this.#page;
  }

  /** Opens the page, as a user does who has closed it. */
  async load(): Promise<void> {
    const { context, origin, user, teams, proxy } = this.options;
    await this.#page?.close();
    const page = await context.newPage();
    this.#page = page;
    page.setDefaultTimeout(PATIENCE_MS);
    const parameters = new URLSearchParams({ user, teams: teams.join(","), gateway: proxy.origin });
    await page.goto(`${origin}/?${parameters.toString()}`);
  }

  /** Another tab of the same browser, which closes with the device. */
  async newTab(): Promise<Device> {
    const tab = new Device(this.options);
    await tab.load();
    return tab;
  }

  async close(): Promise<void> {
    await this.options.context.close();
    await this.options.proxy.stop();
  }

  /** No network, as on a train. */
  offline(): void {
    this.options.proxy.setOnline(false);
  }

  /** The network is back, and the browser says so. */
  async online(): Promise<void> {
    this.options.proxy.setOnline(true);
    await this.page.evaluate(() => dispatchEvent(new Event("online")));
  }

  /** Nothing goes wrong with the network any more, and the browser says so. */
  async heal(): Promise<void> {
    await this.options.proxy.heal();
    await this.online();
  }

  async addTask(title: string, audience?: string): Promise<void> {
    if (audience !== undefined) await this.page.getByLabel("For", { exact: true }).selectOption(audience);
    await this.page.getByLabel("New task").fill(title);
    await this.page.getByLabel("New task").press("Enter");
    await this.shows(title);
  }

  task(title: string): Locator {
    return this.page.getByRole("listitem", { name: title, exact: true });
  }

  async tick(title: string): Promise<void> {
    await this.task(title).getByRole("checkbox").click();
  }

  async rename(title: string, to: string): Promise<void> {
    await fill(this.task(title).getByLabel("Title"), to);
    await this.shows(to);
  }

  /** Adds 15 minutes. */
  async spend(title: string): Promise<void> {
    const minutes = this.task(title).getByTestId("minutes");
    const before = await minutes.textContent();
    await this.task(title).getByRole("button", { name: "15 minutes more" }).click();
    await until(
      async () => (await minutes.textContent()) !== before,
      () => before,
    );
  }

  async label(title: string, label: string): Promise<void> {
    await this.#more(title);
    await fill(this.task(title).getByLabel("New label"), label);
    await this.task(title).getByTestId("label").getByText(label, { exact: true }).waitFor();
  }

  async note(title: string, notes: string): Promise<void> {
    await this.#more(title);
    const field = this.task(title).getByLabel("Notes");
    await field.fill(notes);
    await field.blur();
    await until(
      async () => (await field.inputValue()) === notes,
      () => field.inputValue(),
    );
  }

  async delete(title: string): Promise<void> {
    await this.#more(title);
    await this.task(title).getByRole("button", { name: "Delete" }).click();
    await this.hides(title);
  }

  async addArticle(title: string): Promise<void> {
    await this.page.getByLabel("New article").fill(title);
    await this.page.getByLabel("New article").press("Enter");
    await this.shows(title);
  }

  /** The inbox, by a word that a card in it has. */
  card(kind: "conflict" | "outcome", word: string): Locator {
    return this.page.getByRole("region", { name: "Inbox" }).getByTestId(kind).filter({ hasText: word });
  }

  /** Discards outcomes until none is left. */
  async discardAll(): Promise<void> {
    await this.isInStep();
    const cards = this.card("outcome", "");
    await until(
      async () => {
        if ((await cards.count()) === 0) return true;
        // The card may go while it is looked for, and then there is perhaps no other one.
        const discard = cards.first().getByRole("button", { name: "Discard" });
        await discard.click({ timeout: CLICK_MS }).catch(() => undefined);
        return false;
      },
      () => cards.allTextContents(),
    );
  }

  async press(button: string): Promise<void> {
    await this.page.getByRole("button", { name: button, exact: true }).click();
  }

  /** Signs out, and answers what becomes of edits that were not sent, which the page asks if there are any. */
  async signOut(answer?: "Keep them" | "Delete them"): Promise<void> {
    await this.press("Sign out");
    if (answer !== undefined) await this.press(answer);
    await this.page.getByRole("region", { name: "Signed out" }).waitFor();
  }

  async shows(title: string): Promise<void> {
    await this.task(title).waitFor();
  }

  async hides(title: string): Promise<void> {
    await this.task(title).waitFor({ state: "detached" });
  }

  /** Waits until the page says that it is in step, and that no edit waits. */
  async isInStep(): Promise<void> {
    await this.page.locator('[role="status"][data-phase="live"][data-unsent="0"]').waitFor();
  }

  async saysThatItWaits(edits: number): Promise<void> {
    await this.page.locator(`[role="status"][data-unsent="${edits}"]`).waitFor();
  }

  /** The tasks in the order of the page. */
  async tasks(): Promise<readonly SeenTask[]> {
    return this.page.getByTestId("task").evaluateAll((rows) =>
      rows.map((row) => ({
        title: row.getAttribute("aria-label") ?? "",
        done: row.querySelector<HTMLInputElement>('input[type="checkbox"]')?.checked ?? false,
        minutes: row.querySelector('[data-testid="minutes"]')?.textContent ?? "",
        labels: [...row.querySelectorAll('[data-testid="label"]')]
          .map(({ firstChild }) => firstChild?.textContent ?? "")
          .sort(),
      })),
    );
  }

  /** Everything that IndexedDB holds on the device, as text. */
  async stored(): Promise<string> {
    return this.page.evaluate(async () => {
      const finished = <T>(request: IDBRequest<T>): Promise<T> =>
        new Promise((resolve, reject) => {
          request.onsuccess = () => {
            resolve(request.result);
          };
          request.onerror = () => {
            reject(request.error ?? new Error("a request failed"));
          };
        });
      const texts: string[] = [];
      for (const { name } of await indexedDB.databases()) {
        const database = await finished(indexedDB.open(name ?? ""));
        for (const store of database.objectStoreNames) {
          const all = database.transaction(store).objectStore(store);
          texts.push(JSON.stringify([await finished(all.getAllKeys()), await finished(all.getAll())]));
        }
        database.close();
      }
      return texts.join("\n");
    });
  }

  async #more(title: string): Promise<void> {
    const details = this.task(title).locator("details");
    if ((await details.getAttribute("open")) === null) await details.locator("summary").click();
  }
}

async function fill(field: Locator, text: string): Promise<void> {
  await field.fill(text);
  await field.press("Enter");
}

/** Waits until something holds. */
export async function until(holds: () => Promise<boolean>, what: () => unknown, ms = PATIENCE_MS): Promise<void> {
  const end = Date.now() + ms;
  while (!(await holds())) {
    if (Date.now() > end) assert.fail(`it never came to hold: ${JSON.stringify(await what())}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Waits until all devices are in step and show the same tasks. Returns these. */
export async function converge(...devices: readonly Device[]): Promise<readonly SeenTask[]> {
  const shown = (): Promise<readonly (readonly SeenTask[])[]> => Promise.all(devices.map((device) => device.tasks()));
  for (const device of devices) await device.isInStep();
  await until(async () => new Set((await shown()).map((it) => JSON.stringify(it))).size === 1, shown);
  const [first = []] = await shown();
  return first;
}
