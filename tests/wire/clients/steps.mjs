// What every client has to do. A client is a function of the endpoint, a session and a `fetch`, and answers with
// `run(query, variables)`, which gives data, and `follow(query, next)`, which calls `next` with the data of each event.
// One that names documents by their hash says so with `hashes`.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { Session } from './tokens.mjs';

const VIEWER = 'query Viewer { viewer { id } }';
const PUSH = `mutation Push($id: ID!) {
  pushChanges(input: { changes: [{ task: { create: { id: $id, document: { title: "t", audience: "team:demo" } } } }] }) {
    results { status }
  }
}`;
const CHANGES = 'subscription Changes { changes { changes { documentId } } }';
// How long anything may take.
const PATIENCE_MS = 20_000;

export async function steps(name, client, { url, secret }) {
  const done = [];
  const step = async (what, body) => {
    try {
      await body();
    } catch (error) {
      throw new Error(`${name}: ${what}: ${error.message}`, { cause: error });
    }
    done.push(what);
  };
  const push = async (run, id) => {
    const { pushChanges } = await run(PUSH, { id });
    assert.equal(pushChanges.results[0].status, 'APPLIED');
  };
  const until = async (what, holds) => {
    for (const since = Date.now(); !holds(); await sleep(20)) {
      assert.ok(Date.now() - since < PATIENCE_MS, `never: ${what}`);
    }
  };
  const sees = (seen, id) => until(`${id} came`, () => seen.has(id));
  const note = (seen) => (data) => data.changes.changes.forEach((change) => seen.add(change.documentId));

  const sent = [];
  const noting = (input, init) => {
    sent.push(decodeURIComponent(input) + (init.body ?? ''));
    return fetch(input, init);
  };
  const { run, follow, hashes } = client(url, new Session(secret, 600), noting);
  await step('query', async () => assert.equal((await run(VIEWER, {})).viewer.id, 'alice'));
  await step('mutation', () => push(run, `${name}-1`));
  await step('subscription', async () => {
    const seen = new Set();
    const stop = follow(CHANGES, note(seen));
    await sees(seen, `${name}-1`);
    await push(run, `${name}-2`);
    await sees(seen, `${name}-2`);
    stop();
  });
  await step('query with a token that has ended', async () => {
    const session = new Session(secret, -60);
    assert.equal((await client(url, session).run(VIEWER, {})).viewer.id, 'alice');
    assert.equal(session.refreshes, 1);
  });
  await step('subscription that outlives its token', async () => {
    const session = new Session(secret, 8);
    const seen = new Set();
    const stop = client(url, session).follow(CHANGES, note(seen));
    await sees(seen, `${name}-2`);
    assert.equal(session.refreshes, 0, 'it began with the first token');
    await until('a new token was asked for', () => session.refreshes > 0);
    await push(run, `${name}-3`);
    await sees(seen, `${name}-3`);
    stop();
  });
  if (hashes) {
    await step('query by its hash alone', async () => {
      sent.length = 0;
      assert.equal((await run(VIEWER, {})).viewer.id, 'alice');
      assert.equal(sent.length, 1);
      assert.match(sent[0], /sha256Hash/);
      assert.doesNotMatch(sent[0], /viewer/);
    });
  }
  return done;
}
