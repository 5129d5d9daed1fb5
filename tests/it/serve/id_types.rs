//! A start on documents whose `_id`s are not of the model's `idType`: most of them refuse it, a few do not.

use mongodb::{
    Collection,
    bson::{Bson, DateTime, Document, Uuid, doc, oid::ObjectId},
};
use tempfile::TempDir;

use super::{assert_says, configured_on, with_secret};
use crate::harness::{
    Server, complaint_of,
    mongod::{Deployment, fresh_database},
};

/// A directory for `serve` on a fresh database, and the collection of its type.
async fn start(id_type: &str) -> (TempDir, Collection<Document>) {
    let deployment = Deployment::shared().await;
    let name = fresh_database();
    let directory = configured_on(&deployment.url(&name));
    let model = format!(
        "extend schema @grant(scope: \"user:{{sub}}\", access: WRITE)\n\
         type Note @collection(name: \"notes\", idType: {id_type}) @scope(by: \"user:{{owner}}\") {{ id: ID! owner: ID! }}\n"
    );
    std::fs::write(directory.path().join("model.graphql"), model).unwrap();
    let notes = deployment.client().await.database(&name);
    (directory, notes.collection("notes"))
}

async fn fill(notes: &Collection<Document>, ids: impl Iterator<Item = Bson>) {
    let documents = ids.map(|id| doc! { "_id": id, "owner": "alice" });
    notes.insert_many(documents).await.unwrap();
}

fn object_ids(count: usize) -> impl Iterator<Item = Bson> {
    (0..count).map(|_| ObjectId::new().into())
}

#[tokio::test]
async fn a_start_on_ids_of_another_type_is_refused_with_the_type_that_fits() {
    for (id_type, ids, fitting) in [
        ("STRING", object_ids(3).collect(), "OBJECT_ID"),
        ("STRING", (0..300).map(Bson::Int32).collect(), "INT"),
        ("OBJECT_ID", vec![Bson::from("a")], "STRING"),
        ("INT", vec![Bson::from(Uuid::new())], "UUID"),
    ] {
        let (directory, notes) = start(id_type).await;
        fill(&notes, Vec::into_iter(ids)).await;
        let serve = complaint_of(&mut with_secret(directory.path(), &["serve"]));
        let check = with_secret(directory.path(), &["check"]).output().unwrap();
        assert_eq!(check.status.code(), Some(1));
        let advice = format!("write @collection(name: \"notes\", idType: {fitting})");
        let named = format!("are not of the model's idType {id_type}");
        for reported in [serve, String::from_utf8(check.stderr).unwrap()] {
            assert_says(&reported, &[&named, "a second document", &advice]);
        }
        let database = notes.client().database(&notes.namespace().db);
        let made = database.list_collection_names().await.unwrap();
        assert_eq!(made, ["notes"], "a refused start makes nothing");
    }
}

#[tokio::test]
async fn ids_that_no_id_type_fits_refuse_a_start_too() {
    let (directory, notes) = start("STRING").await;
    fill(&notes, (0..3).map(|ms| DateTime::from_millis(ms).into())).await;
    let serve = complaint_of(&mut with_secret(directory.path(), &["serve"]));
    assert_says(&serve, &["3 of 3 _ids", "no idType fits most of them"]);
}

/// They stand at both ends of the index, so that they are most of what is looked at first.
#[tokio::test]
async fn a_few_odd_ids_warn_and_the_gateway_starts() {
    let (directory, notes) = start("OBJECT_ID").await;
    fill(&notes, (0..100).map(Bson::Int32)).await;
    fill(&notes, (0..100).map(|ms| DateTime::from_millis(ms).into())).await;
    fill(&notes, object_ids(2_000)).await;
    let log = directory.path().join("log");
    let mut serve = with_secret(directory.path(), &["serve"]);
    serve.stderr(std::fs::File::create(&log).unwrap());
    let path = directory.path().to_owned();
    let server = tokio::task::spawn_blocking(move || Server::start(&path, serve));
    server.await.unwrap().stop();
    let log = std::fs::read_to_string(&log).unwrap();
    assert_says(
        &log,
        &[
            "_ids that were looked at in the collection notes",
            "are withheld",
        ],
    );
}
