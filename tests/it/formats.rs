//! Stores of the formats before, made by a gateway of that version (`tests/formats/make.py`). What their devices saw
//! then, they see after the conversion.

mod announced;
mod file;
mod steps;

use std::{fs, path::Path};

use async_compression::tokio::bufread::GzipDecoder;
use mongodb::{
    Database,
    bson::{Bson, Document, doc},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::harness::{
    CONFIG, Client, Server,
    mongod::{Deployment, fresh_database},
};

const MODEL: &str = include_str!("../formats/model.graphql");

/// A store of the format before, with the configuration of a gateway that is to serve it.
struct OldStore {
    directory: TempDir,
    /// What its devices saw.
    seen: Value,
    /// The database, if it is one of MongoDB.
    database: Option<Database>,
}

impl OldStore {
    async fn embedded() -> Self {
        let place = Path::new("tests/formats/embedded-3");
        let store = Self::configured(place, "embedded:data", None);
        let data = store.data();
        fs::create_dir(&data).unwrap();
        for note in ["restamped", "served-model.graphql"] {
            fs::copy(place.join(note), data.join(note)).unwrap();
        }
        let packed = fs::read(place.join("tidegate.redb.gz")).unwrap();
        let mut file = Vec::new();
        let mut unpacked = GzipDecoder::new(packed.as_slice());
        unpacked.read_to_end(&mut file).await.unwrap();
        fs::write(data.join("tidegate.redb"), file).unwrap();
        store
    }

    async fn mongodb() -> Self {
        Self::in_mongodb(Deployment::shared().await).await
    }

    async fn in_mongodb(deployment: &Deployment) -> Self {
        let (place, name) = (Path::new("tests/formats/mongodb-2"), fresh_database());
        let database = deployment.client().await.database(&name);
        let dump = fs::read(place.join("collections.bson")).unwrap();
        let mut rest = dump.as_slice();
        while !rest.is_empty() {
            let row = Document::from_reader(&mut rest).unwrap();
            let name = row.get_str("collection").unwrap();
            let collection = database.collection::<Document>(name);
            let document = row.get_document("document").unwrap();
            collection.insert_one(document).await.unwrap();
        }
        Self::configured(place, &deployment.url(&name), Some(database))
    }

    fn configured(place: &Path, url: &str, database: Option<Database>) -> Self {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("model.graphql"), MODEL).unwrap();
        // The records of the store get older with each day.
        let config = CONFIG.replace("embedded:data", url);
        let keep = "[store]\ntombstone_retention = \"3650d\"\nfollow = false\n";
        let config = config.replace("[store]\n", keep);
        fs::write(directory.path().join("tidegate.toml"), config).unwrap();
        let seen = fs::read_to_string(place.join("devices.json")).unwrap();
        Self {
            directory,
            seen: serde_json::from_str(&seen).unwrap(),
            database,
        }
    }

    fn data(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    fn users(&self) -> impl Iterator<Item = &String> {
        self.seen["users"].as_object().unwrap().keys()
    }

    fn client(&self, server: &Server, user: &str) -> Client {
        server.client_with(user, &self.seen["users"][user])
    }

    async fn send(&self, client: &Client, query: &str, variables: Value) -> Value {
        let query = self.seen["queries"][query].as_str().unwrap();
        client.data(query, variables).await
    }

    /// All that devices see is what they saw before.
    async fn expect_unchanged(&self, server: &Server) {
        for user in self.users() {
            let client = self.client(server, user);
            let pull = async |checkpoint: &Value| {
                let variables = json!({"checkpoint": checkpoint});
                self.send(&client, "pull", variables).await["changesSince"].take()
            };
            let known = |part: &str| self.seen[part][user].clone();
            let page = |mut page: Value| {
                page["checkpoint"].take();
                page
            };
            assert_eq!(
                page(pull(&Value::Null).await),
                page(known("fresh")),
                "{user}"
            );
            let since = pull(&self.seen["middle"][user]).await;
            assert_eq!(page(since), page(known("since_middle")), "{user}");
            let nothing = pull(&known("fresh")["checkpoint"]).await;
            assert_eq!(
                (&nothing["changes"], &nothing["reset"]),
                (&json!([]), &json!(false)),
                "{user}"
            );
            for (query, seen) in [("conflicts", "conflicts"), ("viewer", "viewers")] {
                let now = self.send(&client, query, json!({})).await;
                assert_eq!(now, self.seen[seen][user], "{user}");
            }
        }
    }

    /// The last push of each device, sent again, gets its answer again and has no effect. So does a resolution.
    async fn expect_repeats(&self, server: &Server) {
        for user in self.users() {
            let pushes = self.seen["pushes"].as_array().unwrap().iter();
            let last = pushes.rev().find(|push| push["user"] == **user).unwrap();
            let client = self.client(server, user);
            let push = json!({"push": last["push"]});
            let answer = self.send(&client, "push", push).await["pushChanges"].take();
            let said = |answer: &Value, duplicate: bool| {
                let results = answer["results"].as_array().unwrap().iter();
                let results = results.map(|result| {
                    assert_eq!(result["duplicate"], duplicate);
                    json!([
                        result["documentId"],
                        result["mutationId"],
                        result["status"],
                        result["version"],
                        result["error"]
                    ])
                });
                results.collect::<Vec<_>>()
            };
            assert_eq!(said(&answer, true), said(&last["answer"], false), "{user}");
        }
        let Value::Object(resolution) = &self.seen["resolution"] else {
            panic!("{}", self.seen);
        };
        let client = self.client(server, resolution["user"].as_str().unwrap());
        let again = self.send(&client, "resolve", json!({"it": resolution["input"]}));
        assert_eq!(again.await, resolution["answer"]);
    }

    /// Devices edit on: what waits in the inbox can be settled, and fields keep what they had.
    async fn expect_edits(&self, server: &Server) {
        let (alice, bob) = (self.client(server, "alice"), self.client(server, "bob"));
        let push = |set: Value, base: i64| json!({"push": {"changes": [{"order": {"update": {"id": "pump", "baseVersion": base, "set": set}}}]}});
        let version = |seen: &Value| {
            let changes = seen["changes"].as_array().unwrap().iter();
            let mut pumps = changes.filter(|change| change["documentId"] == "pump");
            pumps.next().unwrap()["document"].clone()
        };
        let before = version(&self.seen["fresh"]["bob"]);
        let base = before["syncVersion"].as_i64().unwrap();
        let edited = self
            .send(&bob, "push", push(json!({"minutes": 70}), base))
            .await;
        let result = &edited["pushChanges"]["results"][0];
        assert_eq!(result["status"], "APPLIED", "{edited}");
        let mut expected = before.clone();
        (expected["minutes"], expected["syncVersion"]) = (70.into(), (base + 1).into());
        assert_eq!(result["document"], expected);

        let conflicts = &self.seen["conflicts"]["alice"]["conflicts"]["nodes"];
        let waits = conflicts.as_array().unwrap().iter();
        let mut waits = waits.filter(|conflict| conflict["fields"] == json!(["site", "title"]));
        let conflict = &waits.next().unwrap()["id"];
        let mine = json!({"conflictId": conflict, "baseVersion": base + 1, "resolution": {"take": "MINE"}});
        let settled = self.send(&alice, "resolve", json!({"it": mine})).await;
        assert_eq!(
            settled["resolveConflict"]["result"]["status"], "APPLIED",
            "{settled}"
        );
        let page = self.send(&bob, "pull", json!({})).await["changesSince"].take();
        let pump = version(&page);
        assert_eq!(pump["orderTitle"], "Mend the pump");
        assert_eq!(pump["site"]["street"], "Quay 2");
        assert_eq!(pump["remark"], before["remark"]);
        assert_eq!(pump["stops"], before["stops"]);
    }

    /// All documents of the collections, without what differs from run to run.
    async fn dump(&self) -> Vec<(String, Document)> {
        let database = self.database.as_ref().unwrap();
        let mut dump = Vec::new();
        let mut names = database.list_collection_names().await.unwrap();
        names.sort();
        for name in names {
            let collection = database.collection::<Document>(&name);
            let found = collection.find(doc! {}).sort(doc! { "_id": 1 });
            let mut found = found.await.unwrap();
            while found.advance().await.unwrap() {
                let mut document = found.deserialize_current().unwrap();
                // Each start takes a block of numbers for scopes.
                if document.contains_key("h") && name == "tidegate.state" {
                    let (head, floor) = (document.remove("h"), document.remove("f"));
                    document = doc! { "_id": document.get("_id"), "h": head, "f": floor };
                }
                let differs = |id: &Bson| {
                    let id = id.as_str().unwrap_or_default();
                    let kinds = ["live\0", "gateway\0", "scopeNumbers", "tokenKey"];
                    kinds.iter().any(|kind| id.starts_with(kind))
                };
                if !differs(document.get("_id").unwrap()) {
                    dump.push((name.clone(), document));
                }
            }
        }
        dump
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_of_a_converted_store_go_on_as_if_nothing_had_happened() {
    for store in [OldStore::embedded().await, OldStore::mongodb().await] {
        let server = Server::serve(&store.directory);
        store.expect_unchanged(&server).await;
        store.expect_repeats(&server).await;
        store.expect_unchanged(&server).await;
        server.stop();
        let again = Server::serve(&store.directory);
        store.expect_unchanged(&again).await;
        store.expect_edits(&again).await;
    }
}
