// Measures a live query of 50 on 100,000 documents in the storage of the client, in Dexie and in RxDB, and prints a table.
//
//   node run.mjs [documents]
//
// `make browser` builds `packages/client` for it.

import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const DOCUMENTS = Number(process.argv[2] ?? 100_000);
const pathOf = (path) => fileURLToPath(new URL(path, import.meta.url));
const CLIENT = pathOf('../../packages/client/build/');
/** Long enough for all of it on a machine with other work to do. */
const PATIENCE_MS = 900_000;
/** The longest task that users do not notice. */
const TASK_MS = 100;

const pages = {};
for (const name of ['tidegate', 'dexie', 'rxdb']) {
  const { outputFiles } = await build({
    entryPoints: [pathOf('page.mjs')],
    bundle: true,
    format: 'esm',
    write: false,
    define: { 'process.env.NODE_ENV': '"production"' },
    alias: {
      storage: pathOf(`${name}.mjs`),
      '@tidegate/client': `${CLIENT}src/index.js`,
      '@tidegate/client-model': `${CLIENT}test/models/example.js`,
    },
  });
  pages[`/${name}.js`] = outputFiles[0].text;
}
const server = createServer(({ url }, response) => {
  const script = pages[url];
  response.setHeader('Content-Type', script ? 'text/javascript' : 'text/html');
  response.end(script ?? `<!doctype html><script type="module" src="${url}.js"></script>`);
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const executablePath = execFileSync(pathOf('../../scripts/chromium'), { encoding: 'utf8' }).trim();
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--no-first-run'] });

const rows = {};
try {
  for (const name of ['tidegate', 'dexie', 'rxdb']) rows[name] = await measure(name);
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
}
const ms = ({ ms, longest }) => `${ms} ms (${longest} ms)`;
console.log(`${DOCUMENTS} documents in ${browser.version()}; in brackets the longest task of the page's thread, 0 if none took 50 ms`);
console.log('| | stored | first 50 shown | an edit shown |\n| --- | --- | --- | --- |');
for (const [name, { fill, query, edit }] of Object.entries(rows)) {
  console.log(`| ${name} | ${ms(fill)} | ${ms(query)} | ${ms(edit)} |`);
}
const { query, edit } = rows.tidegate;
const longest = Math.max(query.longest, edit.longest);
if (longest >= TASK_MS) throw new Error(`a task of the client took ${longest} ms`);

/** In a page that fills the storage, and in another one that has only what is stored. */
async function measure(name) {
  const context = await browser.newContext();
  const opened = async () => {
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('pageerror', (error) => console.error(name, error));
    await page.goto(`http://127.0.0.1:${server.address().port}/${name}`);
    await page.waitForFunction(() => window.query);
    return page;
  };
  const first = await opened();
  const fill = await first.evaluate((count) => window.fill(count), DOCUMENTS);
  await first.close();
  const second = await opened();
  const { query, edit } = await second.evaluate((count) => window.query(count), DOCUMENTS);
  await context.close();
  return { fill, query, edit };
}
