// Writes tasks as a service does, by Mongoose, which keeps fields of its own in documents. The argument is the URL of the
// database.
import mongoose from 'mongoose';

const id = (number) => `mongoose-${number}`;
const task = (number) => ({ _id: id(number), audience: 'team:demo', title: `Task ${number}`, minutesSpent: number });

await mongoose.connect(process.argv[2]);
const shape = { _id: String, audience: String, title: String, minutesSpent: Number, labels: { type: [String], default: undefined } };
const Task = mongoose.model('Task', new mongoose.Schema(shape, { collection: 'tasks', timestamps: true }));
await Task.create([1, 2, 3, 4, 5, 6].map(task));
const first = await Task.findById(id(1));
first.title = 'Changed';
first.minutesSpent += 10;
await first.save();
await Task.updateMany({ _id: id(2) }, [{ $set: { title: { $concat: ['$title', ', changed'] } } }], { updatePipeline: true });
await Task.replaceOne({ _id: id(3) }, { audience: 'team:demo', title: 'Replaced' });
await Task.bulkWrite([
  { updateOne: { filter: { _id: id(4) }, update: { title: 'In bulk' } } },
  { deleteOne: { filter: { _id: id(5) } } },
  { insertOne: { document: task(7) } },
]);
await mongoose.connection.transaction(async (session) => {
  await Task.updateOne({ _id: id(1) }, { $push: { labels: 'urgent' } }, { session });
  await Task.deleteOne({ _id: id(6) }, { session });
});
await mongoose.disconnect();
