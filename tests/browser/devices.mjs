// Opens the page of two devices in Chromium, and goes through its story: both offline, edits of the same titles, back
// online, a merge and a conflict that is resolved.
//
//   node devices.mjs <URL of a gateway> <URL of another> <directory for screenshots>
//
// CHROMIUM names the browser. Both are a `tidegate dev`: one with the example model and an empty store, the other with
// another model.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

/** Of the whole story; it takes some ten seconds. */
const PATIENCE_MS = 180_000;

const base = new URL(process.argv[2]);
const withAnotherModel = new URL(process.argv[3]);
const screenshots = process.argv[4];
const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

setTimeout(() => {
  console.error(`the page was not done within ${PATIENCE_MS} ms`);
  process.exit(1);
}, PATIENCE_MS).unref();

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const complaints = [];
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => assert.equal(new URL(request.url()).hostname, base.hostname));
  const response = await page.goto(new URL('/devices', base).href);
  assert.match(response.headers()['content-security-policy'], /default-src 'none'/);
  const [alice, bob] = [device(page, 'Alice’s laptop'), device(page, 'Bob’s phone')];

  await both(alice, bob, (it) => it.says('live'));
  await page.getByRole('button', { name: 'Add two tasks and a note' }).click();
  await bob.title('Buy milk').waitFor();
  await bob.title('the note Tea').waitFor();
  await look(page, 'begun');

  await both(alice, bob, (it) => it.turn('Offline'));
  await bob.edit('Buy milk', 'Buy soy milk');
  await bob.edit('the note Tea', 'Black tea');
  await bob.addMinutes('Buy soy milk');
  await alice.edit('Buy milk', 'Buy oat milk');
  await alice.edit('the note Tea', 'Green tea');
  await alice.addMinutes('Buy oat milk');
  await both(alice, bob, (it) => it.says('offline, 3 edits wait'));
  assert.equal(await page.getByRole('alert').count(), 0, 'to be offline is no error');
  assert.equal(await bob.title('Buy oat milk').count(), 0, 'what Alice wrote is on her device alone');
  await look(page, 'offline', 390, 'dark');

  await bob.turn('Online');
  await bob.says('live');
  await alice.turn('Online');
  await alice.outcome('CONFLICT Black tea').filter({ hasText: 'Mine' }).waitFor();
  await bob.outcome('CONFLICT Black tea').filter({ hasText: 'Alice’s' }).waitFor();
  await alice.outcome('MERGED Buy oat milk').filter({ hasText: 'title' }).waitFor();
  await both(alice, bob, async (it) => {
    await it.title('Buy oat milk').waitFor();
    await it.part.getByText('10 min', { exact: true }).waitFor();
    await it.title('the note Black tea').waitFor();
  });
  assert.equal(await bob.part.getByRole('article').count(), 1, 'his own edits were simply applied');
  for (const width of [1280, 390]) {
    for (const colorScheme of ['light', 'dark']) await look(page, 'conflict', width, colorScheme);
  }

  await page.reload();
  const conflict = bob.outcome('CONFLICT Black tea');
  await conflict.getByRole('textbox').fill('Green or black tea');
  await conflict.getByRole('button', { name: 'Take this' }).click();
  await both(alice, bob, async (it) => {
    await it.title('the note Green or black tea').waitFor();
    await it.outcome('CONFLICT').waitFor({ state: 'detached' });
  });
  for (const field of ['title', 'minutesSpent']) {
    const merged = alice.outcome('MERGED Buy oat milk').filter({ hasText: field });
    await merged.getByRole('button', { name: 'Good' }).click();
    await merged.waitFor({ state: 'detached' });
  }
  assert.equal(await alice.part.getByRole('article').count(), 0, 'nothing is left to see to');
  await Promise.all([page.waitForEvent('load'), page.getByRole('button', { name: 'Forget both devices' }).click()]);
  await both(alice, bob, (it) => it.title('Buy oat milk').waitFor());
  assert.deepEqual(complaints, [], 'the console is free of errors and of policy violations');

  await page.goto(new URL('/devices', withAnotherModel).href);
  await page.getByRole('alert').getByRole('link', { name: 'GraphiQL' }).waitFor();
  await look(page, 'another-model');
  console.log('ok');
} finally {
  await browser.close();
}

/** What a user of a device sees and does. */
function device(page, name) {
  const part = page.getByRole('region', { name, exact: true });
  const title = (text) => part.getByRole('textbox', { name: `Title of ${text}`, exact: true });
  return {
    part,
    title,
    says: (text) => part.getByRole('status').filter({ hasText: text }).waitFor(),
    turn: async (state) => {
      await part.getByRole('switch').click();
      await part.getByRole('switch', { name: state }).waitFor();
    },
    edit: async (from, to) => {
      await title(from).fill(to);
      await title(from).press('Enter');
      await title(from.startsWith('the note ') ? `the note ${to}` : to).waitFor();
    },
    addMinutes: (task) => part.getByRole('button', { name: `5 minutes more for ${task}` }).click(),
    outcome: (text) => part.getByRole('article').filter({ hasText: text }),
  };
}

async function both(one, other, act) {
  await act(one);
  await act(other);
}

/** Takes a picture of the page, and holds it against the rules of accessibility. */
async function look(page, name, width = 1280, colorScheme = 'light') {
  await page.setViewportSize({ width, height: 900 });
  await page.emulateMedia({ colorScheme });
  const where = `${name}-${width}-${colorScheme}`;
  await page.screenshot({ path: `${screenshots}/${where}.png`, fullPage: true });
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  assert.deepEqual(grave.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), [], where);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${where} is ${overflow} pixels too wide`);
}
