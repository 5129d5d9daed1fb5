// A web server that edits an order by Mongoose while a device removes an item of it through the gateway. The arguments are
// the URL of the database, the gateway's GraphQL endpoint, and a device's token. Prints what became of the save.
import mongoose from 'mongoose';

const [database, endpoint, token] = process.argv.slice(2);

await mongoose.connect(database);
const item = { sku: String, qty: Number, warehouse: String };
const Order = mongoose.model('Order', new mongoose.Schema({ items: [item], note: String }, { collection: 'orders', timestamps: true }));

/** Asks the gateway until `done` says that its answer will do. */
async function ask(query, variables, done) {
  for (;;) {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
    const response = await fetch(endpoint, { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
    const { data, errors } = await response.json();
    if (errors) throw new Error(JSON.stringify(errors));
    if (done(data)) return data;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const items = ['a', 'b', 'c'].map((sku) => ({ sku, qty: 1, warehouse: `of ${sku}` }));
const { id } = await Order.create({ items, note: 'as it was' });
const read = await Order.findById(id);

const shown = await ask('query($id: ID!) { order(id: $id) { syncVersion items { sku qty } } }', { id }, (data) => data.order);
const left = shown.order.items.filter(({ sku }) => sku !== 'a');
const change = { order: { update: { id, baseVersion: shown.order.syncVersion, set: { items: left } } } };
const push = 'mutation($changes: [SyncChangeInput!]!) { pushChanges(input: { changes: $changes }) { results { status } } }';
const pushed = await ask(push, { changes: [change] }, (data) => data.pushChanges);

let saved = 'saved';
read.items[1].qty = 9;
try {
  await read.save();
} catch (error) {
  saved = error.name;
}
const stored = await Order.findById(id).lean();
console.log(JSON.stringify({
  pushed: pushed.pushChanges.results[0].status,
  saved,
  version: stored.__v,
  isLater: stored.updatedAt > read.createdAt,
  items: stored.items.map(({ _id, sku, qty, warehouse }) => [sku, qty, warehouse, _id.equals(read.items.find((item) => item.sku === sku)._id)]),
}));
await mongoose.disconnect();
