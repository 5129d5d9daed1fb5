//! What `check` and `doctor` say about lists without a key whose stored items hold more than the model names.

use mongodb::bson::{Bson, Document, doc};
use tempfile::TempDir;

use super::model;
use crate::harness::{
    Server, configured_on,
    mongod::{Deployment, fresh_database},
    with_secret,
};

/// All that a command prints.
fn says(directory: &TempDir, command: &str) -> String {
    let output = with_secret(directory.path(), &[command]).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn write_model(directory: &TempDir, text: &str) {
    std::fs::write(directory.path().join("model.graphql"), text).unwrap();
}

#[tokio::test]
async fn check_and_doctor_name_lists_without_a_key_that_hold_more_than_the_model() {
    let (deployment, name) = (Deployment::shared().await, fresh_database());
    let directory = configured_on(&deployment.url(&name));
    let boxes = deployment.client().await.database(&name);
    let boxes = boxes.collection::<Document>("boxes");
    let items = |extra: Document| {
        let items = (1..3).map(|k| {
            let mut item = doc! { "k": k, "v": 1 };
            item.extend(extra.clone());
            Bson::from(item)
        });
        items.collect::<Vec<_>>()
    };
    let of_service = || items(doc! { "_id": 7, "stock": { "at": "a" } });
    let documents = [
        doc! { "_id": "plain", "plain": of_service(), "keyed": [] },
        doc! { "_id": "both", "plain": of_service(), "keyed": of_service() },
        doc! { "_id": "neither", "plain": items(doc! {}), "keyed": items(doc! {}) },
    ];
    boxes.insert_many(&documents).await.unwrap();

    write_model(&directory, &model(""));
    let warning = "the items of Box.plain hold _id, stock in the database, which the model does not have, and the list has no @key";
    let others = "the items of Box.keyed";
    let checked = says(&directory, "check");
    assert!(checked.contains(warning), "{checked}");
    assert!(!checked.contains(others), "{checked}");
    Server::serve(&directory).stop();
    let examined = says(&directory, "doctor");
    assert!(examined.contains(warning), "{examined}");
    assert!(!examined.contains(others), "{examined}");

    let keyed = model("").replace("plain: [Item!]!", "plain: [Item!]! @key(field: \"k\")");
    write_model(&directory, &keyed);
    let checked = says(&directory, "check");
    assert!(!checked.contains("the items of"), "{checked}");
    write_model(&directory, &model(""));
    boxes
        .delete_many(doc! { "_id": { "$ne": "neither" } })
        .await
        .unwrap();
    let checked = says(&directory, "check");
    assert!(!checked.contains("the items of"), "{checked}");
}
