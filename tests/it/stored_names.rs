//! Documents are kept under stored names, and clients see the names of the model. On both stores, through the real
//! binary.
//!
//! The stored names of the model below are its own names in another order: a place that confuses the two shows the value
//! of another field.

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Application, Client, Server, Socket,
    mongod::{Deployment, fresh_database, until},
};

const MODEL: &str = r#"
extend schema @grant(scope: "user:{sub}", access: WRITE)

type Member @collection(name: "members") @scope(by: "user:{owner}")
  @grants(scope: "team:{team}", to: "{user}", access: "{access}") {
  id: ID!
  owner: String! @stored(as: "team")
  team: String! @stored(as: "user")
  user: String! @stored(as: "access")
  access: Access! @stored(as: "owner")
}

enum Access { READ WRITE }

type Task @collection(name: "tasks") @scope(by: "team:{team}")
  @conflict(policy: MERGE, overlap: MANUAL, clientMayChoose: [WEBHOOK], webhook: "review") {
  id: ID!
  team: String! @stored(as: "title")
  title: String! @constraint(maxLength: 20) @stored(as: "text")
  text: String @stored(as: "team")
  legacy: String @stored(as: "id")
  minutes: Int! @merge(with: COUNTER) @default(value: 1) @stored(as: "zip")
  place: Place @default(value: {city: "Ulm", zip: 1}) @stored(as: "site")
  stops: [Place!] @stored(as: "place")
  parentId: ID @stored(as: "parent")
  parent: Task @reference(by: "parentId")
}

type Place {
  city: String! @constraint(maxLength: 5) @stored(as: "zip")
  zip: Int @stored(as: "city")
}
"#;

const TASK: &str = "id syncVersion syncScope team title text legacy minutes place { city zip } stops { city zip } parentId parent { id title }";

/// One test for each story and store.
macro_rules! on_both_stores {
    ($($story:ident)*) => {$(
        mod $story {
            #[tokio::test]
            async fn embedded() {
                super::$story(super::Stage::start(&[]).await).await;
            }

            #[tokio::test]
            async fn mongodb() {
                let deployment = super::Deployment::shared().await;
                let url = deployment.url(&super::fresh_database());
                super::$story(super::Stage::start(&["--store", &url]).await).await;
            }
        }
    )*};
}

on_both_stores! {
    each_road_shows_the_models_names
    outcomes_and_conflicts_name_the_models_fields
    a_webhook_is_asked_and_answers_in_the_models_names
    a_rejection_names_the_models_field
}

/// A gateway whose user Alice owns a team, to which Bob belongs.
struct Stage {
    application: Application,
    server: Server,
    _directory: TempDir,
    alice: Client,
    bob: Client,
}

impl Stage {
    async fn start(store: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("model.graphql"), MODEL).unwrap();
        let answer = json!({"title": "Both", "place": {"city": "Bonn", "zip": 5}});
        let application = Application::answering(answer).await;
        let webhook = format!("review={}", application.url);
        let arguments = [&["--webhook", &webhook], store].concat();
        let server = Server::dev_with(directory.path(), &arguments);
        let (alice, bob) = (server.client("alice"), server.client("bob"));
        for user in ["alice", "bob"] {
            let member = json!({"owner": "alice", "team": "red", "user": user, "access": "WRITE"});
            let create = json!({"member": {"create": {"id": user, "document": member}}});
            assert_eq!(push(&alice, create).await["status"], "APPLIED");
        }
        Self {
            application,
            server,
            _directory: directory,
            alice,
            bob,
        }
    }
}

fn create(id: &str) -> Value {
    let document = json!({
        "team": "red", "title": "Tea", "text": "Green.", "legacy": "old",
        "stops": [{"city": "Bonn", "zip": 5}, {"city": "Köln"}], "parentId": "a",
    });
    json!({"task": {"create": {"id": id, "document": document}}})
}

fn update(id: &str, base: i64, set: Value, seen: Value) -> Value {
    json!({"task": {"update": {"id": id, "baseVersion": base, "set": set, "base": seen}}})
}

/// What clients see of the task that [`create`] makes.
fn created() -> Value {
    json!({
        "id": "a", "syncVersion": 1, "syncScope": "team:red", "team": "red", "title": "Tea", "text": "Green.",
        "legacy": "old", "minutes": 1, "place": {"city": "Ulm", "zip": 1},
        "stops": [{"city": "Bonn", "zip": 5}, {"city": "Köln", "zip": null}],
        "parentId": "a", "parent": {"id": "a", "title": "Tea"},
    })
}

async fn pushed(client: &Client, input: Value) -> Value {
    let query = format!(
        "mutation($input: PushChangesInput!) {{ pushChanges(input: $input) {{ results {{ status version document {{ ... on Task {{ {TASK} }} }} conflict {{ conflictId fields {{ field base mine theirs result }} }} error {{ code message field }} }} }} }}"
    );
    let mut data = client.data(&query, json!({ "input": input })).await;
    data["pushChanges"]["results"][0].take()
}

async fn push(client: &Client, change: Value) -> Value {
    pushed(client, json!({"changes": [change]})).await
}

async fn task(client: &Client, id: &str) -> Value {
    let query = format!("query($id: ID!) {{ task(id: $id) {{ {TASK} }} }}");
    client.data(&query, json!({ "id": id })).await["task"].take()
}

async fn each_road_shows_the_models_names(stage: Stage) {
    let Stage { alice, bob, .. } = &stage;
    let outcome = push(alice, create("a")).await;
    assert_eq!(outcome["document"], created(), "{outcome}");
    assert_eq!(task(bob, "a").await, created(), "the membership is read");
    let page = format!("changes {{ type kind document {{ ... on Task {{ {TASK} }} }} }}");
    let query = format!("{{ changesSince(types: [Task]) {{ {page} }} }}");
    let data = bob.data(&query, json!({})).await;
    let expected = json!([{"type": "Task", "kind": "UPSERT", "document": created()}]);
    assert_eq!(data["changesSince"]["changes"], expected);
    let mut socket = Socket::connect(bob).await;
    socket
        .subscribe("1", &format!("changes(types: [Task]) {{ {page} }}"))
        .await;
    let live = async |socket: &mut Socket| {
        let mut message = socket.next().await;
        message["payload"]["data"]["changes"]["changes"].take()
    };
    assert_eq!(live(&mut socket).await, expected);
    let set = json!({"title": "Milk", "place": {"city": "Rom", "zip": 9}, "text": null});
    let outcome = push(alice, update("a", 1, set, json!({}))).await;
    let mut shown = created();
    shown["syncVersion"] = 2.into();
    shown["title"] = "Milk".into();
    shown["parent"]["title"] = "Milk".into();
    shown["text"] = Value::Null;
    shown["place"] = json!({"city": "Rom", "zip": 9});
    assert_eq!(outcome["document"], shown);
    assert_eq!(live(&mut socket).await[0]["document"], shown);
    let away = json!({"member": {"delete": {"id": "bob", "baseVersion": 1}}});
    assert_eq!(push(alice, away).await["status"], "APPLIED");
    assert_eq!(
        task(bob, "a").await,
        Value::Null,
        "the membership has ended"
    );
}

async fn outcomes_and_conflicts_name_the_models_fields(stage: Stage) {
    let Stage { alice, bob, .. } = &stage;
    push(alice, create("a")).await;
    let seen = json!({"title": "Tea", "place": {"city": "Ulm", "zip": 1}});
    let bobs = json!({"title": "Bob's", "place": {"city": "Rom", "zip": 2}});
    push(bob, update("a", 1, bobs, seen.clone())).await;
    let alices = json!({"title": "Hers", "place": {"city": "Genf", "zip": 3}});
    let outcome = push(alice, update("a", 1, alices, seen)).await;
    let mut fields = outcome["conflict"]["fields"].clone();
    let fields = fields.as_array_mut().unwrap();
    fields.sort_by_key(|field| field["field"].to_string());
    let expected = json!([
        {
            "field": "place", "base": {"city": "Ulm", "zip": 1}, "mine": {"city": "Genf", "zip": 3},
            "theirs": {"city": "Rom", "zip": 2}, "result": {"city": "Rom", "zip": 2},
        },
        {"field": "title", "base": "Tea", "mine": "Hers", "theirs": "Bob's", "result": "Bob's"},
    ]);
    assert_eq!(json!(fields), expected);
    let side = "... on SyncTaskState { title minutes place { city zip } }";
    let query = format!(
        "{{ conflicts {{ nodes {{ id type fields base {{ {side} }} mine {{ {side} }} theirs {{ {side} }} }} }} }}"
    );
    let mut data = bob.data(&query, json!({})).await;
    let conflict = data["conflicts"]["nodes"][0].take();
    let mut named: Vec<String> = serde_json::from_value(conflict["fields"].clone()).unwrap();
    named.sort();
    assert_eq!(named, ["place", "title"]);
    assert_eq!(conflict["type"], "Task");
    let sides = [&conflict["base"], &conflict["mine"], &conflict["theirs"]];
    let expected = [
        json!({"title": "Tea", "minutes": null, "place": {"city": "Ulm", "zip": 1}}),
        json!({"title": "Hers", "minutes": null, "place": {"city": "Genf", "zip": 3}}),
        json!({"title": "Bob's", "minutes": 1, "place": {"city": "Rom", "zip": 2}}),
    ];
    assert_eq!(sides.map(Value::clone), expected);
    let resolution = json!({"task": {"place": {"city": "Oslo", "zip": 4}}});
    let input = json!({"conflictId": conflict["id"], "baseVersion": 2, "resolution": resolution});
    let query = format!(
        "mutation($input: ResolveConflictInput!) {{ resolveConflict(input: $input) {{ result {{ status document {{ ... on Task {{ {TASK} }} }} }} }} }}"
    );
    let data = bob.data(&query, json!({ "input": input })).await;
    let result = &data["resolveConflict"]["result"];
    let mut shown = created();
    shown["syncVersion"] = 3.into();
    shown["title"] = "Bob's".into();
    shown["parent"]["title"] = "Bob's".into();
    shown["place"] = json!({"city": "Oslo", "zip": 4});
    assert_eq!(result["document"], shown, "{result}");
}

async fn a_webhook_is_asked_and_answers_in_the_models_names(stage: Stage) {
    let Stage { alice, bob, .. } = &stage;
    push(alice, create("a")).await;
    push(bob, update("a", 1, json!({"title": "Bob's"}), json!({}))).await;
    let mine = update("a", 1, json!({"title": "Hers"}), json!({"title": "Tea"}));
    let outcome = pushed(alice, json!({"changes": [mine], "policy": "WEBHOOK"})).await;
    let expected = json!({
        "type": "Task", "id": "a", "change": "UPDATE", "fields": ["title"], "user": "alice",
        "base": {"title": "Tea"}, "incoming": {"title": "Hers"}, "currentVersion": 2,
        "current": {
            "team": "red", "title": "Bob's", "text": "Green.", "legacy": "old", "minutes": 1,
            "place": {"city": "Ulm", "zip": 1}, "stops": [{"city": "Bonn", "zip": 5}, {"city": "Köln"}],
            "parentId": "a",
        },
    });
    assert_eq!(stage.application.asked()[0].json(), expected);
    let document = &outcome["document"];
    let shown = (&document["title"], &document["place"]);
    assert_eq!(shown, (&json!("Both"), &json!({"city": "Bonn", "zip": 5})));
}

async fn a_rejection_names_the_models_field(stage: Stage) {
    let with = |field: &str, value: Value| {
        let mut change = create("a");
        change["task"]["create"]["document"][field] = value;
        change
    };
    let long = "longer than twenty characters";
    for (change, code, field, named) in [
        (
            with("title", long.into()),
            "INVALID_VALUE",
            "title",
            "title",
        ),
        (
            with("place", json!({"city": "London"})),
            "INVALID_VALUE",
            "place.city",
            "",
        ),
        (
            with("stops", json!([{"city": "Rom"}, {"city": "London"}])),
            "INVALID_VALUE",
            "stops[1].city",
            "",
        ),
        (with("team", "".into()), "INVALID_SCOPE", "", "`team`"),
    ] {
        let error = push(&stage.alice, change).await["error"].take();
        assert_eq!(error["code"], code, "{error}");
        let message = error["message"].as_str().unwrap();
        match field {
            "" => assert!(message.contains(named), "{error}"),
            field => assert_eq!(error["field"], field, "{error}"),
        }
    }
}

/// A gateway on a MongoDB database, and the database as other services see it.
async fn on_mongodb() -> (Stage, mongodb::Database) {
    let name = fresh_database();
    let deployment = Deployment::shared().await;
    let url = deployment.url(&name);
    let database = deployment.client().await.database(&name);
    (Stage::start(&["--store", &url]).await, database)
}

#[tokio::test]
async fn other_services_write_and_read_the_stored_names() {
    let (stage, database) = on_mongodb().await;
    push(&stage.alice, create("a")).await;
    let tasks = database.collection::<Document>("tasks");
    let stored = tasks.find_one(doc! {"_id": "a"}).await.unwrap().unwrap();
    let expected = json!({
        "_id": "a", "title": "red", "text": "Tea", "team": "Green.", "id": "old", "zip": 1,
        "site": {"zip": "Ulm", "city": 1}, "parent": "a",
        "place": [{"zip": "Bonn", "city": 5}, {"zip": "Köln"}],
    });
    assert_eq!(serde_json::to_value(&stored).unwrap(), expected);

    let theirs = doc! {
        "_id": "b", "title": "red", "text": "Theirs", "zip": 7_i64, "parent": "a", "extra": 1,
        "site": {"zip": "Rom", "city": 3.0},
    };
    tasks.insert_one(theirs).await.unwrap();
    until("the import", async || {
        let shown = task(&stage.bob, "b").await;
        shown.is_object().then(|| {
            let seen = (
                &shown["title"],
                &shown["minutes"],
                &shown["place"],
                &shown["parent"]["id"],
            );
            let place = json!({"city": "Rom", "zip": 3});
            assert_eq!(seen, (&json!("Theirs"), &json!(7), &place, &json!("a")));
        })
    })
    .await;
    let misfit = doc! {"$set": {"site": {"zip": 5, "city": 3}}};
    tasks.update_one(doc! {"_id": "b"}, misfit).await.unwrap();
    until("the document is withheld", async || {
        task(&stage.bob, "b").await.is_null().then_some(())
    })
    .await;
    let edit = update("b", 1, json!({"title": "Mine"}), json!({}));
    let error = push(&stage.alice, edit).await["error"].take();
    assert_eq!(
        (&error["code"], &error["field"]),
        (&json!("INVALID_VALUE"), &json!("place.city"))
    );
    drop(stage.server);
}
