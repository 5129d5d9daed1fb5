// Fills a shop as a service does, by Mongoose: 60 users, 70 orders and 70 products. A few documents are as old services left
// them: they do not fit what the others say. The first argument is the URL of the database. With `close` as the second, the
// service closes an order instead.
import mongoose from 'mongoose';

const { Schema } = mongoose;
const { ObjectId } = Schema.Types;

const address = new Schema({ street: String, city: String }, { _id: false });
const userSchema = new Schema(
  { email: { type: String, required: true }, name: String, address, interests: [String], birthday: Date, settings: { type: Map, of: Boolean } },
  { timestamps: true },
);
const productSchema = new Schema({
  name: { type: String, required: true },
  price: mongoose.Schema.Types.Decimal128,
  weight: Number,
  sku: { type: Schema.Types.UUID, default: () => new mongoose.Types.UUID() },
});
const line = new Schema({ product: { type: ObjectId, ref: 'Product' }, quantity: Number, note: String });
const orderSchema = new Schema(
  {
    user: { type: ObjectId, ref: 'User', required: true },
    status: { type: String, enum: ['open', 'paid', 'sent'], default: 'open' },
    items: [line],
    paidAt: Date,
  },
  { timestamps: true },
);
const User = mongoose.model('User', userSchema);
const Product = mongoose.model('Product', productSchema);
const Order = mongoose.model('Order', orderSchema);

const each = (count, make) => Array.from({ length: count }, (_, number) => make(number));

async function fill() {
  const users = await User.create(
    each(60, (n) => ({
      email: `user${n}@example.com`,
      name: `User ${n}`,
      interests: n % 2 ? ['hiking', 'tea, green'] : [],
      settings: { [`theme-${n}`]: true },
      ...(n % 3 ? { address: { street: `Street ${n}`, city: n % 2 ? 'Rome' : 'New York' } } : {}),
      ...(n % 4 ? { birthday: new Date(Date.UTC(1980, 0, 1 + n)) } : {}),
    })),
  );
  const products = await Product.create(
    each(70, (n) => ({ name: `Product ${n}`, price: `${n}.50`, weight: n % 2 ? n : n + 0.25 })),
  );
  await Order.create(
    each(70, (n) => ({
      user: users[n % 60],
      status: ['open', 'paid', 'sent'][n % 3],
      items: each((n % 3) + 1, (m) => ({ product: products[(n + m) % 70], quantity: m + 1, ...(m ? { note: `Note ${n}` } : {}) })),
      ...(n % 3 ? { paidAt: new Date(Date.UTC(2026, 4, 1, 9, n)) } : {}),
    })),
  );
  // What other services have left: past the schema, as `collection` writes.
  await Product.collection.updateOne({ _id: products[7]._id }, { $set: { name: 7 } });
  await Product.collection.updateOne({ _id: products[8]._id }, { $set: { price: 'on request' } });
}

async function close() {
  const order = await Order.findOne({ status: 'open' }).sort({ _id: 1 });
  order.status = 'sent';
  order.items[0].quantity = 9;
  await order.save();
  process.stdout.write(String(order._id));
}

await mongoose.connect(process.argv[2]);
await (process.argv[3] === 'close' ? close() : fill());
await mongoose.disconnect();
