// Opens GraphiQL at a running gateway in Chromium and works with it as two users would.
//
//   node graphiql.mjs <URL of the page> <file for a screenshot>
//
// CHROMIUM names the browser. The gateway must offer two users and a subscription among its tabs, as `tidegate dev` does.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

/** Of the whole conversation; it takes some ten seconds. */
const PATIENCE_MS = 180_000;

const base = new URL(process.argv[2]);
const screenshot = process.argv[3];

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
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  // Only the whole is bounded: a machine with other work to do takes a while to show the page.
  page.setDefaultTimeout(PATIENCE_MS);
  const seen = watch(page);
  const response = await page.goto(base.href);
  assert.match(response.headers()['content-security-policy'], /default-src 'none'/);
  await page.waitForSelector('.graphiql-query-editor .view-line');

  const { users, tabs } = await (await page.request.get(new URL('/graphiql/config.json', base).href)).json();
  const [first, second] = users;
  await queryAs(page, seen, first);
  await signIn(page, second);
  await queryAs(page, seen, second);
  await signIn(page, first);
  await runOtherTabs(page, tabs);
  await conflictAs(page, tabs, second);
  await signIn(page, first);
  await subscribeAsBoth(page, seen, first, second, tabs.findIndex(isSubscription));

  await page.screenshot({ path: screenshot });
  assert.deepEqual(seen.foreign, [], 'every request stays on the origin of the page');
  assert.deepEqual(seen.complaints, [], 'the console is free of errors and of policy violations');
  await staysAtHome(page);
  console.log(`ok: ${seen.requests} requests, ${seen.sockets.length} sockets`);
} finally {
  await browser.close();
}

/** The first tab answers, and its request carried the user's token. */
async function queryAs(page, seen, user) {
  await openTab(page, 0);
  await run(page);
  assert.equal(seen.authorization, `Bearer ${user.token}`);
}

/** Queries and mutations of the other tabs answer too. */
async function runOtherTabs(page, tabs) {
  for (const [index, tab] of tabs.entries()) {
    if (index === 0 || isSubscription(tab)) continue;
    await openTab(page, index);
    await run(page);
  }
}

/** Another user runs the tab `Conflict` with another title, and finds the conflict in the tab `Inbox`. */
async function conflictAs(page, tabs, user) {
  const named = (name) => tabs.findIndex(({ query }) => query.includes(name));
  await signIn(page, user);
  await openTab(page, named('mutation Conflict'));
  const title = 'White coffee';
  await page.evaluate((text) => {
    const models = globalThis.__MONACO.editor.getModels();
    models.find(({ uri }) => uri.path.endsWith('variables.json')).setValue(text);
  }, JSON.stringify({ title }));
  // GraphiQL takes over what an editor holds a moment later.
  await page.waitForTimeout(500);
  await run(page);
  await page.waitForFunction(shows, 'CONFLICT');
  await openTab(page, named('query Inbox'));
  await run(page);
  await page.waitForFunction(shows, title);
}

/** A subscription delivers over a socket of its user, and the switch moves it to a socket of the other. */
async function subscribeAsBoth(page, seen, first, second, index) {
  assert.ok(index >= 0, 'a tab holds a subscription');
  await openTab(page, index);
  await run(page);
  const moved = page.waitForEvent('websocket');
  await signIn(page, second);
  await moved;
  await answer(page);
  assert.deepEqual(seen.sockets, [`Bearer ${first.token}`, `Bearer ${second.token}`]);
  await push(page, second, 'pushed-elsewhere');
  await page.waitForFunction(shows, 'pushed-elsewhere');
}

/** Another device of the user creates a task. */
async function push(page, user, id) {
  const query = `mutation { pushChanges(input: {changes: [{task: {create: {id: "${id}", document: {title: "x"}}}}]}) { results { status } } }`;
  const headers = { authorization: `Bearer ${user.token}` };
  const response = await page.request.post(new URL('/graphql', base).href, { headers, data: { query } });
  assert.equal((await response.json()).data.pushChanges.results[0].status, 'APPLIED');
}

function shows(text) {
  const models = globalThis.__MONACO.editor.getModels();
  return models.find(({ uri }) => uri.path.endsWith('response.json'))?.getValue().includes(text);
}

/** Whatever gets into the page can send nothing elsewhere: the policy is in force. */
async function staysAtHome(page) {
  const refused = await page.evaluate(async () => {
    const violation = new Promise((resolve) => {
      document.addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective));
    });
    await fetch('https://elsewhere.example/').catch(() => {});
    return violation;
  });
  assert.equal(refused, 'connect-src');
}

function isSubscription({ query }) {
  return /^\s*subscription\b/m.test(query);
}

async function openTab(page, index) {
  await page.locator('.graphiql-tab-button').nth(index).click();
  // GraphiQL reads the operation's name out of a tab a moment after it has opened, and shows no sign of having done so.
  await page.waitForTimeout(500);
}

async function signIn(page, { name }) {
  await page.locator('.signed-in').getByRole('button', { name, exact: true }).click();
}

async function run(page) {
  await page.locator('.graphiql-execute-button').click();
  await answer(page);
}

/** Waits for the response editor to hold an answer; GraphiQL empties it when an operation starts. */
async function answer(page) {
  const handle = await page.waitForFunction(() => {
    const models = globalThis.__MONACO.editor.getModels();
    return models.find(({ uri }) => uri.path.endsWith('response.json'))?.getValue();
  });
  const text = await handle.jsonValue();
  const { data, errors } = JSON.parse(text);
  assert.ok(data && !errors, `an answer without errors, not ${text}`);
}

/** Collects what the page asks for and complains about. */
function watch(page) {
  const seen = { requests: 0, authorization: undefined, sockets: [], foreign: [], complaints: [] };
  page.on('request', (request) => {
    seen.requests += 1;
    note(seen, request.url());
    if (request.method() === 'POST') seen.authorization = request.headers().authorization;
  });
  page.on('websocket', (socket) => {
    note(seen, socket.url());
    socket.on('framesent', ({ payload }) => {
      const message = JSON.parse(payload);
      if (message.type === 'connection_init') seen.sockets.push(message.payload.Authorization);
    });
  });
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) seen.complaints.push(message.text());
  });
  page.on('pageerror', (error) => seen.complaints.push(String(error)));
  return seen;
}

function note(seen, url) {
  const { protocol, host } = new URL(url);
  const inline = protocol === 'data:' || protocol === 'blob:';
  if (!inline && host !== base.host) seen.foreign.push(url);
}
