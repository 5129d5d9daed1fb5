// Apollo Client: pages are one list by `relayStylePagination`, and changes are written into the cache.
import { ApolloClient, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { relayStylePagination } from '@apollo/client/utilities';

import { LIST, PUSH, belongs, compare, follow } from './open.mjs';

const TASK = gql('fragment Changed on Task { id audience title done due }');

export async function apolloList({ url, token, fetch, variables }) {
  const headers = { authorization: `Bearer ${token}` };
  const cache = new InMemoryCache({
    typePolicies: { Query: { fields: { tasks: relayStylePagination(['where', 'orderBy']) } } },
  });
  const client = new ApolloClient({ cache, link: new HttpLink({ uri: url, headers, fetch }) });
  const query = gql(LIST);
  const edges = () => cache.readQuery({ query, variables })?.tasks.edges ?? [];

  // Writes a change, and nothing else asks the gateway again.
  const apply = ({ kind, type, documentId, document }) => {
    const id = cache.identify({ __typename: type, id: documentId });
    if (kind !== 'UPSERT') {
      cache.evict({ id });
      cache.gc();
      return;
    }
    cache.writeFragment({ id, fragment: TASK, data: document });
    cache.updateQuery({ query, variables, overwrite: true }, (found) => {
      if (!found) return undefined;
      const others = found.tasks.edges.filter((edge) => edge.node.id !== documentId);
      const place = others.findIndex((edge) => compare(document, edge.node) < 0);
      const edge = { __typename: 'TaskEdge', cursor: '', node: document };
      if (belongs(variables.where, document)) others.splice(place < 0 ? others.length : place, 0, edge);
      return { tasks: { ...found.tasks, edges: others } };
    });
  };
  await follow({ url, token }, ({ changes }) => changes.changes.forEach(apply));

  let watched;
  return {
    open: async (first) => {
      watched = client.watchQuery({ query, variables: { ...variables, first } });
      watched.subscribe({});
    },
    more: () => {
      const after = cache.readQuery({ query, variables }).tasks.pageInfo.endCursor;
      return watched.fetchMore({ variables: { after } });
    },
    push: (changes) => client.mutate({ mutation: gql(PUSH), variables: { input: { changes } } }),
    shown: () => edges().map((edge) => edge.node.title),
  };
}
