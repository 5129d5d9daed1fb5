// The gateway's role and user in MongoDB, with exactly the rights that it needs. Run it as an administrator:
//   mongosh "mongodb://db1/service?replicaSet=rs0" --username admin --file role.js
// The password is read from the variable that the gateway reads too.
const database = "service";
const collections = ["sites", "work_orders"]; // the names that @collection gives in the model
const prefix = "tidegate."; // the setting store.prefix

const admin = db.getSiblingDB("admin");
admin.createRole({
  role: "tidegate",
  roles: [],
  privileges: [
    {
      resource: { db: database, collection: "" },
      actions: ["find", "listCollections", "changeStream"],
    },
    ...collections.map((collection) => ({
      resource: { db: database, collection },
      actions: ["insert", "update", "remove", "listIndexes"],
    })),
    ...["feed", "state", "conflicts", "misfits"].map((name) => ({
      resource: { db: database, collection: prefix + name },
      actions: ["insert", "update", "remove", "createCollection", "createIndex"],
    })),
    // Only `tidegate doctor` needs these.
    ...["feed", "state", "conflicts"].map((name) => ({
      resource: { db: database, collection: prefix + name },
      actions: ["listIndexes"],
    })),
    { resource: { db: "local", collection: "oplog.rs" }, actions: ["find", "collStats"] },
  ],
});
admin.createUser({
  user: "tidegate",
  pwd: process.env.TIDEGATE_STORE__PASSWORD,
  roles: ["tidegate"],
});
