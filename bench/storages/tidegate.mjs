// The client, with a gateway that is a function: what is measured is the device alone.

import { createClient, indexedDBStorage } from '@tidegate/client';
import { model } from '@tidegate/client-model';

export async function open() {
  return clientOf(() => Promise.reject(new TypeError('offline')));
}

/** A first sync of all documents, in pages. */
export async function fill(documents) {
  const pages = Math.ceil(documents.length / PAGE);
  const pageOf = (checkpoint) => {
    const nth = Number(checkpoint ?? 0);
    const changes = documents.slice(nth * PAGE, (nth + 1) * PAGE).map((it) => changeOf(it));
    const next = String(Math.min(nth + 1, pages));
    return { changes, checkpoint: next, hasMore: nth + 1 < pages, reset: nth === 0, revokedScopes: [], epoch: 'e' };
  };
  const client = await clientOf((_, { body }) => {
    const { query, variables } = JSON.parse(body);
    if (query.includes('changesSince')) return json({ changesSince: pageOf(variables.checkpoint) });
    if (query.includes('query Viewer')) return json({ viewer: { id: 'alice', lastMutationId: null } });
    return Promise.reject(new TypeError('offline'));
  });
  await new Promise((resolve) => client.status.subscribe(({ done }) => done >= documents.length && resolve()));
  await client.close();
}

export function live(client, listener) {
  const query = { where: { done: { eq: false } }, orderBy: ['due_ASC'], limit: 50 };
  client.tasks.live(query).subscribe(listener);
}

export async function edit(client, id, changes) {
  await client.tasks.update(id, changes);
}

const PAGE = 1000;

class NoSocket extends EventTarget {
  constructor() {
    super();
    queueMicrotask(() => this.onclose?.({ code: 1006, reason: '' }));
  }
  close() {}
}

async function clientOf(send) {
  const client = createClient({
    url: 'http://127.0.0.1/graphql',
    token: () => 'token',
    model,
    storage: indexedDBStorage('tidegate'),
    fetch: send,
    webSocket: NoSocket,
  });
  await client.tasks.get('0');
  return client;
}

function changeOf(document) {
  const synced = { __typename: 'Task', syncVersion: 1, syncScope: 's', ...document };
  return { type: 'Task', documentId: document.id, kind: 'UPSERT', version: 1, scope: 's', document: synced };
}

function json(data) {
  return Promise.resolve(new Response(JSON.stringify({ data })));
}
