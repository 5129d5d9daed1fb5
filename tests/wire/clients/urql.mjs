// urql: operations over HTTP, queries by GET and persisted by their hash; subscriptions over a socket, or in event streams.
import { Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { authExchange } from '@urql/exchange-auth';
import { persistedExchange } from '@urql/exchange-persisted';

import { socket } from './graphql-ws.mjs';

const refreshing = (session) =>
  authExchange(async (utils) => ({
    addAuthToOperation: (operation) => utils.appendHeaders(operation, { authorization: session.authorization }),
    didAuthError: ({ graphQLErrors }) => graphQLErrors.some(({ extensions }) => extensions.code === 'UNAUTHENTICATED'),
    refreshAuth: async () => session.refresh(),
  }));

function calls(client) {
  const run = (query, variables) => (query.startsWith('mutation') ? client.mutation : client.query).call(client, query, variables);
  return {
    hashes: true,
    run: async (query, variables) => {
      const { data, error } = await run(query, variables).toPromise();
      if (error) throw error;
      return data;
    },
    // A stream that ends without a message has to be requested again.
    follow: (query, next) => {
      let followed;
      let stopped = false;
      const begin = () => {
        followed = client.subscription(query, {}).subscribe(({ data, error, hasNext }) => {
          if (error) throw error;
          if (data) next(data);
          if (!hasNext && !stopped) setImmediate(begin);
        });
      };
      begin();
      return () => {
        stopped = true;
        followed.unsubscribe();
      };
    },
  };
}

export function urqlWithSocket(url, session, fetch) {
  const ws = socket(url, session);
  const forwardSubscription = ({ query, variables }) => ({
    subscribe: (sink) => ({ unsubscribe: ws.subscribe({ query, variables }, sink) }),
  });
  return calls(
    new Client({
      url,
      fetch,
      exchanges: [refreshing(session), persistedExchange(), fetchExchange, subscriptionExchange({ forwardSubscription })],
    }),
  );
}

export const urqlWithEventStreams = (url, session, fetch) =>
  calls(
    new Client({
      url,
      fetch,
      fetchSubscriptions: true,
      exchanges: [refreshing(session), persistedExchange({ preferGetForPersistedQueries: true }), fetchExchange],
    }),
  );
