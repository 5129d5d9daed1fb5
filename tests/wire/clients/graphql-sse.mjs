// graphql-sse: everything in event streams, one for each operation.
import { createClient } from 'graphql-sse';

import { calls } from './graphql-ws.mjs';

export function overGraphqlSse(url, session) {
  const authorization = session.supplier();
  const client = createClient({
    url,
    headers: () => ({ authorization: authorization() }),
    retryAttempts: Infinity,
    retry: async () => {},
  });
  return calls(client);
}
