//! What a snapshot promises: all its answers are of one moment.
//!
//! Bounds and order of a scan are in `feeds`.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tidegate::store::{Snapshot, Store};
use tidegate_core::{
    entry::ScopeState,
    id::{ClientId, ClientKey, MutationId, Scope, ScopeNumber, Seq, Version},
    membership::Bounds,
    push::{ClientState, PushHash},
    transaction::Writes,
};

use super::{
    Backend,
    fixture::{entries, entry, feed, scope, state, task, user, whole, write},
};

pub(crate) async fn each_scope_has_a_number_of_its_own_which_stays(backend: &impl Backend) {
    const SCOPES: i32 = 300;
    let store = backend.open().await;
    let key = store.snapshot().await.unwrap().state().token_key.clone();
    let names = |numbers: std::ops::Range<i32>| {
        let names = numbers.map(|number| scope(&format!("s{number}")));
        names.collect::<BTreeSet<_>>()
    };
    for scope in names(0..3) {
        write(&*store, entries([entry(&task(scope.as_str()), &scope, 1)])).await;
    }
    let first = numbers(&*store, &names(0..3)).await;
    let rest = names(3..SCOPES).into_iter();
    let rest = rest.map(|scope| entry(&task(scope.as_str()), &scope, 1));
    write(&*store, entries(rest)).await;
    let again = entry(&task("s1"), &scope("s1"), 2);
    let mut writes = entries([again]);
    writes.floors.insert(scope("s2"), Seq(1));
    writes.floors.insert(scope("only-a-floor"), Seq(1));
    write(&*store, writes).await;
    let mut all = names(0..SCOPES);
    all.insert(scope("only-a-floor"));
    let given = numbers(&*store, &all).await;
    assert_eq!(given.len(), all.len(), "no number is given twice");
    assert!(first.iter().all(|(number, scope)| given[number] == *scope));
    drop(store);
    let store = backend.open().await;
    assert_eq!(numbers(&*store, &all).await, given);
    let mut snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.state().token_key, key);
    let mut asked: BTreeSet<ScopeNumber> = given.keys().copied().collect();
    asked.insert(ScopeNumber(u32::MAX));
    assert_eq!(snapshot.scopes_numbered(&asked).await.unwrap(), given);
    assert_eq!(
        state(&mut *snapshot, &scope("unwritten")).await.number,
        None
    );
}

async fn numbers(store: &dyn Store, scopes: &BTreeSet<Scope>) -> HashMap<ScopeNumber, Scope> {
    let mut snapshot = store.snapshot().await.unwrap();
    let states = snapshot.scopes(scopes).await.unwrap();
    let numbers = states.into_iter();
    let numbers = numbers.map(|(scope, state)| (state.number.unwrap(), scope));
    numbers.collect()
}

/// Each commit writes its number everywhere. A snapshot must show one number, however late it is read.
pub(crate) async fn a_snapshot_is_of_one_moment_while_writers_write(backend: &impl Backend) {
    const COMMITS: i32 = 24;
    let store = backend.open().await;
    write(&*store, numbered(1)).await;
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for number in 2..=COMMITS {
                write(&*store, numbered(number)).await;
            }
        }
    });
    loop {
        let done = writer.is_finished();
        let mut snapshot = store.snapshot().await.unwrap();
        let head = state(&mut *snapshot, &scope("a")).await.head;
        if !done {
            wait_until_above(&*store, &scope("a"), head).await;
        }
        assert_numbered(&mut *snapshot, head).await;
        if done {
            assert_eq!(head, Seq(i64::from(2 * COMMITS)));
            break;
        }
    }
    writer.await.unwrap();
}

async fn wait_until_above(store: &dyn Store, scope: &Scope, head: Seq) {
    for _ in 0..50 {
        if store.confirmed_head(scope).await.unwrap() > head {
            return;
        }
        tokio::task::yield_now().await;
    }
}

fn numbered(number: i32) -> Writes {
    let (a, b) = (scope("a"), scope("b"));
    let mut writes = entries([
        entry(&task("1"), &a, number),
        entry(&task("2"), &a, number),
        entry(&task("3"), &b, number),
    ]);
    writes.floors.insert(b, Seq(i64::from(number)));
    let state = ClientState {
        last: MutationId(number),
        first: MutationId(number),
        hash: PushHash([0; 32]),
        outcomes: vec![],
        at: None,
        api: None,
    };
    writes.clients.push((phone(), state));
    writes
}

async fn assert_numbered(snapshot: &mut dyn Snapshot, head: Seq) {
    let number = head.0 / 2;
    let version = Version(i32::try_from(number).unwrap());
    let keys = BTreeSet::from(["1", "2", "3"].map(task));
    let entries = snapshot.entries(&keys, usize::MAX).await.unwrap().found;
    assert_eq!(entries.len(), keys.len());
    assert!(
        entries.values().all(|entry| entry.version == version),
        "{entries:?}"
    );
    for (name, records) in [("a", 2), ("b", 1)] {
        let scan = snapshot.scan(&whole(&scope(name))).await.unwrap();
        let items = scan.decoded().unwrap();
        assert_eq!(items.len(), records);
        assert!(items.iter().all(|item| item.record.version() == version));
    }
    let b = state(snapshot, &scope("b")).await;
    assert_eq!((b.head.0, b.floor.0), (number, number));
    let client = snapshot.client(&phone()).await.unwrap().unwrap();
    assert_eq!(i64::from(client.last.0), number);
}

fn phone() -> ClientKey {
    ClientKey {
        user: user("alice"),
        client: ClientId::new("phone").unwrap(),
    }
}

pub(crate) async fn what_was_never_written_is_absent_and_its_heads_are_zero(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    let mut snapshot = store.snapshot().await.unwrap();
    let zeros = state(&mut *snapshot, &scope("a")).await;
    assert_eq!(zeros, ScopeState::default());
    assert_eq!(snapshot.client(&phone()).await.unwrap(), None);
    assert!(
        snapshot
            .memberships(&user("alice"), &Bounds::default())
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    let keys = BTreeSet::from([task("1")]);
    assert!(snapshot.entries(&keys, 0).await.unwrap().found.is_empty());
    assert!(feed(&*store, &scope("a")).await.is_empty());
}

pub(crate) async fn a_confirmed_head_is_that_of_the_last_commit(backend: &impl Backend) {
    let store = backend.open().await;
    let a = scope("a");
    assert_eq!(store.confirmed_head(&a).await.unwrap(), Seq::START);
    for version in 1..=3 {
        write(&*store, entries([entry(&task("1"), &a, version)])).await;
        let head = store.confirmed_head(&a).await.unwrap();
        assert_eq!(head, Seq(i64::from(version)));
    }
}
