//! `erase` and `export`, on both stores: what is kept of a person is printed and goes, and nothing brings it back.

mod killed;

use std::{path::Path, process::Output};

use mongodb::{
    Database,
    bson::{Document, doc},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    CONFIG, Client, Replica, Server, configured, delete,
    mongod::{Deployment, fresh_database, until},
    update, with_secret,
};

const MODEL: &str = r#"
extend schema @grant(scope: "team:{teams}", access: WRITE)

type Task @collection(name: "tasks") @scope(by: "{audience}") @conflict(policy: MANUAL) {
  id: ID!
  audience: String! @default(value: "team:demo")
  title: String!
  notes: String
  done: Boolean
  labels: [String!]
  minutesSpent: Int
  priority: Int
  due: DateTime
}
"#;

/// What alice types, and nobody else.
const SECRET: &str = "a secret of hers";

/// A store and what runs on it.
struct Place {
    directory: TempDir,
    /// The embedded store is erased while no gateway has it open.
    database: Option<Database>,
    server: Option<Server>,
}

impl Place {
    fn embedded() -> Self {
        Self::on("embedded:data", None)
    }

    async fn mongodb() -> Self {
        let deployment = Deployment::shared().await;
        let name = fresh_database();
        let database = deployment.client().await.database(&name);
        Self::on(&deployment.url(&name), Some(database))
    }

    fn on(url: &str, database: Option<Database>) -> Self {
        let directory = configured(&CONFIG.replace("embedded:data", url));
        std::fs::write(directory.path().join("model.graphql"), MODEL).unwrap();
        let server = Some(Server::serve(&directory));
        Self {
            directory,
            database,
            server,
        }
    }

    fn client(&self, user: &str) -> Client {
        self.server.as_ref().unwrap().client(user)
    }

    fn pause(&mut self) {
        if self.database.is_none() {
            self.server.take().unwrap().stop();
        }
    }

    fn go_on(&mut self) {
        if self.server.is_none() {
            self.server = Some(Server::serve(&self.directory));
        }
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = run(self.directory.path(), arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn exported(&self, user: &str) -> Vec<Value> {
        let printed = self.run(&["export", "--user", user, "--config", "tidegate.toml"]);
        let lines = printed.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn erase(&self, arguments: &[&str]) -> String {
        self.run(&[&["erase", "--config", "tidegate.toml"], arguments].concat())
    }

    /// All that Tidegate keeps in its collections, as text; nothing for a file.
    async fn kept(&self) -> String {
        let mut kept = String::new();
        let Some(database) = &self.database else {
            return kept;
        };
        for name in ["feed", "state", "conflicts", "misfits"] {
            let collection = database.collection::<Document>(&format!("tidegate.{name}"));
            let mut found = collection.find(doc! {}).await.unwrap();
            while found.advance().await.unwrap() {
                kept += &format!("{:?}\n", found.deserialize_current().unwrap());
            }
        }
        kept
    }
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    with_secret(directory, arguments).output().unwrap()
}

async fn push(client: &Client, first: i64, changes: Value) -> Value {
    let epoch = client.epoch().await;
    let input = json!({"client": {"id": "a phone", "firstMutationId": first}, "epoch": epoch, "changes": changes});
    let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { lastMutationId results { status } } }";
    client.send(query, json!({"input": input})).await
}

fn created(id: &str, title: &str) -> Value {
    json!({"task": {"create": {"id": id, "document": {"title": title}}}})
}

async fn waiting(client: &Client) -> usize {
    let data = client
        .data("{ conflicts { nodes { id } } }", json!({}))
        .await;
    data["conflicts"]["nodes"].as_array().unwrap().len()
}

/// alice writes two tasks, bob edits one of them, and an edit of hers waits in the inbox.
async fn written(place: &Place) -> (Client, Client) {
    let (alice, bob) = (place.client("alice"), place.client("bob"));
    let answer = push(
        &alice,
        1,
        json!([created("hers", SECRET), created("both", "Go")]),
    )
    .await;
    assert_eq!(
        answer["data"]["pushChanges"]["lastMutationId"], 2,
        "{answer}"
    );
    bob.push_all(json!([update("both", 1, json!({"title": "Go on"}))]))
        .await;
    let stale = json!([update(
        "both",
        1,
        json!({"title": format!("Stop: {SECRET}")})
    )]);
    let answer = push(&alice, 3, stale).await;
    assert_eq!(
        answer["data"]["pushChanges"]["results"][0]["status"], "CONFLICT",
        "{answer}"
    );
    assert_eq!(waiting(&bob).await, 1);
    (alice, bob)
}

async fn a_person_is_erased_and_order_stays(mut place: Place) {
    let (alice, bob) = written(&place).await;
    let mut device = Replica::default();
    device.pull(&bob).await;
    place.pause();

    let exported = place.exported("alice");
    let kinds = exported.iter().map(|it| it["kind"].as_str().unwrap());
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        ["client", "conflict", "document", "document"]
    );
    assert_eq!(exported[0]["lastMutationId"], 3);
    assert_eq!(exported[1]["mine"]["title"], format!("Stop: {SECRET}"));
    assert_eq!(exported[3]["document"]["title"], SECRET);

    let refused = run(
        place.directory.path(),
        &["erase", "--config", "tidegate.toml", "--user", "alice"],
    );
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(complaint.contains("give --yes"), "{complaint}");
    let counts = "clients 1, conflicts 1, entries 2, declined givers 0\n";
    for _ in 0..2 {
        let printed = place.erase(&["--user", "alice", "--dry-run"]);
        assert_eq!(printed, format!("would erase: {counts}"));
    }
    let printed = place.erase(&["--user", "alice", "--yes"]);
    assert_eq!(printed, format!("erased: {counts}"));
    let printed = place.erase(&["--user", "alice", "--yes"]);
    let nothing = "erased: clients 0, conflicts 0, entries 0, declined givers 0\n";
    assert_eq!(printed, nothing, "twice is fine");
    assert_eq!(place.exported("alice"), [Value::Null; 0]);
    let kept = place.kept().await;
    assert!(
        !kept.contains("alice") && !kept.contains("Stop: "),
        "{kept}"
    );
    place.go_on();

    let server = place.server.as_ref().unwrap();
    let (alice, bob) = (alice.at(server), bob.at(server));
    assert_eq!(waiting(&bob).await, 0);
    let before = device.documents().clone();
    device.pull(&bob).await;
    assert_eq!(*device.documents(), before, "devices keep what they have");
    let repeated = push(
        &alice,
        1,
        json!([created("hers", SECRET), created("both", "Go")]),
    )
    .await;
    let code = &repeated["errors"][0]["extensions"]["code"];
    assert_eq!(code, "MUTATION_ID_REUSED", "{repeated}");
    let next = push(&alice, 4, json!([created("later", "Again")])).await;
    assert_eq!(
        next["data"]["pushChanges"]["results"][0]["status"], "APPLIED",
        "{next}"
    );
    assert_eq!(place.client("bob").task("later").await["title"], "Again");
}

async fn a_document_is_erased_everywhere(mut place: Place) {
    let (_, bob) = written(&place).await;
    let mut device = Replica::default();
    device.pull(&bob).await;
    bob.push_all(json!([delete("hers", 1)])).await;
    place.pause();

    let documents = [
        "--document",
        "Task/both",
        "--document",
        "Task/hers",
        "--document",
        "Task/none",
    ];
    let erase = |flag: &str| place.erase(&[&documents[..], &[flag]].concat());
    let counts = "clients 0, conflicts 1, entries 2, declined givers 0\n";
    assert_eq!(erase("--dry-run"), format!("would erase: {counts}"));
    assert_eq!(erase("--yes"), format!("erased: {counts}"));
    let nothing = "erased: clients 0, conflicts 0, entries 0, declined givers 0\n";
    assert_eq!(erase("--yes"), nothing, "twice is fine");
    let kept = place.kept().await;
    for text in [SECRET, "Go on"] {
        assert!(!kept.contains(text), "{text}: {kept}");
    }
    if let Some(database) = &place.database {
        let tasks = database.collection::<Document>("tasks");
        assert_eq!(tasks.count_documents(doc! {}).await.unwrap(), 0);
    }
    let unknown = run(
        place.directory.path(),
        &[
            "erase",
            "--config",
            "tidegate.toml",
            "--document",
            "Toy/1",
            "--yes",
        ],
    );
    assert!(!unknown.status.success(), "{unknown:?}");
    place.go_on();

    let bob = bob.at(place.server.as_ref().unwrap());
    until("device without the documents", async || {
        device.pull(&bob).await;
        device.documents().is_empty().then_some(())
    })
    .await;
    assert_eq!(waiting(&bob).await, 0);
    let late = json!([update("both", 2, json!({"title": "Late"}))]);
    let outcomes = bob.push_all(late).await;
    assert_ne!(outcomes[0]["status"], "APPLIED", "{outcomes:?}");
    assert_eq!(bob.task("both").await, Value::Null);
}

/// A document that another service has edited since is erased as it is, and one of a device that comes back is not
/// brought back.
#[tokio::test]
async fn what_another_service_writes_meanwhile_is_kept_or_erased_with_the_document() {
    let place = Place::mongodb().await;
    written(&place).await;
    let tasks = place
        .database
        .as_ref()
        .unwrap()
        .collection::<Document>("tasks");
    let edit = async |id: &str| {
        let edit = doc! {"$set": {"title": "Of a service", "extra": 1}};
        tasks.update_one(doc! {"_id": id}, edit).await.unwrap();
    };
    edit("hers").await;
    place.erase(&["--user", "alice", "--yes"]);
    let stored = tasks.find_one(doc! {"_id": "hers"}).await.unwrap().unwrap();
    assert_eq!(
        stored.get_str("title").unwrap(),
        "Of a service",
        "its edit stays"
    );
    let bob = place.client("bob");
    until("device with the edit of the service", async || {
        (bob.task("hers").await["title"] == "Of a service").then_some(())
    })
    .await;
    tasks
        .update_one(doc! {"_id": "both"}, doc! {"$set": {"title": 7}})
        .await
        .unwrap();
    place.erase(&["--document", "Task/both", "--yes"]);
    assert_eq!(tasks.find_one(doc! {"_id": "both"}).await.unwrap(), None);
    let kept = place.kept().await;
    assert!(!kept.contains("Go on"), "{kept}");
}

/// One test for each story and store.
macro_rules! on_both_stores {
    ($($story:ident)*) => {$(
        mod $story {
            #[tokio::test]
            async fn embedded() {
                super::super::$story(super::super::Place::embedded()).await;
            }

            #[tokio::test]
            async fn mongodb() {
                super::super::$story(super::super::Place::mongodb().await).await;
            }
        }
    )*};
}

mod stories {
    on_both_stores! {
        a_person_is_erased_and_order_stays
        a_document_is_erased_everywhere
    }
}
