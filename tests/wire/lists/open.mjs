// A list of the open tasks of a team by their due date: what is asked for, and where a changed task belongs in it.
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';

export const LIST = `query Open($where: TaskWhere, $orderBy: [TaskOrder!], $first: Int, $after: String) {
  tasks(where: $where, orderBy: $orderBy, first: $first, after: $after) {
    __typename
    edges { __typename cursor node { __typename id audience title done due } }
    pageInfo { __typename hasNextPage endCursor }
  }
}`;
export const CHANGES = `subscription Changes { changes(from: NOW, types: [Task]) {
  __typename
  changes { __typename kind type documentId document { __typename ... on Task { id audience title done due } } }
} }`;
export const PUSH = `mutation Push($input: PushChangesInput!) { pushChanges(input: $input) {
  __typename
  results { __typename status document { __typename ... on Task { id audience title done due } } }
} }`;

// The `where` of the list, evaluated on a task.
export const belongs = (where, task) => task.audience === where.audience.eq && task.done === where.done.eq;

// Its order, as the gateway has it: no due date comes first, and ties are ordered by id.
export const compare = (a, b) => order(a.due ?? '', b.due ?? '') || order(a.id, b.id);
const order = (a, b) => (a < b ? -1 : Number(a > b));

// Subscribes to changes. Resolves when the subscription has begun.
export async function follow({ url, token }, next) {
  const socket = createClient({
    url: url.replace('http', 'ws'),
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${token}` },
    lazy: false,
  });
  const opened = new Promise((done) => {
    socket.on('connected', done);
  });
  socket.subscribe(
    { query: CHANGES },
    {
      next: ({ data, errors }) => {
        if (errors) throw new Error(JSON.stringify(errors));
        next(data);
      },
      error: (error) => {
        throw error;
      },
      complete: () => {},
    },
  );
  await opened;
}

export async function until(holds) {
  for (let tries = 0; tries < 400; tries += 1) {
    if (holds()) return;
    await new Promise((done) => {
      setTimeout(done, 25);
    });
  }
  throw new Error('it did not come');
}
