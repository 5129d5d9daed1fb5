// The clients that people use, each as its documentation sets it up, against the endpoint named by the first argument.
// The second is the secret that tokens are signed with. Prints one line of JSON: what each client has done.
import { apolloFromPage, apolloWithMultipart, apolloWithSocket } from './clients/apollo.mjs';
import { overGraphqlSse } from './clients/graphql-sse.mjs';
import { overGraphqlWs } from './clients/graphql-ws.mjs';
import { steps } from './clients/steps.mjs';
import { urqlWithEventStreams, urqlWithSocket } from './clients/urql.mjs';

const [url, secret] = process.argv.slice(2);
const clients = {
  apolloFromPage,
  apolloWithMultipart,
  apolloWithSocket,
  overGraphqlSse,
  overGraphqlWs,
  urqlWithEventStreams,
  urqlWithSocket,
};

const done = {};
await Promise.all(
  Object.entries(clients).map(async ([name, client]) => {
    done[name] = await steps(name, client, { url, secret });
  }),
);
console.log(JSON.stringify(done));
// Some of the clients keep their connections for a while.
process.exit(0);
