// An offline-first endpoint as a Node developer would write it today: Apollo Server with MongoDB's driver, the documents in
// one collection and what changed in another, bulk writes, versions checked, no transactions.
import { ApolloServer } from '@apollo/server';
import { startStandaloneServer } from '@apollo/server/standalone';
import { MongoClient } from 'mongodb';

const typeDefs = `#graphql
  type Query { changesSince(scope: ID!, after: Int! = 0, limit: Int! = 500): Page! }
  type Mutation { pushChanges(scope: ID!, changes: [ChangeInput!]!): [Result!]! }
  type Page { changes: [Change!]! checkpoint: Int! hasMore: Boolean! }
  type Change { documentId: ID! version: Int! document: Task }
  type Task {
    id: ID! audience: String! title: String! notes: String done: Boolean! priority: Priority! labels: [String!]!
    minutesSpent: Int! due: String
  }
  type Result { id: ID! version: Int status: Status! }
  enum Priority { LOW NORMAL HIGH }
  enum Status { APPLIED CONFLICT }
  input ChangeInput { id: ID! baseVersion: Int create: TaskInput set: TaskPatch }
  input TaskInput {
    title: String! notes: String done: Boolean! = false priority: Priority! = NORMAL labels: [String!]! = []
    minutesSpent: Int! = 0 due: String
  }
  input TaskPatch { title: String notes: String done: Boolean priority: Priority labels: [String!] minutesSpent: Int due: String }
`;

const client = new MongoClient(process.env.MONGODB_URL, { writeConcern: { w: 'majority', journal: true } });
const database = (await client.connect()).db();
const [tasks, changes, scopes] = ['tasks', 'changes', 'scopes'].map((name) => database.collection(name));
await changes.createIndex({ scope: 1, seq: 1 });

const stored = ({ due, ...task }) => (due == null ? task : { ...task, due: new Date(due) });

function statementOf(scope, { id, baseVersion, create, set }) {
  if (create) return { insertOne: { document: { _id: id, audience: scope, version: 1, ...stored(create) } } };
  const filter = { _id: id, audience: scope, version: baseVersion };
  return { updateOne: { filter, update: { $set: stored(set), $inc: { version: 1 } } } };
}

// Bulk writes report how many updates met their version, not which. If one did not, the stored versions show it.
async function applied(input, written) {
  const updates = input.filter(({ create }) => !create);
  const refused = new Set((written.mongoError?.writeErrors ?? []).map(({ index }) => input[index].id));
  if (written.matchedCount !== updates.length) {
    const found = await tasks.find({ _id: { $in: updates.map(({ id }) => id) } }, { projection: { version: 1 } }).toArray();
    const versions = new Map(found.map(({ _id, version }) => [_id, version]));
    for (const { id, baseVersion } of updates) if (versions.get(id) !== baseVersion + 1) refused.add(id);
  }
  return input.filter(({ id }) => !refused.has(id));
}

async function pushChanges(_, { scope, changes: input }) {
  const statements = input.map((change) => statementOf(scope, change));
  const written = await tasks.bulkWrite(statements, { ordered: false }).catch((error) => ({ ...error.result, mongoError: error }));
  const done = await applied(input, written);
  const versionOf = ({ create, baseVersion }) => (create ? 1 : baseVersion + 1);
  if (done.length > 0) {
    const next = await scopes.findOneAndUpdate(
      { _id: scope }, { $inc: { seq: done.length } }, { upsert: true, returnDocument: 'after' },
    );
    const first = next.seq - done.length + 1;
    const entry = (change, i) => ({ scope, seq: first + i, version: versionOf(change) });
    await changes.bulkWrite(done.map((change, i) => (change.create
      ? { insertOne: { document: { _id: change.id, ...entry(change, i) } } }
      : { replaceOne: { filter: { _id: change.id }, replacement: entry(change, i) } })), { ordered: false });
  }
  const ids = new Set(done.map(({ id }) => id));
  return input.map((change) => (ids.has(change.id)
    ? { id: change.id, version: versionOf(change), status: 'APPLIED' }
    : { id: change.id, status: 'CONFLICT' }));
}

async function changesSince(_, { scope, after, limit }) {
  const page = await changes.find({ scope, seq: { $gt: after } }).sort({ seq: 1 }).limit(limit).toArray();
  const found = await tasks.find({ _id: { $in: page.map(({ _id }) => _id) } }).toArray();
  const documents = new Map(found.map(({ _id, due, ...task }) => [_id, { id: _id, ...task, due: due?.toISOString() }]));
  return {
    changes: page.map(({ _id, version }) => ({ documentId: _id, version, document: documents.get(_id) })),
    checkpoint: page.at(-1)?.seq ?? after,
    hasMore: page.length === limit,
  };
}

const server = new ApolloServer({ typeDefs, resolvers: { Query: { changesSince }, Mutation: { pushChanges } } });
const { url } = await startStandaloneServer(server, { listen: { host: '127.0.0.1', port: 0 } });
console.log(url);
