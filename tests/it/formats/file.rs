//! The conversion of a store in a file.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tidegate::store::{
    StoreError,
    conversion::Progress,
    embedded::{EmbeddedOptions, EmbeddedStore},
};
use tidegate_core::{checkpoint::TokenKey, id::Epoch};

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
