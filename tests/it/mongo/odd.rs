//! Collections and documents that MongoDB itself refuses: each refusal is the REJECTED of its own changes, at once, and
//! all other changes are applied.

use std::sync::{Arc, Mutex};

use mongodb::{
    Database,
    bson::{Document, doc},
};
use serde_json::{Value as Json, json};
use tidegate::sync::SyncError;
use tidegate_core::{
    change::{Change, RejectionCode},
    outcome::Status::{Applied, Rejected},
};

use super::{
    Mongo,
    gateway::{Gateway, push_of, statuses},
    monitored, options,
};
use crate::{
    contract::Backend,
    harness::mongod::{Deployment, ROOT, Times},
};

/// Text in other documents, and in fields that the model does not have.
const SECRET: &str = "of nobody's business";

/// The most transactions of a push with one refused change: the first takes what it creates for absent, the second
/// looks, two more find what else is refused, and then it is known. With another push in its group it is tried again
/// alone.
const TRANSACTIONS_MAX: usize = 12;

/// One thing that the database refuses.
struct Odd {
    what: &'static str,
    /// Commands before the gateway is started.
    before: Vec<Document>,
    /// What another service has in the collection.
    stored: Vec<Document>,
    /// The change, and its rejection.
    change: fn(&Gateway) -> Change,
    reason: &'static str,
    field: Option<&'static str>,
}

fn task(gateway: &Gateway, id: &str, fields: Json) -> Change {
    let mut all = json!({"audience": "user:alice", "title": "x"});
    all.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    gateway.create(id, all)
}

fn stored(id: &str, more: Document) -> Document {
    let mut document = doc! {"_id": id, "audience": "user:alice", "title": "y", "minutes": 0};
    document.extend(more);
    document
}

fn index(key: Document, options: Document) -> Document {
    let mut index = doc! {"key": key, "name": "odd"};
    index.extend(options);
    doc! {"createIndexes": "tasks", "indexes": [index]}
}

fn folding() -> Document {
    doc! {"locale": "en", "strength": 2}
}

fn odd_ones() -> Vec<Odd> {
    let plain = |gateway: &Gateway| task(gateway, "bad", json!({}));
    let one = |what, before, change, reason, field| Odd {
        what,
        before: vec![before],
        stored: Vec::new(),
        change,
        reason,
        field,
    };
    let tasks = |options: Document| {
        let mut create = doc! {"create": "tasks"};
        create.extend(options);
        create
    };
    let with = |odd: Odd, stored: Vec<Document>| Odd { stored, ..odd };
    let secret = || doc! {"theirs": SECRET};
    vec![
        with(
            one(
                "a collation that folds ids",
                tasks(doc! {"collation": folding()}),
                |gateway| task(gateway, "bob", json!({})),
                "takes for the same",
                Some("id"),
            ),
            vec![stored("Bob", secret())],
        ),
        with(
            one(
                "a number that is another's id and is not shown",
                doc! {"create": "numbers"},
                |gateway| gateway.create("ByInt/0", json!({"audience": "user:alice"})),
                "takes for the same",
                Some("id"),
            ),
            // Most _ids have to be of the model's type.
            vec![
                doc! {"_id": -0.0, "in": "numbers"},
                doc! {"_id": 1, "in": "numbers"},
                doc! {"_id": 2, "in": "numbers"},
            ],
        ),
        one(
            "a capped collection",
            tasks(doc! {"capped": true, "size": 65_536}),
            plain,
            "capped",
            None,
        ),
        one(
            "a view",
            tasks(doc! {"viewOn": "others", "pipeline": []}),
            plain,
            "a view",
            None,
        ),
        one(
            "a time series",
            tasks(doc! {"timeseries": {"timeField": "due_at"}}),
            plain,
            "time series",
            None,
        ),
        one(
            "a validator",
            tasks(doc! {"validator": {"$jsonSchema": {"properties": {"title": {"maxLength": 0}}}}}),
            plain,
            "validator",
            Some("title"),
        ),
        one(
            "a validator that cannot be computed",
            tasks(doc! {"validator": {"$expr": {"$divide": ["$minutes", 0]}}}),
            plain,
            "validator",
            None,
        ),
        with(
            one(
                "a partial unique index",
                index(
                    doc! {"e_mail": 1},
                    doc! {"unique": true, "partialFilterExpression": {"minutes": {"$gte": 0}}},
                ),
                |gateway| task(gateway, "bad", json!({"email": SECRET})),
                "has to be unique",
                Some("email"),
            ),
            vec![stored("1", doc! {"e_mail": SECRET})],
        ),
        with(
            one(
                "a unique index that folds values",
                index(
                    doc! {"e_mail": 1},
                    doc! {"unique": true, "collation": folding()},
                ),
                |gateway| task(gateway, "bad", json!({"email": SECRET.to_uppercase()})),
                "has to be unique",
                Some("email"),
            ),
            vec![stored("1", doc! {"e_mail": SECRET})],
        ),
        one(
            "a language that a text index does not know",
            index(doc! {"title": "text"}, doc! {"language_override": "notes"}),
            |gateway| task(gateway, "bad", json!({"notes": "Klingon"})),
            "language",
            None,
        ),
        one(
            "what is no place for an index of places",
            index(doc! {"notes": "2dsphere"}, doc! {}),
            |gateway| task(gateway, "bad", json!({"notes": "nowhere"})),
            "only places",
            None,
        ),
        one(
            "a list where an index hashes",
            index(doc! {"lines": "hashed"}, doc! {}),
            |gateway| task(gateway, "bad", json!({"lines": [{"code": "a"}]})),
            "takes no lists",
            None,
        ),
        with(
            one(
                "two lists in one index",
                index(doc! {"theirs": 1, "lines.code": 1}, doc! {}),
                |gateway| gateway.update("1", 1, json!({"lines": [{"code": "a"}, {"code": "b"}]})),
                "two lists",
                None,
            ),
            vec![stored("1", doc! {"theirs": [SECRET, "b"]})],
        ),
        with(
            one(
                "a document that others have filled",
                doc! {"create": "tasks"},
                |gateway| gateway.update("1", 1, json!({"notes": "x".repeat(1 << 20)})),
                "larger than MongoDB takes",
                None,
            ),
            vec![stored(
                "1",
                doc! {"theirs": "x".repeat((16 << 20) - 65_536)},
            )],
        ),
    ]
}

#[tokio::test]
async fn what_the_database_refuses_is_one_change_s_rejected_and_its_neighbours_are_applied() {
    for odd in odd_ones() {
        let mongo = Mongo::start().await;
        let database = mongo.database().await;
        prepare(&database, &odd).await;
        let mut options = mongo.options().await;
        let commands = Arc::new(Mutex::new(Vec::new()));
        options.client.command_event_handler = Some(monitored(&commands));
        let gateway = Gateway::start(&options).await;
        let innocent = |n: u8, audience: &str| {
            let id = format!("ByUuid/0f8fad5b-d9cb-469f-a165-7086772895{n:02x}");
            gateway.create(&id, json!({ "audience": audience }))
        };
        commands.lock().unwrap().clear();
        let alice = vec![
            innocent(1, "user:alice"),
            (odd.change)(&gateway),
            innocent(2, "user:alice"),
        ];
        let bob = vec![innocent(3, "user:bob")];
        let (alice, bob) = tokio::join!(
            gateway.numbered("alice", 1, alice),
            gateway.numbered("bob", 1, bob)
        );
        assert_eq!(
            statuses(&alice),
            [Applied, Rejected, Applied],
            "{}",
            odd.what
        );
        assert_eq!(statuses(&bob), [Applied], "{}", odd.what);
        let error = alice[1].error.as_ref().unwrap();
        assert_eq!(error.code, RejectionCode::InvalidValue, "{}", odd.what);
        assert!(
            error.message.contains(odd.reason),
            "{}: {error:?}",
            odd.what
        );
        assert_eq!(error.field.as_deref(), odd.field, "{}", odd.what);
        let reported = format!("{error:?}").to_lowercase();
        assert!(
            !reported.contains(&SECRET.to_lowercase()),
            "{}: {reported}",
            odd.what
        );
        let began = |command: &&Document| command.contains_key("startTransaction");
        let transactions = commands.lock().unwrap().iter().filter(began).count();
        // Bob's push may have a transaction of its own.
        assert!(
            transactions <= TRANSACTIONS_MAX + 1,
            "{}: {transactions}",
            odd.what
        );
    }
}

async fn prepare(database: &Database, odd: &Odd) {
    for command in &odd.before {
        database.run_command(command.clone()).await.unwrap();
    }
    for document in &odd.stored {
        let mut document = document.clone();
        let name = document.remove("in");
        let name = name
            .as_ref()
            .and_then(|name| name.as_str())
            .unwrap_or("tasks");
        let collection = database.collection::<Document>(name);
        collection.insert_one(document).await.unwrap();
    }
}

/// MongoDB does not even read it in a transaction, and reports that as a transient fault.
#[tokio::test]
async fn a_collection_that_becomes_capped_refuses_its_changes_and_no_others() {
    let mongo = Mongo::start().await;
    let gateway = Gateway::start(&mongo.options().await).await;
    let tasks = ["1", "2"].map(|id| task(&gateway, id, json!({})));
    gateway.push("alice", tasks.into()).await;
    let cap = doc! {"convertToCapped": "tasks", "size": 65_536};
    mongo.database().await.run_command(cap).await.unwrap();
    let elsewhere = |id: &str| {
        let key = format!("ByInt/{id}");
        gateway.create(&key, json!({"audience": "user:alice"}))
    };
    let changes = vec![
        elsewhere("1"),
        gateway.update("1", 1, json!({"notes": "x"})),
        gateway.delete("2", 1),
        elsewhere("2"),
    ];
    let outcomes = gateway.numbered("alice", 1, changes).await;
    assert_eq!(statuses(&outcomes), [Applied, Rejected, Rejected, Applied]);
    for outcome in &outcomes[1..3] {
        let error = outcome.error.as_ref().unwrap();
        assert!(error.message.contains("capped"), "{error:?}");
    }
    let database = mongo.database().await;
    let tasks = database.collection::<Document>("tasks");
    tasks.drop().await.unwrap();
    applies(&gateway, "3").await;
}

/// Many documents that a collection cannot take are not found one by one.
#[tokio::test]
async fn a_collection_that_takes_nothing_refuses_a_whole_push_in_few_transactions() {
    const CHANGES: usize = 200;
    let mongo = Mongo::start().await;
    let view = doc! {"create": "tasks", "viewOn": "others", "pipeline": []};
    mongo.database().await.run_command(view).await.unwrap();
    let mut options = mongo.options().await;
    let commands = Arc::new(Mutex::new(Vec::new()));
    options.client.command_event_handler = Some(monitored(&commands));
    let gateway = Gateway::start(&options).await;
    let changes = (0..CHANGES).map(|id| task(&gateway, &id.to_string(), json!({})));
    let outcomes = gateway.push("alice", changes.collect()).await;
    assert_eq!(statuses(&outcomes), [Rejected; CHANGES]);
    let began = |command: &&Document| command.contains_key("startTransaction");
    let transactions = commands.lock().unwrap().iter().filter(began).count();
    assert!(transactions <= TRANSACTIONS_MAX, "{transactions}");
}

async fn fails(gateway: &Gateway, id: &str) -> SyncError {
    let push = push_of(None, vec![task(gateway, id, json!({}))]);
    match gateway.sync.push(&gateway.caller("alice"), push).await {
        Err(error) => error,
        other => panic!("{other:?}"),
    }
}

async fn applies(gateway: &Gateway, id: &str) {
    let outcomes = gateway
        .push("alice", vec![task(gateway, id, json!({}))])
        .await;
    assert_eq!(statuses(&outcomes), [Applied]);
}

/// A fault that an operator has to repair is no change's fault: the push fails with an error after which it can be sent
/// again.
#[tokio::test]
async fn what_an_operator_has_to_mend_rejects_no_change() {
    let deployment = Deployment::replica_set(1).await;
    let gateway = Gateway::start(&options(&deployment, "app").await).await;
    let admin = deployment.client().await.database("admin");
    let block = |global: bool| doc! {"setUserWriteBlockMode": 1, "global": global};
    admin.run_command(block(true)).await.unwrap();
    let blocked = fails(&gateway, "1").await;
    admin.run_command(block(false)).await.unwrap();
    assert!(matches!(blocked, SyncError::ReadOnly(_)), "{blocked}");
    applies(&gateway, "1").await;
    for (code, id) in [(14_031, "2"), (8_000, "3"), (13, "4")] {
        let how = doc! {"failCommands": ["insert"], "errorCode": code};
        deployment.fail_commands(Times::Always, how).await;
        let failed = fails(&gateway, id).await;
        deployment.heal_commands().await;
        match code {
            13 => assert!(matches!(failed, SyncError::NotPermitted(_)), "{failed}"),
            _ => assert!(matches!(failed, SyncError::ReadOnly(_)), "{failed}"),
        }
        applies(&gateway, id).await;
    }
    // These are transient, and clients do not see them.
    for (code, id) in [(11_601, "5"), (50, "6")] {
        let how = doc! {"failCommands": ["insert"], "errorCode": code};
        deployment.fail_commands(Times::Next(2), how).await;
        applies(&gateway, id).await;
    }
}

#[tokio::test]
async fn a_right_that_is_taken_away_stops_only_the_pushes_that_need_it() {
    let deployment = Deployment::with_users().await;
    let client = deployment.client().await;
    let admin = client.database("admin");
    let app = client.database("app");
    let on = |collection: &str| {
        let actions = [
            "find",
            "insert",
            "update",
            "remove",
            "createCollection",
            "createIndex",
        ];
        doc! {"resource": {"db": "app", "collection": collection}, "actions": actions.to_vec()}
    };
    let whole = doc! {"resource": {"db": "app", "collection": ""}, "actions": ["listCollections", "changeStream", "find"]};
    let others = [
        "object_ids",
        "uuids",
        "numbers",
        "tidegate.feed",
        "tidegate.state",
        "tidegate.conflicts",
        "tidegate.misfits",
    ];
    let without_tasks: Vec<Document> = others.iter().map(|name| on(name)).chain([whole]).collect();
    let mut with_tasks = without_tasks.clone();
    with_tasks.push(on("tasks"));
    let role = doc! {"createRole": "gateway", "privileges": with_tasks.clone(), "roles": []};
    app.run_command(role).await.unwrap();
    let role = doc! {"role": "gateway", "db": "app"};
    let user = doc! {"createUser": "gateway", "pwd": ROOT.1, "roles": [role]};
    admin.run_command(user).await.unwrap();
    let mut options = options(&deployment, "app").await;
    let url = deployment.url_of("gateway", ROOT.1, "app");
    options.client = mongodb::options::ClientOptions::parse(url).await.unwrap();
    let gateway = Gateway::start(&options).await;
    applies(&gateway, "1").await;
    let update = |privileges: &Vec<Document>| {
        doc! {"updateRole": "gateway", "privileges": privileges.clone(), "roles": []}
    };
    app.run_command(update(&without_tasks)).await.unwrap();
    let push = |user: &'static str, change: Change| {
        let gateway = &gateway;
        async move {
            let push = push_of(None, vec![change]);
            gateway.sync.push(&gateway.caller(user), push).await
        }
    };
    let elsewhere = gateway.create("ByInt/1", json!({"audience": "user:bob"}));
    let (failed, elsewhere) = tokio::join!(
        push("alice", task(&gateway, "2", json!({}))),
        push("bob", elsewhere)
    );
    let refused = matches!(&failed, Err(SyncError::NotPermitted(_)));
    assert!(refused, "{failed:?}");
    assert_eq!(statuses(&elsewhere.unwrap().outcomes), [Applied]);
    app.run_command(update(&with_tasks)).await.unwrap();
    applies(&gateway, "2").await;
}
