//! Writes of other services past the gateway: a push that finds one takes it over first, and never overwrites it
//! unseen.

use mongodb::{
    Collection,
    bson::{Document, doc},
};
use serde_json::{Value as Json, json};
use tidegate_core::{
    change::RejectionCode,
    entry::{FeedItem, Record},
    outcome::Status::{Applied, Conflict, Merged, Rejected},
    push::Outcome,
};

use super::{
    Mongo,
    gateway::{Gateway, statuses},
};
use crate::contract::Backend;

struct Bench {
    gateway: Gateway,
    tasks: Collection<Document>,
}

/// A gateway with a task of alice's, version 1.
async fn bench() -> Bench {
    let mongo = Mongo::start().await;
    let gateway = Gateway::start(&mongo.options().await).await;
    let fields = json!({ "audience": "user:alice", "title": "Tea" });
    let created = gateway
        .push("alice", vec![gateway.create("1", fields)])
        .await;
    assert_eq!(statuses(&created), [Applied]);
    let tasks = mongo.database().await.collection("tasks");
    Bench { gateway, tasks }
}

impl Bench {
    /// What another service does to the task.
    async fn set(&self, fields: Document) {
        let update = doc! { "$set": fields };
        self.tasks
            .update_one(doc! { "_id": "1" }, update)
            .await
            .unwrap();
    }

    async fn edit(&self, user: &str, base: i32, fields: Json) -> Outcome {
        let update = self.gateway.update("1", base, fields);
        self.gateway.push(user, vec![update]).await.remove(0)
    }
}

/// The kinds, versions and scopes of a page's changes.
fn reported(changes: &[FeedItem]) -> Vec<(&'static str, i32, &str)> {
    let kind = |record: &Record| match record {
        Record::Marker(_) => "left",
        Record::Entry(entry) if entry.withheld => "withheld",
        Record::Entry(entry) if entry.is_deleted() => "deleted",
        Record::Entry(_) => "there",
    };
    let tell = |record| {
        (
            kind(record),
            Record::version(record).0,
            Record::scope(record).as_str(),
        )
    };
    changes.iter().map(|item| tell(&item.record)).collect()
}

#[tokio::test]
async fn a_foreign_edit_comes_before_the_push_that_finds_it() {
    let bench = bench().await;
    bench.set(doc! { "title": "Coffee" }).await;
    let outcome = bench
        .edit("alice", 1, json!({ "notes": "with milk" }))
        .await;
    assert_eq!(
        (outcome.status, outcome.version.unwrap().0),
        (Merged, 3),
        "2 is the foreign one"
    );
    let shown = bench.gateway.document("alice", "1").await.unwrap();
    assert_eq!(
        (&shown["title"], &shown["notes"]),
        (&json!("Coffee"), &json!("with milk"))
    );

    bench.set(doc! { "title": "Cocoa" }).await;
    let outcome = bench.edit("alice", 3, json!({ "title": "Tea" })).await;
    assert_eq!((outcome.status, outcome.version.unwrap().0), (Conflict, 4));
    let shown = bench.gateway.document("alice", "1").await.unwrap();
    assert_eq!(
        shown["title"], "Cocoa",
        "imported though nothing else was written"
    );
}

/// A user who may not see the document, or may not write to it, does not stamp another service's write to it.
#[tokio::test]
async fn a_change_that_may_not_be_made_takes_nothing_over() {
    let bench = bench().await;
    let before = bench.gateway.pull("alice", None).await;
    bench.set(doc! { "title": "Coffee" }).await;
    let create = bench
        .gateway
        .create("1", json!({ "audience": "user:bob", "title": "Bob's" }));
    let changes = vec![
        bench.gateway.update("1", 1, json!({ "notes": "x" })),
        bench.gateway.delete("1", 1),
        create,
    ];
    for outcome in bench.gateway.push("bob", changes).await {
        assert_eq!((outcome.status, outcome.document), (Rejected, None));
    }
    let moved = bench
        .edit("alice", 1, json!({ "audience": "user:bob" }))
        .await;
    assert_eq!(moved.error.unwrap().code, RejectionCode::Forbidden);
    let shown = moved.document.unwrap();
    assert_eq!(shown.version.0, 1, "the entry that is stored");
    assert_eq!(shown.body.as_ref().unwrap()["title"].as_str(), Some("Tea"));
    let page = bench.gateway.pull("alice", Some(&before.checkpoint)).await;
    assert!(page.decoded().unwrap().is_empty());
    assert!(bench.gateway.document("bob", "1").await.is_none());
}

#[tokio::test]
async fn a_foreign_move_takes_the_document_out_of_sight() {
    let bench = bench().await;
    let before = bench.gateway.pull("alice", None).await;
    bench.set(doc! { "audience": "user:bob" }).await;
    let outcome = bench.edit("alice", 1, json!({ "notes": "x" })).await;
    assert_eq!(outcome.error.unwrap().code, RejectionCode::NotFound);
    assert_eq!(outcome.document.unwrap().version.0, 1);
    let outcome = bench.edit("bob", 1, json!({ "notes": "x" })).await;
    assert_eq!((outcome.status, outcome.version.unwrap().0), (Merged, 3));
    let page = bench.gateway.pull("alice", Some(&before.checkpoint)).await;
    assert_eq!(
        reported(&page.decoded().unwrap()),
        [("left", 3, "user:alice")]
    );
    assert_eq!(
        reported(&bench.gateway.pull("bob", None).await.decoded().unwrap()),
        [("there", 3, "user:bob")]
    );
}

#[tokio::test]
async fn a_foreign_delete_is_a_delete_and_what_comes_back_a_new_incarnation() {
    let bench = bench().await;
    let before = bench.gateway.pull("alice", None).await;
    bench.tasks.delete_one(doc! { "_id": "1" }).await.unwrap();
    let outcome = bench.edit("alice", 1, json!({ "notes": "x" })).await;
    assert_eq!(outcome.status, Conflict, "an edit brings nothing back");
    let page = bench.gateway.pull("alice", Some(&before.checkpoint)).await;
    assert_eq!(
        reported(&page.decoded().unwrap()),
        [("deleted", 2, "user:alice")]
    );
    assert_eq!(bench.tasks.find_one(doc! {}).await.unwrap(), None);

    let again = doc! { "_id": "1", "audience": "user:alice", "title": "Back", "minutes": 5 };
    bench.tasks.insert_one(again).await.unwrap();
    let outcome = bench.edit("alice", 2, json!({ "notes": "x" })).await;
    assert_eq!(outcome.status, Conflict, "made on the document before");
    assert_eq!(
        reported(&bench.gateway.pull("alice", None).await.decoded().unwrap()),
        [("there", 3, "user:alice")]
    );
    let outcome = bench.edit("alice", 3, json!({ "notes": "x" })).await;
    assert_eq!((outcome.status, outcome.version.unwrap().0), (Applied, 4));
}

#[tokio::test]
async fn a_create_meets_the_document_that_others_made() {
    let bench = bench().await;
    let theirs = doc! { "_id": "2", "audience": "user:alice", "title": "Theirs", "minutes": 0 };
    let bobs = doc! { "_id": "3", "audience": "user:bob", "title": "Bob's", "minutes": 0 };
    bench.tasks.insert_many([theirs, bobs]).await.unwrap();
    let create = |id| {
        bench
            .gateway
            .create(id, json!({ "audience": "user:alice", "title": "Mine" }))
    };
    let outcomes = bench
        .gateway
        .push("alice", vec![create("2"), create("3")])
        .await;
    assert_eq!(statuses(&outcomes), [Conflict, Rejected]);
    let shown = outcomes[0]
        .document
        .as_ref()
        .unwrap()
        .body
        .as_ref()
        .unwrap();
    assert_eq!(shown["title"].as_str(), Some("Theirs"));
    assert_eq!(
        outcomes[1].error.as_ref().unwrap().code,
        RejectionCode::IdTaken
    );
    assert!(outcomes[1].document.is_none());
}

#[tokio::test]
async fn what_does_not_fit_the_model_is_withheld_until_it_does() {
    let bench = bench().await;
    let before = bench.gateway.pull("alice", None).await;
    bench.set(doc! { "title": 5 }).await;
    for _ in 0..2 {
        let outcome = bench.edit("alice", 1, json!({ "notes": "x" })).await;
        let error = outcome.error.unwrap();
        assert_eq!(
            (outcome.status, error.code),
            (Rejected, RejectionCode::InvalidValue)
        );
        assert!(error.message.contains("title: is int"), "{}", error.message);
        assert!(outcome.document.is_none());
        let unseen = bench.edit("bob", 1, json!({ "notes": "x" })).await;
        assert_eq!(unseen.error.unwrap().code, RejectionCode::NotFound);
        let page = bench.gateway.pull("alice", Some(&before.checkpoint)).await;
        assert_eq!(
            reported(&page.decoded().unwrap()),
            [("withheld", 2, "user:alice")],
            "revoked once"
        );
    }
    let found = bench
        .tasks
        .find_one(doc! { "_id": "1" })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        found.get_i32("title").unwrap(),
        5,
        "it is left as its service wrote it"
    );

    bench.set(doc! { "title": "Mended" }).await;
    let outcome = bench.edit("alice", 2, json!({ "notes": "x" })).await;
    assert_eq!((outcome.status, outcome.version.unwrap().0), (Merged, 4));
    let shown = bench.gateway.document("alice", "1").await.unwrap();
    assert_eq!(
        (&shown["title"], &shown["notes"]),
        (&json!("Mended"), &json!("x"))
    );
}

/// To all others, and where its scope cannot be read, it is like any document out of sight.
#[tokio::test]
async fn a_misfit_that_nobody_ever_saw_is_named_to_those_who_may_write_in_its_scope() {
    let bench = bench().await;
    let gateway = &bench.gateway;
    let untitled = doc! { "_id": "2", "audience": "user:alice" };
    let mistyped = doc! { "_id": "3", "title": ["x"], "audience": "user:alice" };
    let nobodys = doc! { "_id": "4", "title": "x", "audience": 5 };
    bench
        .tasks
        .insert_many([untitled, mistyped, nobodys])
        .await
        .unwrap();
    let unseen = [
        RejectionCode::NotFound,
        RejectionCode::NotFound,
        RejectionCode::IdTaken,
    ];
    let named = [RejectionCode::InvalidValue; 3];
    for (user, id, codes) in [
        ("alice", "2", named),
        ("alice", "3", named),
        ("alice", "4", unseen),
        ("bob", "2", unseen),
        ("bob", "3", unseen),
        ("bob", "4", unseen),
    ] {
        let document = json!({ "audience": format!("user:{user}"), "title": "Mine" });
        let changes = vec![
            gateway.update(id, 1, json!({ "notes": "x" })),
            gateway.delete(id, 1),
            gateway.create(id, document),
        ];
        for (outcome, code) in gateway.push(user, changes).await.into_iter().zip(codes) {
            let error = outcome.error.unwrap();
            assert_eq!((error.code, outcome.document), (code, None), "{user} {id}");
            let names_it = code == RejectionCode::InvalidValue;
            assert_eq!(error.field.as_deref(), names_it.then_some("title"));
        }
        assert!(gateway.document(user, id).await.is_none());
    }
}
