//! What a commit promises: all or nothing, in order, and for good.
//!
//! `feeds` tests how its writes are read page by page, and `tails` how they are reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{StreamExt, future::join_all};
use tidegate::store::{Store, StoreError, TailEvent};
use tidegate_core::{
    entry::{Entry, FeedItem, Membership, Record},
    id::{Epoch, Scope, Seq, Version},
    membership::Bounds,
    model::Role,
    transaction::{Loaded, Reads, Writes},
    value::{Document, Value},
};

use super::{
    Backend,
    clients::{client, client_state},
    fixture::{
        at, commit, entries, entry, feed, get, key, load, marker, scanned, scope, seqs, state,
        task, tombstone, try_write, user, whole, write,
    },
};

pub(crate) async fn a_commit_is_seen_whole_by_the_next_snapshot(backend: &impl Backend) {
    let store = backend.open().await;
    let (a, b) = (scope("a"), scope("b"));
    let mut writes = entries([entry(&task("1"), &a, 1), entry(&task("2"), &b, 1)]);
    writes.markers.push(marker(&task("2"), &a, 1));
    writes.clients.push((client("phone"), client_state(1)));
    writes.floors.insert(b.clone(), Seq(1));
    write(&*store, writes).await;

    let mut snapshot = store.snapshot().await.unwrap();
    let in_a = snapshot.scan(&whole(&a)).await.unwrap();
    assert_eq!(scanned(&in_a), [1, 2]);
    assert_eq!(snapshot.scan(&whole(&b)).await.unwrap().items.len(), 1);
    assert_eq!(state(&mut *snapshot, &a).await.head.0, 2);
    let of_b = state(&mut *snapshot, &b).await;
    assert_eq!((of_b.head, of_b.floor), (Seq(1), Seq(1)));
    let remembered = snapshot.client(&client("phone")).await.unwrap();
    assert_eq!(remembered, Some(client_state(1)));
    assert_eq!(
        *get(&*store, &task("1")).await.unwrap(),
        entry(&task("1"), &a, 1)
    );
}

pub(crate) async fn a_decision_sees_all_that_was_committed_before(backend: &impl Backend) {
    let store = backend.open().await;
    let a = scope("a");
    let mut writes = entries([
        entry(&task("1"), &a, 1),
        member("m", "bob", "team:1", Role::Read),
    ]);
    writes.clients.push((client("phone"), client_state(1)));
    writes.version_floor = Some(Version(7));
    write(&*store, writes).await;

    let reads = Reads {
        keys: [task("1"), task("missing")].into(),
        clients: [client("phone"), client("missing")].into(),
        members: BTreeSet::from([user("bob"), user("missing")]),
        ..Reads::default()
    };
    let loaded = load(&*store, reads).await;
    assert_eq!(loaded.epoch, store.snapshot().await.unwrap().state().epoch);
    assert_eq!(loaded.version_floor, Version(7));
    assert_eq!(loaded.entries.len(), 1);
    assert_eq!(*loaded.entries[&task("1")], entry(&task("1"), &a, 1));
    assert_eq!(loaded.clients, [(client("phone"), client_state(1))].into());
    assert_eq!(loaded.memberships[&user("bob")].rows.len(), 1);
    assert!(
        loaded
            .memberships
            .get(&user("missing"))
            .is_none_or(|memberships| memberships.rows.is_empty())
    );
    assert!(loaded.expired.is_empty());
}

pub(crate) async fn a_decision_that_panics_writes_nothing_and_stops_nobody(backend: &impl Backend) {
    let store = backend.open().await;
    let a = scope("a");
    write(&*store, entries([entry(&task("1"), &a, 1)])).await;
    let decide = |_: &Loaded| -> Writes { panic!("this panic belongs to the test") };
    let refused = store.commit(Reads::default(), Arc::new(decide)).await;
    assert!(
        matches!(refused, Err(StoreError::DecisionFailed(_))),
        "{refused:?}"
    );
    assert_eq!(seqs(&feed(&*store, &a).await), [1]);
    write(&*store, entries([entry(&task("2"), &a, 1)])).await;
    assert_eq!(seqs(&feed(&*store, &a).await), [1, 2]);
}

pub(crate) async fn what_cannot_be_stored_is_refused_with_all_that_came_with_it(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    let a = scope("a");
    write(&*store, entries([entry(&task("1"), &a, 1)])).await;
    let mut unstorable = entry(&task("2"), &a, 1);
    unstorable.body = Some(Document::from([("a\0b".to_owned(), Value::Null)]));
    let mut writes = entries([entry(&task("1"), &a, 2), unstorable]);
    writes.clients.push((client("phone"), client_state(1)));
    let refused = try_write(&*store, writes).await;
    assert!(
        matches!(refused, Err(StoreError::DecisionFailed(_))),
        "{refused:?}"
    );

    assert_eq!(get(&*store, &task("1")).await.unwrap().version, Version(1));
    assert_eq!(get(&*store, &task("2")).await, None);
    let mut snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.client(&client("phone")).await.unwrap(), None);
    assert_eq!(state(&mut *snapshot, &a).await.head.0, 1);
}

/// Each commit continues the count of its scope, so that its number is its position in the order of commits.
pub(crate) async fn seqs_have_no_gap_and_follow_the_order_of_commits(backend: &impl Backend) {
    const WRITERS: usize = 6;
    const COMMITS: usize = 6;
    let store = backend.open().await;
    let mut tail = store.tail();
    assert!(matches!(tail.next().await, Some(TailEvent::Restart)));
    let scopes = [scope("a"), scope("b"), scope("c")];
    let writers = (0..WRITERS).map(|writer| {
        let (store, scopes) = (Arc::clone(&store), scopes.clone());
        tokio::spawn(async move {
            for commit in 0..COMMITS {
                count_on(&*store, &scopes[(writer + commit) % 3]).await;
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }

    let mut reported: BTreeMap<Scope, Vec<i64>> = BTreeMap::new();
    while reported.values().map(Vec::len).sum::<usize>() < 2 * WRITERS * COMMITS {
        let Some(TailEvent::Committed(writes)) = tail.next().await else {
            panic!("the tail skipped or ended");
        };
        for write in writes.iter() {
            let of_scope = reported.entry(write.scope.clone()).or_default();
            of_scope.push(write.item.seq.0);
        }
    }
    let mut commits = 0;
    for scope in &scopes {
        let numbers: Vec<i32> = feed(&*store, scope)
            .await
            .iter()
            .filter_map(number)
            .collect();
        assert_eq!(numbers, (1..=numbers.len() as i32).collect::<Vec<_>>());
        let mut seqs = reported.remove(scope).unwrap();
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=2 * numbers.len() as i64).collect::<Vec<_>>());
        commits += numbers.len();
    }
    assert_eq!(commits, WRITERS * COMMITS);
}

async fn count_on(store: &dyn Store, scope: &Scope) {
    let counter = key("Counter", scope.as_str());
    let reads = Reads {
        keys: [counter.clone()].into(),
        ..Reads::default()
    };
    let scope = scope.clone();
    let decide = move |loaded: &Loaded| {
        let number = loaded
            .entries
            .get(&counter)
            .map_or(0, |entry| entry.version.0)
            + 1;
        let counted = key("Counted", &format!("{scope}-{number}"));
        entries([
            entry(&counter, &scope, number),
            entry(&counted, &scope, number),
        ])
    };
    commit(store, reads, Arc::new(decide)).await.unwrap();
}

fn number(item: &FeedItem) -> Option<i32> {
    let counted = item.record.key().type_name.as_str() == "Counted";
    counted.then_some(item.record.version().0)
}

pub(crate) async fn documents_of_many_types_and_sizes_come_back(backend: &impl Backend) {
    let store = backend.open().await;
    let a = scope("a");
    let sizes = [0, 1, 1_000, 100_000, 1_000_000];
    let written: Vec<Entry> = sizes
        .iter()
        .zip(["Task", "Project", "Note", "Étude", "T"])
        .map(|(size, type_name)| Entry {
            body: Some(Document::from([
                ("text".to_owned(), Value::String("ü".repeat(*size))),
                ("bytes".to_owned(), Value::Bytes(vec![0; *size])),
                (
                    "list".to_owned(),
                    Value::List(vec![Value::Long(i64::MIN); 3]),
                ),
                ("nothing".to_owned(), Value::Null),
            ])),
            ..entry(&key(type_name, &"i".repeat(256)), &a, i32::MAX)
        })
        .collect();
    write(&*store, entries(written.clone())).await;
    for entry in &written {
        assert_eq!(*get(&*store, &entry.key).await.unwrap(), *entry);
    }
    let records = feed(&*store, &a).await.into_iter().map(|item| item.record);
    let expected = written
        .into_iter()
        .map(|entry| Record::Entry(Arc::new(entry)));
    assert!(records.eq(expected));
}

pub(crate) async fn a_tombstone_keeps_no_body(backend: &impl Backend) {
    let store = backend.open().await;
    let a = scope("a");
    write(&*store, entries([entry(&task("1"), &a, 1)])).await;
    write(&*store, entries([tombstone(&task("1"), &a, 2)])).await;
    let stored = get(&*store, &task("1")).await.unwrap();
    assert!(stored.is_deleted());
    assert_eq!(*stored, tombstone(&task("1"), &a, 2));
    assert_eq!(seqs(&feed(&*store, &a).await), [2]);
}

pub(crate) async fn memberships_follow_their_documents(backend: &impl Backend) {
    let store = backend.open().await;
    let given = [
        member("1", "bob", "team:1", Role::Read),
        member("2", "bob", "team:2", Role::Write),
        member("3", "bobby", "team:1", Role::Write),
    ];
    write(&*store, entries(given)).await;
    let expected = [("team:1", Role::Read), ("team:2", Role::Write)];
    assert_eq!(opened(&*store, "bob").await, scopes(&expected));
    assert_eq!(
        opened(&*store, "bobby").await,
        scopes(&[("team:1", Role::Write)])
    );

    let changed = [
        member("1", "bob", "team:1", Role::Write),
        member("3", "bob", "team:3", Role::Read),
        tombstone(&key("Member", "2"), &scope("members"), 2),
    ];
    write(&*store, entries(changed)).await;
    let expected = [("team:1", Role::Write), ("team:3", Role::Read)];
    assert_eq!(opened(&*store, "bob").await, scopes(&expected));
    assert_eq!(opened(&*store, "bobby").await, scopes(&[]));
    assert_eq!(opened(&*store, "bo").await, scopes(&[]));
}

pub(crate) async fn an_epoch_change_is_in_force_with_its_commit(backend: &impl Backend) {
    let store = backend.open().await;
    let before = store.snapshot().await.unwrap();
    let next = Epoch::new("the-next-epoch").unwrap();
    assert_ne!(before.state().epoch, next);
    let rotation = Writes {
        epoch: Some(next.clone()),
        ..Writes::default()
    };
    let old = before.state().epoch.clone();
    write(&*store, rotation).await;
    assert_eq!(before.state().epoch, old);
    assert_eq!(store.snapshot().await.unwrap().state().epoch, next);
    assert_eq!(load(&*store, Reads::default()).await.epoch, next);
}

pub(crate) async fn everything_is_there_after_reopening(backend: &impl Backend) {
    let store = backend.open().await;
    let a = scope("a");
    let mut writes = entries([
        entry(&task("1"), &a, 1),
        tombstone(&task("2"), &a, 2),
        member("m", "bob", "team:1", Role::Write),
    ]);
    writes.markers.push(marker(&task("3"), &a, 3));
    writes.clients.push((client("phone"), client_state(1)));
    writes.floors.insert(a.clone(), Seq(1));
    writes.version_floor = Some(Version(9));
    writes.epoch = Some(Epoch::new("another").unwrap());
    write(&*store, writes).await;
    let written = feed(&*store, &a).await;
    drop(store);

    let store = backend.open().await;
    assert_eq!(feed(&*store, &a).await, written);
    let mut snapshot = store.snapshot().await.unwrap();
    let reopened = state(&mut *snapshot, &a).await;
    assert_eq!((reopened.head.0, reopened.floor.0), (3, 1));
    assert_eq!(snapshot.state().epoch.as_str(), "another");
    let remembered = snapshot.client(&client("phone")).await.unwrap();
    assert_eq!(remembered, Some(client_state(1)));
    assert_eq!(
        opened(&*store, "bob").await,
        scopes(&[("team:1", Role::Write)])
    );
    assert_eq!(
        load(&*store, Reads::default()).await.version_floor,
        Version(9)
    );
    write(&*store, entries([entry(&task("1"), &a, 2)])).await;
    assert_eq!(seqs(&feed(&*store, &a).await), [2, 3, 4]);
}

fn member(id: &str, of: &str, opens: &str, role: Role) -> Entry {
    Entry {
        membership: Some(Membership {
            user: user(of),
            scope: scope(opens),
            role,
            giver: Some(user("alice")),
            since: at(1),
        }),
        at: at(1),
        ..entry(&key("Member", id), &scope("members"), 1)
    }
}

async fn opened(store: &dyn Store, of: &str) -> BTreeMap<Scope, Role> {
    let mut snapshot = store.snapshot().await.unwrap();
    let bounds = Bounds::default();
    let memberships = snapshot.memberships(&user(of), &bounds).await.unwrap();
    memberships
        .rows
        .into_values()
        .inspect(|membership| assert_eq!(membership.user, user(of)))
        .map(|membership| (membership.scope, membership.role))
        .collect()
}

fn scopes(expected: &[(&str, Role)]) -> BTreeMap<Scope, Role> {
    let expected = expected.iter();
    expected
        .map(|(name, role)| (scope(name), role.clone()))
        .collect()
}
