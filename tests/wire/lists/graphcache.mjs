// urql's Graphcache: pages are one list by `relayPagination`, and an update of `changes` moves the edges of its pages.
import { Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { cacheExchange } from '@urql/exchange-graphcache';
import { relayPagination } from '@urql/exchange-graphcache/extras';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';

import { CHANGES, LIST, PUSH, belongs, compare } from './open.mjs';

const EDGE = `fragment Placed on TaskEdge { __typename cursor node { __typename id audience title done due } }`;

// Where a changed task belongs, on the pages that the cache has of a list.
function place(cache, { kind, type, documentId, document }) {
  const pages = cache.inspectFields('Query').filter(({ fieldName }) => fieldName === 'tasks');
  const order = ({ arguments: { after } }) => (after ? 1 : 0);
  const connections = pages.sort((a, b) => order(a) - order(b)).map((page) => ({
    where: page.arguments.where,
    entity: cache.resolve('Query', page.fieldKey),
  }));
  const taskOf = (edge) => {
    const node = cache.resolve(edge, 'node');
    return { id: cache.resolve(node, 'id'), due: cache.resolve(node, 'due') };
  };
  let isPlaced = kind !== 'UPSERT';
  connections.forEach(({ where, entity }, index) => {
    const edges = cache.resolve(entity, 'edges').filter((edge) => taskOf(edge).id !== documentId);
    const isLast = index === connections.length - 1;
    if (!isPlaced && belongs(where, document)) {
      const found = edges.findIndex((edge) => compare(document, taskOf(edge)) < 0);
      if (found >= 0 || isLast) {
        const edge = { __typename: 'TaskEdge', cursor: `placed:${documentId}`, node: document };
        cache.writeFragment(EDGE, edge);
        edges.splice(found < 0 ? edges.length : found, 0, edge);
        isPlaced = true;
      }
    }
    cache.link(entity, 'edges', edges);
  });
  if (kind !== 'UPSERT') cache.invalidate({ __typename: type, id: documentId });
}

const none = () => null;

export async function graphcacheList({ url, token, fetch, variables }) {
  const authorization = `Bearer ${token}`;
  const cache = cacheExchange({
    resolvers: { Query: { tasks: relayPagination() } },
    keys: {
      TaskEdge: ({ cursor }) => cursor,
      TaskConnection: none,
      PageInfo: none,
      SyncPage: none,
      SyncChange: none,
      PushChangesPayload: none,
      SyncResult: none,
    },
    updates: {
      Subscription: {
        changes: ({ changes }, _arguments, store) => changes.changes.forEach((change) => place(store, change)),
      },
    },
  });
  const socket = createClient({ url: url.replace('http', 'ws'), webSocketImpl: WebSocket, connectionParams: { authorization }, lazy: false });
  const forwardSubscription = ({ query, variables: of }) => ({
    subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables: of }, sink) }),
  });
  const client = new Client({
    url,
    fetch,
    preferGetMethod: false,
    fetchOptions: { headers: { authorization } },
    exchanges: [cache, fetchExchange, subscriptionExchange({ forwardSubscription })],
  });
  const opened = new Promise((done) => {
    socket.on('connected', done);
  });
  client.subscription(CHANGES, {}).subscribe(({ error }) => {
    if (error) throw error;
  });
  await opened;

  // The last page shows all pages before it too.
  let shown;
  let page;
  const show = (arguments_) => {
    page?.unsubscribe();
    page = client.query(LIST, { ...variables, ...arguments_ }).subscribe(({ data, error }) => {
      if (error) throw error;
      if (data) shown = data.tasks;
    });
  };
  return {
    open: async (first) => show({ first }),
    more: async () => show({ first: 2, after: shown.pageInfo.endCursor }),
    push: async (changes) => {
      const { error } = await client.mutation(PUSH, { input: { changes } }).toPromise();
      if (error) throw error;
    },
    shown: () => (shown?.edges ?? []).map((edge) => edge.node.title),
  };
}
