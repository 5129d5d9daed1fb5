/**
 * Takes the pictures of each example's README: Alice's laptop with a conflict, and Bob's phone, which is offline.
 */

import { Gateway } from "@tidegate/conformance";
import type { Device } from "./device.js";
import { EXAMPLES, ROOT } from "./examples.js";
import { BINARY, startBrowser, World } from "./world.js";

/** Pictures stay small without shadows and the caret. */
const FLAT = "* { caret-color: transparent !important; box-shadow: none !important }";

const TEAMS = ["garden", "kitchen"];

const browser = await startBrowser();
for (const example of EXAMPLES) {
  const gateway = await Gateway.start({ binary: BINARY });
  const world = await World.start(browser, gateway, example);
  const directory = process.env.SCREENSHOTS ?? `${ROOT}client-examples/${example.name}`;
  try {
    const laptop = await world.device("alice", TEAMS, { viewport: { width: 1080, height: 720 }, colorScheme: "light" });
    const phone = await world.device("bob", TEAMS, {
      viewport: { width: 390, height: 740 },
      colorScheme: "dark",
      hasTouch: true,
      isMobile: true,
    });
    await fillLists(laptop);
    await disagree(laptop, phone);
    for (const { page } of [laptop, phone]) await page.evaluate(() => scrollTo(0, 0));
    await laptop.page.screenshot({ path: `${directory}/desktop.png`, style: FLAT });
    await phone.page.screenshot({ path: `${directory}/phone.png`, style: FLAT });
  } finally {
    await world.stop();
    await gateway.stop();
  }
}
await browser.close();

async function fillLists(device: Device): Promise<void> {
  await device.addTask("Order seeds", "team:garden");
  await device.addTask("Sharpen the knives", "team:kitchen");
  await device.addTask("Water the tomatoes", "team:garden");
  await device.addTask("Call the plumber", "user:alice");
  await device.addTask("Plan the summer party", "team:kitchen");
  for (let quarter = 0; quarter < 6; quarter += 1) await device.spend("Plan the summer party");
  await device.spend("Water the tomatoes");
  await device.label("Water the tomatoes", "daily");
  await device.label("Plan the summer party", "party");
  await device.label("Plan the summer party", "friends");
  await device.page.getByRole("listitem", { name: "Water the tomatoes" }).locator("summary").click();
  await device.page.getByRole("listitem", { name: "Plan the summer party" }).locator("summary").click();
  await device.addArticle("House rules");
  await device.isInStep();
}

/** Both rewrite the article; then Bob loses his network. */
async function disagree(laptop: Device, phone: Device): Promise<void> {
  await phone.isInStep();
  phone.offline();
  await write(phone, "The last one out waters the tomatoes.");
  await write(laptop, "Who cooks does not wash up.");
  await laptop.isInStep();
  await phone.online();
  await laptop.card("conflict", "House rules").waitFor();
  await phone.card("conflict", "House rules").waitFor();
  phone.offline();
  await phone.spend("Order seeds");
  await phone.rename("Water the tomatoes", "Water the tomatoes twice");
  await phone.page.locator('[data-phase="offline"]').waitFor();
}

async function write(device: Device, text: string): Promise<void> {
  const field = device.task("House rules").getByLabel("Text");
  await field.fill(text);
  await field.blur();
}
