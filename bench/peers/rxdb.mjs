// RxDB's own server, as its documentation sets it up, on RxDB's storage for MongoDB.
import express from 'express';
import { createRxDatabase } from 'rxdb/plugins/core';
import { getRxStorageMongoDB } from 'rxdb/plugins/storage-mongodb';
import { createRxServer } from 'rxdb-server/plugins/server';
import { RxServerAdapterExpress } from 'rxdb-server/plugins/adapter-express';

const text = { type: 'string' };
const schema = {
  version: 0,
  type: 'object',
  primaryKey: 'id',
  properties: {
    id: { type: 'string', maxLength: 100 }, audience: text, title: text, notes: text, done: { type: 'boolean' }, priority: text,
    labels: { type: 'array', items: text }, minutesSpent: { type: 'integer' }, due: text,
  },
  required: ['id', 'audience', 'title', 'done', 'priority', 'labels', 'minutesSpent'],
};

const storage = getRxStorageMongoDB({ connection: process.env.MONGODB_URL });
// The storage puts each database of RxDB into one of MongoDB's by its name, whatever the URL says.
const name = new URL(process.env.MONGODB_URL).pathname.slice(1);
const database = await createRxDatabase({ name, storage, multiInstance: false });
await database.addCollections({ tasks: { schema } });

const app = express();
app.use(express.json({ limit: '16mb' }));
const server = await createRxServer({ database, adapter: RxServerAdapterExpress, serverApp: app, port: 0, hostname: '127.0.0.1' });
server.addReplicationEndpoint({ name: 'tasks', collection: database.tasks });
// The server itself does not report the port that the system chose.
const listener = app.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${listener.address().port}/`));
