// Dexie, whose live queries watch the ranges that they have read.

import { Dexie, liveQuery } from 'dexie';

export async function open() {
  const database = new Dexie('dexie');
  // Truth values cannot be indexed.
  database.version(1).stores({ tasks: 'id,[open+due]' });
  await database.open();
  return database;
}

export async function fill(documents) {
  const database = await open();
  for (let at = 0; at < documents.length; at += 1000) {
    await database.tasks.bulkPut(documents.slice(at, at + 1000).map((it) => ({ ...it, open: it.done ? 0 : 1 })));
  }
  database.close();
}

export function live(database, listener) {
  const range = database.tasks.where('[open+due]').between([1, Dexie.minKey], [1, Dexie.maxKey]);
  liveQuery(() => range.limit(50).toArray()).subscribe(listener);
}

export async function edit(database, id, changes) {
  await database.tasks.update(id, changes);
}
