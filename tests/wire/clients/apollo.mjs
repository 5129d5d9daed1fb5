// Apollo Client: operations over HTTP, persisted by their hash; subscriptions over a socket, or as multipart responses.
import { createHash } from 'node:crypto';

import { ApolloClient, ApolloLink, CombinedGraphQLErrors, CombinedProtocolErrors, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { SetContextLink } from '@apollo/client/link/context';
import { ErrorLink } from '@apollo/client/link/error';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { OperationTypeNode } from 'graphql';

import { socket } from './graphql-ws.mjs';
import { fromPage } from './page.mjs';

const sha256 = (text) => createHash('sha256').update(text).digest('hex');

// A new token and another try, where the gateway says that the token has ended.
const refreshing = (session) =>
  new ErrorLink(({ error, operation, forward }) => {
    const told = CombinedGraphQLErrors.is(error) || CombinedProtocolErrors.is(error) ? error.errors : [];
    if (!told.some(({ extensions }) => extensions?.code === 'UNAUTHENTICATED')) return undefined;
    session.refresh();
    return forward(operation);
  });

const signed = (session) =>
  new SetContextLink(({ headers }) => ({ headers: { ...headers, authorization: session.authorization } }));

const http = (url, session, fetch, options) =>
  ApolloLink.from([refreshing(session), signed(session), new PersistedQueryLink({ sha256, ...options }), new HttpLink({ uri: url, fetch })]);

function calls(link, options) {
  const client = new ApolloClient({ link, cache: new InMemoryCache(), ...options });
  return {
    hashes: true,
    run: async (text, variables) => {
      const document = gql(text);
      const { data } = text.startsWith('mutation')
        ? await client.mutate({ mutation: document, variables })
        : await client.query({ query: document, variables, fetchPolicy: 'network-only' });
      return data;
    },
    follow: (text, next) => {
      const followed = client.subscribe({ query: gql(text) }).subscribe(({ data, error }) => {
        if (error) throw error;
        next(data);
      });
      return () => followed.unsubscribe();
    },
  };
}

export const apolloWithSocket = (url, session, fetch) =>
  calls(
    ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      new GraphQLWsLink(socket(url, session)),
      http(url, session, fetch),
    ),
  );

export const apolloWithMultipart = (url, session, fetch) =>
  calls(http(url, session, fetch, { useGETForHashedQueries: true }));

// A page that says which app it is, whose requests are traced, and that asks the browser first.
export const apolloFromPage = (url, session, fetch) =>
  calls(http(url, session, fromPage('https://app.example.com', fetch)), {
    clientAwareness: { name: 'shop', version: '1.2.3' },
  });
