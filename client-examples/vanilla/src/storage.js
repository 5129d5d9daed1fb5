// The client's state in IndexedDB: a record for each document, and one for the rest. A step is one transaction.

/** Opens the database of a user, in one tab at a time: this one keeps the lock until it ends. */
export async function openStore(name) {
  await new Promise((locked) => void navigator.locks.request(name, () => new Promise(locked)));
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => ["docs", "rest"].forEach((store) => opening.result.createObjectStore(store));
  const database = await settled(opening);

  return {
    /** The state as the last step left it; undefined at the first start. */
    async load() {
      const transaction = database.transaction(["docs", "rest"]);
      const docs = transaction.objectStore("docs");
      const reads = [transaction.objectStore("rest").get("state"), docs.getAllKeys(), docs.getAll()];
      const [rest, keys, values] = await Promise.all(reads.map(settled));
      return rest && { ...rest, docs: new Map(keys.map((key, nth) => [key, values[nth]])) };
    },

    /** Removes all that is stored. */
    async remove() {
      database.close();
      await settled(indexedDB.deleteDatabase(name));
    },

    /** Writes what differs between two states. It returns once that outlasts a crash. */
    async save(before, { docs, todo, reason, ...rest }) {
      const puts = [...docs].filter(([key, doc]) => before?.docs.get(key) !== doc);
      const gone = [...(before?.docs.keys() ?? [])].filter((key) => !docs.has(key));
      const isSame = before && Object.entries(rest).every(([name, value]) => before[name] === value);
      if (isSame && puts.length === 0 && gone.length === 0) return;
      const transaction = database.transaction(["docs", "rest"], "readwrite", { durability: "strict" });
      const store = transaction.objectStore("docs");
      for (const [key, doc] of puts) store.put(doc, key);
      for (const key of gone) store.delete(key);
      transaction.objectStore("rest").put(rest, "state");
      await new Promise((resolve, reject) => {
        transaction.oncomplete = resolve;
        transaction.onabort = () => reject(transaction.error);
      });
    },
  };
}

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
