// graphql-ws: everything over one socket.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

// The client comes back after 4403, which the gateway closes with when a token ends, and asks for a token then.
export function socket(url, session) {
  const authorization = session.supplier();
  return createClient({
    url: url.replace('http', 'ws'),
    webSocketImpl: WebSocket,
    connectionParams: () => ({ authorization: authorization() }),
    retryAttempts: Infinity,
    retryWait: async () => {},
  });
}

function subscribe(client, request, next, done) {
  return client.subscribe(request, {
    next: ({ data, errors }) => (errors ? done(new Error(JSON.stringify(errors))) : next(data)),
    error: done,
    complete: () => {},
  });
}

// The same calls as graphql-sse has.
export const calls = (client) => ({
  run: (query, variables) =>
    new Promise((resolve, reject) => subscribe(client, { query, variables }, resolve, reject)),
  follow: (query, next) =>
    subscribe(client, { query }, next, (error) => {
      throw error;
    }),
});

export const overGraphqlWs = (url, session) => calls(socket(url, session));
