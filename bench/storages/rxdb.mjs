// RxDB on its free storage for browsers, which is Dexie.

import { createRxDatabase } from 'rxdb';
import { getRxStorageDexie } from 'rxdb/plugins/storage-dexie';

const text = { type: 'string' };

const schema = {
  version: 0,
  primaryKey: 'id',
  type: 'object',
  properties: {
    id: { type: 'string', maxLength: 40 },
    audience: text,
    title: text,
    notes: text,
    done: { type: 'boolean' },
    priority: text,
    labels: { type: 'array', items: text },
    minutesSpent: { type: 'integer' },
    due: { type: 'string', maxLength: 30 },
    projectId: { type: ['string', 'null'] },
  },
  required: ['id', 'done', 'due'],
  indexes: [['done', 'due']],
};

export async function open() {
  const database = await createRxDatabase({ name: 'rxdb', storage: getRxStorageDexie() });
  await database.addCollections({ tasks: { schema } });
  return database;
}

export async function fill(documents) {
  const database = await open();
  for (let at = 0; at < documents.length; at += 1000) {
    const { error } = await database.tasks.bulkInsert(documents.slice(at, at + 1000));
    if (error.length > 0) throw new Error(JSON.stringify(error[0]));
  }
  await database.close();
}

export function live(database, listener) {
  const query = { selector: { done: false }, sort: [{ due: 'asc' }], limit: 50 };
  database.tasks.find(query).$.subscribe((found) => listener(found.map((it) => it.toJSON())));
}

export async function edit(database, id, changes) {
  await (await database.tasks.findOne(id).exec()).patch(changes);
}
