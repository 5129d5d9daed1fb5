// Lists that stay live in the caches of Apollo Client and of urql's Graphcache, against the endpoint named by the first
// argument. The second is a token. Prints one line of JSON: what each list showed, and how often a list was asked for.
import { apolloList } from './lists/apollo.mjs';
import { graphcacheList } from './lists/graphcache.mjs';
import { PUSH, until } from './lists/open.mjs';

const [url, token] = process.argv.slice(2);
const headers = { authorization: `Bearer ${token}` };

// Another device.
async function others(changes) {
  const body = JSON.stringify({ query: PUSH, variables: { input: { changes } } });
  const answer = await fetch(url, { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body });
  const { data, errors } = await answer.json();
  if (errors || data.pushChanges.results.some(({ status }) => status !== 'APPLIED')) throw new Error(JSON.stringify({ data, errors }));
}

const day = (n) => `2026-03-0${n}T00:00:00.000Z`;

// Two pages; then another device adds, edits, moves, completes and deletes, and this one edits.
async function story(audience, makeList) {
  let requests = 0;
  const counted = (input, init) => {
    if (String(init?.body).includes('tasks(')) requests += 1;
    return fetch(input, init);
  };
  const id = (name) => `${audience}-${name}`;
  const create = (name, document) => ({ task: { create: { id: id(name), document: { audience, ...document } } } });
  const update = (name, set) => ({ task: { update: { id: id(name), baseVersion: 1, set } } });
  const shows = (titles) => until(() => list.shown().join() === titles.join());

  await others([1, 2, 3, 5].map((n) => create(n, { title: String(n), due: day(n) })));
  const where = { audience: { eq: audience }, done: { eq: false } };
  const list = await makeList({ url, token, fetch: counted, variables: { where, orderBy: ['due_ASC'] } });
  await list.open(2);
  await shows(['1', '2']);
  await list.more();
  await shows(['1', '2', '3', '5']);
  await others([
    create('new', { title: 'new', due: day(4) }),
    update(1, { title: 'renamed' }),
    update(2, { due: day(6) }),
    update(3, { done: true }),
    { task: { delete: { id: id(5), baseVersion: 1 } } },
  ]);
  await shows(['renamed', 'new', '2']);
  await list.push([update('new', { title: 'mine' })]);
  await shows(['renamed', 'mine', '2']);
  return { shown: list.shown(), requests };
}

const lists = { apollo: await story('team:apollo', apolloList), graphcache: await story('team:graphcache', graphcacheList) };
console.log(JSON.stringify(lists));
// The sockets stay open.
process.exit(0);
