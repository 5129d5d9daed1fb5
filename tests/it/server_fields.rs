//! Fields that the gateway keeps (`@server`), on both stores, through the real binary: they are right, nobody else sets
//! them, and what other services write there stands.
//!
//! `core/tests/protocol/server_fields.rs` has every way by which a document comes to a version.

use mongodb::{
    Collection,
    bson::{Bson, DateTime, Document, doc, oid::ObjectId},
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::harness::{
    Client, Server, configured_on,
    mongod::{Deployment, fresh_database, until},
    with_secret,
};

const MODEL: &str = r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "all") @conflict(policy: MERGE, overlap: MANUAL)
  @index(fields: ["createdBy", "updatedAt"]) @index(fields: ["updatedAt"]) {
  id: ID!
  title: String
  notes: String
  createdAt: DateTime @server(value: CREATED_AT)
  updatedAt: DateTime @server(value: UPDATED_AT) @stored(as: "updated")
  createdBy: ID @server(value: CREATED_BY)
  updatedBy: ID @server(value: UPDATED_BY) @bson(type: OBJECT_ID)
}
"#;

/// Users whose ids are ObjectIds in the database.
const ANN: &str = "507f1f77bcf86cd799439011";
const BEA: &str = "66b0000000000000000000a1";

const FIELDS: &str =
    "id syncVersion title notes createdAt updatedAt createdBy updatedBy syncChangedAt";

/// A gateway, and the application's collection if the store has one.
struct Stage {
    directory: TempDir,
    server: Option<Server>,
    tasks: Option<Collection<Document>>,
}

impl Stage {
    fn on(url: &str, tasks: Option<Collection<Document>>) -> Self {
        let directory = configured_on(url);
        std::fs::write(directory.path().join("model.graphql"), MODEL).unwrap();
        Self {
            server: Some(Server::serve(&directory)),
            directory,
            tasks,
        }
    }

    fn embedded() -> Self {
        Self::on("embedded:data", None)
    }

    async fn mongodb() -> Self {
        let (deployment, name) = (Deployment::shared().await, fresh_database());
        let database = deployment.client().await.database(&name);
        Self::on(&deployment.url(&name), Some(database.collection("tasks")))
    }

    fn client(&self, user: &str) -> Client {
        self.server.as_ref().unwrap().client_with(user, &json!({}))
    }

    /// What a command prints. An embedded store must not be open in a gateway.
    fn run(&mut self, arguments: &[&str]) -> String {
        if self.tasks.is_none() {
            self.server.take().unwrap().stop();
        }
        let arguments = [arguments, &["--config", "tidegate.toml"]].concat();
        let output = with_secret(self.directory.path(), &arguments).output();
        let output = output.unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        if self.server.is_none() {
            self.server = Some(Server::serve(&self.directory));
        }
        String::from_utf8(output.stdout).unwrap()
    }
}

async fn send(client: &Client, input: Json) -> Json {
    let query = format!(
        "mutation($input: PushChangesInput!) {{ pushChanges(input: $input) {{ results {{ status duplicate document {{ ... on Task {{ {FIELDS} }} }} conflict {{ conflictId fields {{ field }} }} error {{ code }} }} }} }}"
    );
    client.send(&query, json!({ "input": input })).await
}

/// The only result of a push of this change.
async fn push(client: &Client, change: Json) -> Json {
    let mut answer = send(client, json!({"changes": [{"task": change}]})).await;
    answer["data"]["pushChanges"]["results"][0].take()
}

fn create(id: &str, document: Json) -> Json {
    json!({"create": {"id": id, "document": document}})
}

fn update(id: &str, base: i64, set: Json) -> Json {
    json!({"update": {"id": id, "baseVersion": base, "set": set}})
}

async fn task(client: &Client, id: &str) -> Json {
    let query = format!("query($id: ID!) {{ task(id: $id) {{ {FIELDS} }} }}");
    client.data(&query, json!({ "id": id })).await["task"].take()
}

fn kept(task: &Json) -> [&Json; 4] {
    ["createdAt", "updatedAt", "createdBy", "updatedBy"].map(|name| &task[name])
}

async fn they_are_set_by_the_gateway(stage: Stage) {
    let (ann, bea) = (stage.client(ANN), stage.client(BEA));
    let epoch = ann.epoch().await;
    let first = json!({"client": {"id": "phone", "firstMutationId": 1}, "epoch": epoch,
        "changes": [{"task": create("t", json!({"title": "a"}))}]});
    let mut answer = send(&ann, first.clone()).await;
    let made = answer["data"]["pushChanges"]["results"][0]["document"].take();
    let at = &made["syncChangedAt"];
    assert_eq!(kept(&made), [at, at, &json!(ANN), &json!(ANN)]);
    assert_eq!(task(&ann, "t").await, made);

    let mut repeated = send(&ann, first).await;
    let repeated = repeated["data"]["pushChanges"]["results"][0].take();
    assert_eq!(
        (&repeated["duplicate"], &repeated["document"]),
        (&json!(true), &made)
    );

    let changed = push(&bea, update("t", 1, json!({"notes": "n"}))).await;
    let changed = &changed["document"];
    let later = &changed["syncChangedAt"];
    assert_eq!(kept(changed), [at, later, &json!(ANN), &json!(BEA)]);
    assert!(later.as_str() >= at.as_str());

    // Ann has not seen that. What both devices have in common is what the gateway keeps.
    let merged = push(&ann, update("t", 1, json!({"title": "b"}))).await;
    assert_eq!(merged["status"], "MERGED", "{merged}");
    assert_eq!(merged["conflict"]["fields"], json!([{"field": "title"}]));
    assert_eq!(kept(&merged["document"])[3], &json!(ANN));

    // A title of bea's waits, and names nobody until it is resolved.
    let stale = push(&bea, update("t", 1, json!({"title": "c"}))).await;
    assert_eq!(stale["status"], "CONFLICT", "{stale}");
    assert_eq!(stale["document"], merged["document"]);
    let resolve = format!(
        "mutation($id: ID!) {{ resolveConflict(input: {{conflictId: $id, baseVersion: 3, resolution: {{take: MINE}}}}) {{ result {{ status document {{ ... on Task {{ {FIELDS} }} }} }} }} }}"
    );
    let id = json!({"id": stale["conflict"]["conflictId"]});
    let resolved = bea.data(&resolve, id).await["resolveConflict"]["result"].take();
    assert_eq!(resolved["document"]["title"], "c", "{resolved}");
    assert_eq!(kept(&resolved["document"])[2..], [&json!(ANN), &json!(BEA)]);

    // Its id is no ObjectId.
    let by_cron = push(
        &stage.client("cron"),
        update("t", 4, json!({"notes": null})),
    )
    .await;
    assert_eq!(kept(&by_cron["document"])[2..], [&json!(ANN), &Json::Null]);

    let other = push(&bea, create("u", json!({"title": "later"}))).await;
    assert_eq!(other["status"], "APPLIED");
    let query = "{ mine: tasks(where: {createdBy: {eq: \"66b0000000000000000000a1\"}}, orderBy: [updatedAt_DESC]) { nodes { id } }
        all: tasks(orderBy: [updatedAt_DESC]) { nodes { id } } }";
    // The indexes of a new store are built while it serves.
    until("the lists", async || {
        let answer = ann.send(query, json!({})).await;
        let ids = |list: &str| answer["data"][list]["nodes"].clone();
        let expected = (json!([{"id": "u"}]), json!([{"id": "u"}, {"id": "t"}]));
        ((ids("mine"), ids("all")) == expected).then_some(())
    })
    .await;
}

async fn no_client_sets_them(stage: Stage) {
    let (ann, bea) = (stage.client(ANN), stage.client(BEA));
    push(&ann, create("t", json!({"title": "a"}))).await;
    let before = task(&ann, "t").await;
    for name in ["createdAt", "updatedAt", "createdBy", "updatedBy"] {
        for value in [json!("2020-01-01T00:00:00Z"), json!(BEA), Json::Null] {
            let forged = json!({"title": "b", name: value});
            let seen = json!({"update": {"id": "t", "baseVersion": 1, "base": {name: value}, "set": {"title": "b"}}});
            for change in [create("v", forged.clone()), update("t", 1, forged), seen] {
                let answer = send(&bea, json!({"changes": [{"task": change}]})).await;
                let code = &answer["errors"][0]["extensions"]["code"];
                assert_eq!(code, "BAD_USER_INPUT", "{answer}");
            }
            let resolve = "mutation($patch: TaskPatch!) { resolveConflict(input: {conflictId: \"x\", baseVersion: 1, resolution: {task: $patch}}) { result { status } } }";
            let code = bea.code(resolve, json!({"patch": {name: value}})).await;
            assert_eq!(code, "BAD_USER_INPUT");
        }
    }
    assert_eq!(task(&ann, "t").await, before);
    assert_eq!(task(&ann, "v").await, Json::Null);
}

async fn an_erased_person_is_in_none_of_them(mut stage: Stage) {
    let (ann, bea) = (stage.client(ANN), stage.client(BEA));
    push(&ann, create("t", json!({"title": "a"}))).await;
    push(&bea, update("t", 1, json!({"title": "b"}))).await;
    let printed = stage.run(&["export", "--user", ANN]);
    let exported: Json = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(
        exported["namedInFields"],
        json!(["createdBy"]),
        "{exported}"
    );
    let printed = stage.run(&["erase", "--user", ANN, "--yes"]);
    assert!(printed.contains("entries 1"), "{printed}");
    let left = task(&stage.client(BEA), "t").await;
    assert_eq!(kept(&left)[2..], [&Json::Null, &json!(BEA)]);
    assert_eq!(left["syncVersion"], 3, "devices read it");
    assert_eq!(stage.run(&["export", "--user", ANN]), "");
    if let Some(tasks) = &stage.tasks {
        let stored = tasks.find_one(doc! {"_id": "t"}).await.unwrap().unwrap();
        assert_eq!(stored.get("createdBy"), Some(&Bson::Null), "{stored}");
        let feed = tasks.client().database(&tasks.namespace().db);
        let feed = feed.collection::<Document>("tidegate.feed");
        let mut entries = feed.find(doc! {}).await.unwrap();
        while entries.advance().await.unwrap() {
            let entry = format!("{:?}", entries.deserialize_current().unwrap());
            assert!(!entry.contains(ANN), "{entry}");
        }
    }
}

#[tokio::test]
async fn they_are_set_by_the_gateway_on_the_embedded_store() {
    they_are_set_by_the_gateway(Stage::embedded()).await;
}

#[tokio::test]
async fn they_are_set_by_the_gateway_on_mongodb() {
    they_are_set_by_the_gateway(Stage::mongodb().await).await;
}

#[tokio::test]
async fn no_client_sets_them_on_the_embedded_store() {
    no_client_sets_them(Stage::embedded()).await;
}

#[tokio::test]
async fn no_client_sets_them_on_mongodb() {
    no_client_sets_them(Stage::mongodb().await).await;
}

#[tokio::test]
async fn an_erased_person_is_in_none_of_them_on_the_embedded_store() {
    an_erased_person_is_in_none_of_them(Stage::embedded()).await;
}

#[tokio::test]
async fn an_erased_person_is_in_none_of_them_on_mongodb() {
    an_erased_person_is_in_none_of_them(Stage::mongodb().await).await;
}

#[tokio::test]
async fn what_another_service_writes_stands_and_the_importer_writes_nothing() {
    let stage = Stage::mongodb().await;
    let (ann, tasks) = (stage.client(ANN), stage.tasks.as_ref().unwrap());
    let shown = async |version: i64| {
        until("the service's write", async || {
            let task = task(&ann, "t").await;
            (task["syncVersion"] == version).then_some(task)
        })
        .await
    };
    tasks
        .insert_one(doc! {"_id": "t", "title": "by a service"})
        .await
        .unwrap();
    let null = &Json::Null;
    assert_eq!(kept(&shown(1).await), [null; 4]);
    let bea = ObjectId::parse_str(BEA).unwrap();
    let at = DateTime::from_millis(1_577_836_800_000);
    let theirs = doc! {"$set": {"updated": at, "updatedBy": bea, "createdBy": "a service"}};
    tasks.update_one(doc! {"_id": "t"}, theirs).await.unwrap();
    let written = shown(2).await;
    let expected = [
        null,
        &json!("2020-01-01T00:00:00.000Z"),
        &json!("a service"),
        &json!(BEA),
    ];
    assert_eq!(kept(&written), expected);
    let stored = tasks.find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(
        stored,
        doc! {"_id": "t", "title": "by a service", "updated": at, "updatedBy": bea, "createdBy": "a service"},
        "the importer writes no document"
    );

    let changed = push(&ann, update("t", 2, json!({"title": "by ann"}))).await;
    assert_eq!(changed["status"], "APPLIED", "{changed}");
    let [created, updated, creator, editor] = kept(&changed["document"]);
    assert_eq!(
        (created, creator, editor),
        (null, &json!("a service"), &json!(ANN))
    );
    assert_eq!(updated, &changed["document"]["syncChangedAt"]);
    let stored = tasks.find_one(doc! {}).await.unwrap().unwrap();
    assert!(
        matches!(stored.get("updated"), Some(Bson::DateTime(_))),
        "{stored}"
    );
    let ann_id = ObjectId::parse_str(ANN).unwrap();
    assert_eq!(stored.get("updatedBy"), Some(&Bson::ObjectId(ann_id)));
    assert_eq!(stored.get("createdAt"), None);

    // A service takes a value away that the gateway has written.
    tasks
        .update_one(doc! {"_id": "t"}, doc! {"$unset": {"updatedBy": ""}})
        .await
        .unwrap();
    assert_eq!(kept(&shown(4).await)[3], null);
}

#[test]
fn no_input_but_those_of_lists_has_them() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("model.graphql"), MODEL).unwrap();
    let printed = crate::harness::answer(directory.path(), &["schema"]);
    let inputs = printed.split("\ninput ").skip(1);
    let inputs = inputs.map(|text| text.split("\n}").next().unwrap());
    let naming: Vec<&str> = inputs
        .filter(|text| {
            ["createdAt", "updatedAt", "createdBy", "updatedBy"]
                .iter()
                .any(|name| text.contains(name))
        })
        .map(|text| text.split([' ', '{', '@']).next().unwrap())
        .collect();
    assert_eq!(naming, ["TaskWhere"], "{printed}");
    assert!(printed.contains("createdAt: DateTime\n"), "{printed}");
    let module = crate::harness::answer(directory.path(), &["operations", "--typescript"]);
    let of = |name: &str| {
        let (_, rest) = module
            .split_once(&format!("export interface {name} {{"))
            .unwrap();
        rest.split_once('}').unwrap().0.to_owned()
    };
    assert!(
        of("Task").contains("readonly createdBy: string | null;"),
        "{module}"
    );
    assert!(!of("TaskCreate").contains("createdBy"), "{module}");
}
