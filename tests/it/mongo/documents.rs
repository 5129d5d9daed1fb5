//! The application's collections: they hold what the model names, as other services would write it, and nothing of
//! Tidegate's.

use mongodb::{
    Collection,
    bson::{Bson, DateTime, Document, Uuid, doc, oid::ObjectId, spec::BinarySubtype},
};
use serde_json::json;
use tidegate_core::outcome::Status::{Applied, Merged};

use super::{
    Mongo,
    gateway::{Gateway, statuses},
};
use crate::contract::Backend;

async fn stored(tasks: &Collection<Document>, id: &str) -> Option<Document> {
    tasks.find_one(doc! { "_id": id }).await.unwrap()
}

#[tokio::test]
async fn a_document_is_kept_with_its_modelled_fields_and_no_other() {
    let mongo = Mongo::start().await;
    let gateway = Gateway::start(&mongo.options().await).await;
    let due = "1969-12-31T23:59:59.999Z";
    let fields = json!({ "audience": "user:alice", "title": "Tea", "due": due, "notes": null, "lines": [{ "code": "a" }] });
    let created = gateway
        .push("alice", vec![gateway.create("1", fields)])
        .await;
    assert_eq!(statuses(&created), [Applied]);
    let tasks = mongo.database().await.collection("tasks");
    let expected = doc! {
        "_id": "1", "audience": "user:alice", "title": "Tea", "notes": null,
        "due_at": DateTime::from_millis(-1), "minutes": 0, "lines": [{ "code": "a" }],
    };
    assert_eq!(stored(&tasks, "1").await.unwrap(), expected);
    gateway.push("alice", vec![gateway.delete("1", 1)]).await;
    assert_eq!(
        stored(&tasks, "1").await,
        None,
        "a deleted document is deleted"
    );
}

#[tokio::test]
async fn what_others_keep_in_a_document_survives_every_push() {
    let mongo = Mongo::start().await;
    let gateway = Gateway::start(&mongo.options().await).await;
    let lines = json!([{ "code": "a", "count": 1 }, { "code": "b" }]);
    let fields = json!({ "audience": "user:alice", "title": "Tea", "address": { "city": "Ulm" }, "lines": lines });
    gateway
        .push("alice", vec![gateway.create("1", fields)])
        .await;
    let tasks = mongo.database().await.collection::<Document>("tasks");
    let foreign = doc! { "$set": { "rank": 7_i64, "address.geo": [1.5, 2.5], "lines.1.tag": "x" } };
    tasks
        .update_one(doc! { "_id": "1" }, foreign)
        .await
        .unwrap();

    let lines = json!([{ "code": "a", "count": 2 }, { "code": "b" }]);
    let edit =
        json!({ "title": "Coffee", "address": { "city": "Bonn" }, "lines": lines, "notes": "now" });
    let edited = gateway
        .push("alice", vec![gateway.update("1", 1, edit)])
        .await;
    assert_eq!(
        statuses(&edited),
        [Applied],
        "fields that the model does not name are no foreign edit"
    );
    let expected = doc! {
        "_id": "1", "audience": "user:alice", "title": "Coffee", "notes": "now", "minutes": 0,
        "address": { "city": "Bonn", "geo": [1.5, 2.5] },
        "lines": [{ "code": "a", "count": 2 }, { "code": "b", "tag": "x" }], "rank": 7_i64,
    };
    assert_eq!(stored(&tasks, "1").await.unwrap(), sorted(expected));
}

/// In MongoDB's order: the new fields last.
fn sorted(document: Document) -> Document {
    let order = [
        "_id", "audience", "title", "minutes", "address", "lines", "rank", "notes",
    ];
    order
        .iter()
        .map(|name| ((*name).to_owned(), document[*name].clone()))
        .collect()
}

#[tokio::test]
async fn ids_are_kept_as_the_collection_keeps_them() {
    let mongo = Mongo::start().await;
    let gateway = Gateway::start(&mongo.options().await).await;
    let uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let hex = "507f1f77bcf86cd799439011";
    let as_uuid = Bson::from(Uuid::parse_str(uuid).unwrap());
    assert!(matches!(&as_uuid, Bson::Binary(binary) if binary.subtype == BinarySubtype::Uuid));
    for (key, collection, id) in [
        (
            format!("ByObjectId/{hex}"),
            "object_ids",
            Bson::from(ObjectId::parse_str(hex).unwrap()),
        ),
        (format!("ByUuid/{uuid}"), "uuids", as_uuid),
        ("ByInt/-42".to_owned(), "numbers", Bson::from(-42_i64)),
    ] {
        let create = gateway.create(&key, json!({ "audience": "user:alice" }));
        assert_eq!(
            statuses(&gateway.push("alice", vec![create]).await),
            [Applied]
        );
        let documents = mongo.database().await.collection::<Document>(collection);
        let found = documents.find_one(doc! {}).await.unwrap().unwrap();
        assert_eq!(found, doc! { "_id": id.clone(), "audience": "user:alice" });
        let moved = gateway.update(&key, 1, json!({ "audience": "team:red" }));
        assert_eq!(
            statuses(&gateway.push("alice", vec![moved]).await),
            [Applied]
        );
        let found = documents
            .find_one(doc! { "_id": id })
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.get_str("audience").unwrap(), "team:red");
        assert!(
            gateway.document("bob", &key).await.is_some(),
            "the team has it"
        );
    }
}

#[tokio::test]
async fn a_number_that_others_wrote_as_their_id_is_the_same_document() {
    let mongo = Mongo::start().await;
    let gateway = Gateway::start(&mongo.options().await).await;
    let documents = mongo.database().await.collection::<Document>("numbers");
    let foreign = doc! { "_id": 7_i32, "audience": "user:alice" };
    documents.insert_one(foreign).await.unwrap();
    let create = gateway.create("ByInt/7", json!({ "audience": "team:red" }));
    let met = gateway.push("alice", vec![create]).await;
    assert_ne!(met[0].status, Applied, "it meets a living document");
    assert_ne!(met[0].status, Merged, "and the server wins");
    let found = documents.find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(found, doc! { "_id": 7_i32, "audience": "user:alice" });
}
