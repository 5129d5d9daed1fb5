// Writes tasks as a service does, by MongoDB's driver for Node. The argument is the URL of the database.
import { MongoClient } from 'mongodb';

const id = (number) => `mongodb-${number}`;
const task = (number) => ({ _id: id(number), audience: 'team:demo', title: `Task ${number}`, minutesSpent: number });

const client = await new MongoClient(process.argv[2]).connect();
const tasks = client.db().collection('tasks');
await tasks.insertMany([1, 2, 3, 4, 5, 6].map(task));
await tasks.updateOne({ _id: id(1) }, { $set: { title: 'Changed' }, $inc: { minutesSpent: 10 } });
await tasks.updateMany({ _id: id(2) }, [{ $set: { title: { $concat: ['$title', ', changed'] } } }]);
await tasks.replaceOne({ _id: id(3) }, { audience: 'team:demo', title: 'Replaced' });
await tasks.bulkWrite([
  { updateOne: { filter: { _id: id(4) }, update: { $set: { title: 'In bulk' } } } },
  { deleteOne: { filter: { _id: id(5) } } },
  { insertOne: { document: task(7) } },
]);
await client.withSession((session) =>
  session.withTransaction(async () => {
    await tasks.updateOne({ _id: id(1) }, { $push: { labels: 'urgent' } }, { session });
    await tasks.deleteOne({ _id: id(6) }, { session });
  }),
);
await client.close();
