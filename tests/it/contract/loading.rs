//! What a commit loads is bounded by bytes: documents come in their order, as far as they have room.
//!
//! The core decides about pushes whose documents are left out.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use tidegate_core::{
    entry::Entry,
    id::{ClientKey, ConflictId, DocumentKey},
    inbox::{InboxRecord, OpenConflict},
    transaction::{LoadBytesMax, Reads, Writes},
    value::{Document, Value, document_bytes},
};

use super::{
    Backend,
    clients::{client, client_state},
    fixture::{entries, entry, load, scope, task, write},
    inbox::{id, inbox, open},
};

/// A record takes this number of bytes or more, and less than twice as many.
const BYTES: usize = 4_000;

fn large(id: usize) -> Entry {
    let title = Value::String("x".repeat(BYTES));
    Entry {
        body: Some(Document::from([("title".to_owned(), title)])),
        ..entry(&task(&format!("{id:02}")), &scope("a"), 1)
    }
}

/// Bounds, and how many of ten keys in [`ORDER`] are looked at within each.
const ROOM: [(usize, usize); 5] = [
    (usize::MAX, 10),
    (8 * BYTES, 8),
    (3 * BYTES, 3),
    (BYTES, 1),
    (0, 1),
];

/// No store has this order by itself, and one of the documents does not exist.
const ORDER: [usize; 10] = [7, 3, 99, 9, 1, 8, 2, 6, 4, 5];

pub(crate) async fn documents_are_loaded_in_their_order_as_far_as_they_have_room(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    write(&*store, entries((1..=9).map(large))).await;
    let keys: Vec<DocumentKey> = ORDER.map(|id| task(&format!("{id:02}"))).into();
    // A store may take created documents for absent, until it has to look.
    let created = [
        vec![],
        keys.clone(),
        vec![task("07"), task("99"), task("03")],
    ];
    for created in created {
        for (bytes_max, loaded_max) in [
            (usize::MAX, 10),
            (8 * BYTES, 8),
            (4 * BYTES, 4),
            (3 * BYTES, 3),
            (BYTES, 1),
            (0, 1),
        ] {
            let reads = Reads {
                keys: keys.iter().cloned().collect(),
                created: created.iter().cloned().collect(),
                bytes_max: LoadBytesMax(bytes_max),
                ..Reads::default()
            };
            let loaded = load(&*store, reads).await;
            let (seen, unseen) = keys.split_at(loaded_max);
            let unseen: HashSet<DocumentKey> = unseen.iter().cloned().collect();
            assert_eq!(loaded.left_out, unseen, "{bytes_max} {created:?}");
            for key in seen {
                let is_there = *key != task("99");
                assert_eq!(loaded.entries.contains_key(key), is_there, "{key}");
            }
            let there = seen.iter().filter(|key| **key != task("99"));
            assert_eq!(loaded.entries.len(), there.count(), "{bytes_max}");
        }
    }
}

pub(crate) async fn documents_asked_for_by_their_keys_are_read_in_rounds_of_bounded_bytes(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    write(&*store, entries((1..=9).map(large))).await;
    let there: BTreeSet<DocumentKey> = (1..=9).map(|id| large(id).key).collect();
    for (bytes_max, rounds_min) in [(usize::MAX, 1), (4 * BYTES, 3), (BYTES, 9), (0, 9)] {
        let mut snapshot = store.snapshot().await.unwrap();
        let mut unread: BTreeSet<DocumentKey> = there.clone();
        unread.extend([task("00"), task("99")]);
        let (mut found, mut rounds) = (BTreeSet::new(), 0);
        while !unread.is_empty() {
            let read = snapshot.entries(&unread, bytes_max).await.unwrap();
            let bodies = read.found.values().filter_map(|entry| entry.body.as_ref());
            let bytes: usize = bodies.map(document_bytes).sum();
            assert!(
                bytes <= bytes_max || read.found.len() == 1,
                "{bytes} of {bytes_max}"
            );
            assert!(read.left_out.is_subset(&unread));
            assert!(!read.found.is_empty() || read.left_out.is_empty());
            rounds += usize::from(!read.found.is_empty());
            for key in read.found.into_keys() {
                assert!(!read.left_out.contains(&key) && found.insert(key));
            }
            unread = read.left_out;
        }
        assert_eq!(found, there, "{bytes_max}");
        assert!(rounds >= rounds_min, "{bytes_max}: {rounds}");
    }
}

pub(crate) async fn conflicts_are_loaded_in_their_order_as_far_as_they_have_room(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    let large = (1..=9).map(|n| match open(&n.to_string(), &task("1"), &scope("a"), n) {
        InboxRecord::Open(open) => InboxRecord::Open(Arc::new(OpenConflict {
            theirs: large(1).body,
            ..OpenConflict::clone(&open)
        })),
        settled @ InboxRecord::Resolved(_) => settled,
    });
    write(&*store, inbox(large)).await;
    let ids = ORDER.map(|n| id(&n.to_string()));
    for (bytes_max, loaded_max) in ROOM {
        let reads = Reads {
            inbox: ids.iter().cloned().collect(),
            bytes_max: LoadBytesMax(bytes_max),
            ..Reads::default()
        };
        let loaded = load(&*store, reads).await;
        let (seen, unseen) = ids.split_at(loaded_max);
        let unseen: HashSet<ConflictId> = unseen.iter().cloned().collect();
        assert_eq!(loaded.conflicts_left_out, unseen, "{bytes_max}");
        let seen = seen.iter().filter(|seen| **seen != id("99"));
        let seen: HashSet<ConflictId> = seen.cloned().collect();
        assert_eq!(loaded.inbox.into_keys().collect::<HashSet<_>>(), seen);
    }
}

pub(crate) async fn clients_are_loaded_in_their_order_as_far_as_they_have_room(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    let key = |n: usize| client(&n.to_string());
    let mut writes = Writes::default();
    for n in 1..=9 {
        let mut state = client_state(1);
        let error = state.outcomes.iter_mut().find_map(|it| it.error.as_mut());
        error.unwrap().message = "x".repeat(BYTES);
        writes.clients.push((key(n), state));
    }
    write(&*store, writes).await;
    let keys = ORDER.map(key);
    for (bytes_max, loaded_max) in ROOM {
        let reads = Reads {
            clients: keys.iter().cloned().collect(),
            bytes_max: LoadBytesMax(bytes_max),
            ..Reads::default()
        };
        let loaded = load(&*store, reads).await;
        let (seen, unseen) = keys.split_at(loaded_max);
        let unseen: HashSet<ClientKey> = unseen.iter().cloned().collect();
        assert_eq!(loaded.clients_left_out, unseen, "{bytes_max}");
        let seen = seen.iter().filter(|seen| **seen != key(99));
        let seen: HashSet<ClientKey> = seen.cloned().collect();
        assert_eq!(loaded.clients.into_keys().collect::<HashSet<_>>(), seen);
    }
}
