//! The embedded store: it keeps the contract, and what it alone promises of its file.
//!
//! Tests with the real binary show that it survives a kill, a full disk and a file that may not be written.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use mongodb::bson::rawdoc;
use redb::{Database, TableDefinition};
use tempfile::TempDir;
use tidegate::{
    store::{
        Store, StoreError,
        embedded::{EmbeddedOptions, EmbeddedStore},
        finding::Level,
    },
    sync::examine_digests,
};
use tidegate_core::{checkpoint::TokenKey, id::Epoch};

use crate::contract::{
    Backend, contract,
    fixture::{entries, entry, feed, scope, seqs, task, write},
    sums::expect_sums,
};

contract!(Embedded);

struct Embedded(TempDir);

impl Backend for Embedded {
    async fn start() -> Self {
        Self(TempDir::new().unwrap())
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(open(self.0.path()).unwrap())
    }
}

fn open(directory: &Path) -> Result<EmbeddedStore, StoreError> {
    let options = EmbeddedOptions {
        tail_events_max: 64,
        ..EmbeddedOptions::new(Epoch::new("the-first-epoch").unwrap(), TokenKey([7; 32]))
    };
    EmbeddedStore::open(directory, &options)
}

fn refusal(directory: &Path) -> StoreError {
    match open(directory) {
        Ok(_) => panic!("the store was opened"),
        Err(error) => error,
    }
}

fn store_file(directory: &Path) -> PathBuf {
    directory.join("tidegate.redb")
}

#[tokio::test]
async fn a_store_is_made_with_its_directories_and_the_epoch_handed_in() {
    let place = TempDir::new().unwrap();
    let directory = place.path().join("not/yet/there");
    let store = open(&directory).unwrap();
    assert_eq!(
        store.snapshot().await.unwrap().state().epoch.as_str(),
        "the-first-epoch"
    );
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
}

#[tokio::test]
async fn the_epoch_handed_in_later_does_not_replace_the_first() {
    let place = TempDir::new().unwrap();
    drop(open(place.path()).unwrap());
    let options = EmbeddedOptions::new(Epoch::new("another").unwrap(), TokenKey([7; 32]));
    let store = EmbeddedStore::open(place.path(), &options).unwrap();
    assert_eq!(
        store.snapshot().await.unwrap().state().epoch.as_str(),
        "the-first-epoch"
    );
}

#[test]
fn a_second_opening_is_refused_with_the_place_and_what_to_do() {
    let place = TempDir::new().unwrap();
    let store = open(place.path()).unwrap();
    let error = refusal(place.path());
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    let message = error.to_string();
    assert!(
        message.contains(store_file(place.path()).to_str().unwrap()),
        "{message}"
    );
    assert!(message.contains("stop that one first"), "{message}");
    drop(store);
    open(place.path()).unwrap();
}

#[test]
fn of_many_who_open_a_new_place_at_once_one_gets_it_and_none_breaks_it() {
    let place = TempDir::new().unwrap();
    let opened: Vec<_> = thread::scope(|threads| {
        let openers = [(); 6].map(|()| threads.spawn(|| open(place.path())));
        openers.map(|opener| opener.join().unwrap()).into()
    });
    let (stores, refusals): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
    assert_eq!(stores.len(), 1);
    for refusal in refusals.into_iter().filter_map(Result::err) {
        assert!(matches!(refusal, StoreError::InUse { .. }), "{refusal:?}");
    }
    drop(stores);
    open(place.path()).unwrap();
}

#[tokio::test]
async fn a_dropped_store_can_be_opened_at_once_even_while_a_snapshot_of_it_is_held() {
    let place = TempDir::new().unwrap();
    let store = open(place.path()).unwrap();
    let a = scope("a");
    write(&store, entries([entry(&task("1"), &a, 1)])).await;
    let snapshot = store.snapshot().await.unwrap();
    drop(store);
    let store = open(place.path()).unwrap();
    assert_eq!(seqs(&feed(&store, &a).await), [1]);
    write(&store, entries([entry(&task("2"), &a, 1)])).await;
    drop(snapshot);
    assert_eq!(seqs(&feed(&store, &a).await), [1, 2]);
}

#[test]
fn a_creation_that_was_cut_short_begins_again() {
    let place = TempDir::new().unwrap();
    for left_behind in [&b""[..], b"redb", &[0; 5000]] {
        fs::write(place.path().join("tidegate.redb.new"), left_behind).unwrap();
        drop(open(place.path()).unwrap());
        fs::remove_file(store_file(place.path())).unwrap();
    }
}

#[test]
fn a_file_that_is_no_store_is_refused_by_name_and_left_as_it_was() {
    let place = TempDir::new().unwrap();
    for content in [&b""[..], b"not a store", &[7; 20_000]] {
        fs::write(store_file(place.path()), content).unwrap();
        let error = refusal(place.path());
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
        let message = error.to_string();
        assert!(
            message.contains("tidegate.redb is not a Tidegate store"),
            "{message}"
        );
        assert_eq!(fs::read(store_file(place.path())).unwrap(), content);
    }
}

#[tokio::test]
async fn a_store_that_was_cut_short_is_refused() {
    let place = TempDir::new().unwrap();
    let store = open(place.path()).unwrap();
    let written = (0..200).map(|id| entry(&task(&id.to_string()), &scope("a"), 1));
    write(&store, entries(written)).await;
    drop(store);
    let whole = fs::read(store_file(place.path())).unwrap();
    for kept in [10, 100, 5000, whole.len() / 2, whole.len() - 4096] {
        fs::write(store_file(place.path()), &whole[..kept]).unwrap();
        let error = refusal(place.path());
        assert!(
            matches!(error, StoreError::Corrupt(_)),
            "{kept} bytes: {error:?}"
        );
    }
}

#[test]
fn a_database_of_something_else_is_refused() {
    let place = TempDir::new().unwrap();
    let database = redb::Database::create(store_file(place.path())).unwrap();
    drop(database);
    let error = refusal(place.path());
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
}

#[test]
fn a_store_of_another_format_is_refused_with_both_numbers() {
    const FORMAT: redb::TableDefinition<&str, u32> = redb::TableDefinition::new("format");
    let place = TempDir::new().unwrap();
    drop(open(place.path()).unwrap());
    let database = redb::Database::open(store_file(place.path())).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(FORMAT)
        .unwrap()
        .insert("format", 99)
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = refusal(place.path());
    assert!(
        matches!(
            error,
            StoreError::OtherFormat {
                found: 99,
                known: 4,
                ..
            }
        ),
        "{error:?}"
    );
    for reported in ["format 99", "format 4", "a newer version", "no way back"] {
        assert!(error.to_string().contains(reported), "{error}");
    }
}

#[test]
fn a_place_that_cannot_be_a_directory_is_refused_by_name() {
    let place = TempDir::new().unwrap();
    let file = place.path().join("a-file");
    fs::write(&file, "").unwrap();
    for directory in [file.clone(), file.join("below")] {
        let message = refusal(&directory).to_string();
        assert!(message.contains("a-file"), "{message}");
    }
}

#[tokio::test]
async fn a_digest_of_other_documents_is_found_and_counted_again() {
    const SUMS: TableDefinition<&str, (i64, &[u8])> = TableDefinition::new("sums");
    let place = TempDir::new().unwrap();
    let (store, a) = (open(place.path()).unwrap(), scope("a"));
    write(&store, entries([entry(&task("1"), &a, 1)])).await;
    expect_sums(&store, &[&a]).await;
    drop(store);
    let database = Database::open(store_file(place.path())).unwrap();
    let writing = database.begin_write().unwrap();
    let nothing = rawdoc! { "d": {} };
    let mut table = writing.open_table(SUMS).unwrap();
    table.insert("a", (1, nothing.as_bytes())).unwrap();
    drop(table);
    writing.commit().unwrap();
    drop(database);
    let store = open(place.path()).unwrap();
    let levels = [
        (false, Level::Problem),
        (true, Level::Warning),
        (false, Level::Good),
    ];
    for (repairs, level) in levels {
        let found = examine_digests(&store, repairs).await.unwrap();
        assert_eq!(found.level, level, "{found}");
        assert!(level == Level::Good || found.examples == ["a"], "{found}");
    }
    expect_sums(&store, &[&a]).await;
}
