//! The conversion of a store in a file.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
};

use redb::{Database, TableDefinition};
use tidegate::store::{
    Store, StoreError,
    conversion::Progress,
    embedded::{EmbeddedOptions, EmbeddedStore},
};
use tidegate_core::{
    checkpoint::TokenKey,
    generation::{Generation, ModelRecord},
    id::Epoch,
};

use super::OldStore;
use crate::harness::Server;

fn options() -> EmbeddedOptions {
    EmbeddedOptions::new(Epoch::new("of-a-new-store").unwrap(), TokenKey([7; 32]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversion_that_stops_before_its_commit_leaves_the_file_as_it_was() {
    let store = OldStore::embedded().await;
    let mut stopped = options();
    stopped.conversion = Progress::new(|_| panic!("the process ends"));
    let ended = catch_unwind(AssertUnwindSafe(|| {
        EmbeddedStore::open(&store.data(), &stopped)
    }));
    assert!(!matches!(ended, Ok(Ok(_))));
    let announced = EmbeddedStore::convertible(&store.data()).unwrap();
    assert!(announced.is_some(), "it still has the format before");
    let server = Server::serve(&store.directory);
    store.expect_unchanged(&server).await;
}

#[tokio::test]
async fn a_file_is_not_converted_without_the_notes_of_the_version_before() {
    for (name, said) in [
        ("served-model.graphql", "does not say which model"),
        ("restamped", "may not be escaped"),
    ] {
        let store = OldStore::embedded().await;
        let note = store.data().join(name);
        let text = fs::read(&note).unwrap();
        fs::remove_file(&note).unwrap();
        let refused = EmbeddedStore::open(&store.data(), &options())
            .map(drop)
            .unwrap_err();
        assert!(matches!(refused, StoreError::Unsuitable(_)), "{refused}");
        assert!(refused.to_string().contains(said), "{refused}");
        fs::write(&note, text).unwrap();
        EmbeddedStore::open(&store.data(), &options()).unwrap();
        assert_eq!(EmbeddedStore::convertible(&store.data()).unwrap(), None);
    }
}

#[tokio::test]
async fn a_converted_file_begins_with_the_model_that_it_was_served_with() {
    let old = OldStore::embedded().await;
    let store = EmbeddedStore::open(&old.data(), &options()).unwrap();
    let models = store.models();
    let served = ModelRecord::of_served(super::MODEL);
    assert_eq!(models.record().await.unwrap(), served);
    let register = async |text: &str| models.register(text, "hash").await.unwrap();
    assert_eq!(register("another").await, Generation(2));
    assert_eq!(register(super::MODEL).await, Generation(1));
}

/// Versions before the version before leave indexes as they were.
#[tokio::test]
async fn a_file_that_the_version_before_did_not_write_last_is_not_converted() {
    const META: TableDefinition<(), (&str, i32, u64)> = TableDefinition::new("meta");
    let old = OldStore::embedded().await;
    let path = old.data().join("tidegate.redb");
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut meta = transaction.open_table(META).unwrap();
    meta.insert((), ("e1", 0, 1_000_000)).unwrap();
    drop(meta);
    transaction.commit().unwrap();
    drop(database);
    let refused = EmbeddedStore::open(&old.data(), &options()).map(drop);
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("written by an earlier version"),
        "{refused}"
    );
}
