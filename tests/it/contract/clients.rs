//! What a store promises about clients: their states come back, and are found by user, by app, and when they are idle.

use std::collections::BTreeMap;

use tidegate::store::{ClientCount, Store};
use tidegate_core::{
    change::{Rejection, RejectionCode},
    id::{ApiHash, ClientId, ClientKey, MutationId, Version},
    outcome::Status,
    push::{ClientState, PushHash, RememberedOutcome},
    transaction::{ExpiryQuery, Reads, Writes},
};

use super::{
    Backend,
    fixture::{at, load, user, write},
};

pub(crate) async fn client_states_come_back(backend: &impl Backend) {
    let store = backend.open().await;
    let mut writes = Writes::default();
    writes.clients.push((client("phone"), client_state(1)));
    writes.clients.push((client("laptop"), client_state(2)));
    write(&*store, writes).await;
    let mut writes = Writes::default();
    writes.clients.push((client("phone"), client_state(3)));
    write(&*store, writes).await;

    let mut snapshot = store.snapshot().await.unwrap();
    for (device, expected) in [
        ("phone", Some(client_state(3))),
        ("laptop", Some(client_state(2))),
        ("missing", None),
    ] {
        assert_eq!(snapshot.client(&client(device)).await.unwrap(), expected);
    }
    let of_another_user = ClientKey {
        user: user("bob"),
        ..client("phone")
    };
    assert_eq!(snapshot.client(&of_another_user).await.unwrap(), None);
}

pub(crate) async fn clients_are_counted_and_found_when_they_are_idle(backend: &impl Backend) {
    let store = backend.open().await;
    let mut writes = Writes::default();
    for (device, last) in [("phone", 10), ("laptop", 20), ("tablet", 30)] {
        writes.clients.push((client(device), client_state(last)));
    }
    let of_another_user = ClientKey {
        user: user("alice2"),
        ..client("phone")
    };
    writes.clients.push((of_another_user, client_state(40)));
    write(&*store, writes).await;
    assert_eq!(idle(&*store, 10, 10).await, []);
    let both = [("laptop", 20), ("phone", 10)];
    assert_eq!(idle(&*store, 21, 10).await, owned(&both));
    assert_eq!(idle(&*store, 21, 1).await.len(), 1);
    assert_eq!(counted(&*store, "new").await, Some(3));
    assert_eq!(counted(&*store, "phone").await, None);

    let mut writes = Writes::default();
    let forgotten = ClientState::forgotten(MutationId(10));
    writes.clients.push((client("phone"), forgotten.clone()));
    write(&*store, writes).await;
    drop(store);
    let store = backend.open().await;
    assert_eq!(idle(&*store, 21, 10).await, owned(&both[..1]));
    assert_eq!(counted(&*store, "new").await, Some(2));
    assert_eq!(counted(&*store, "phone").await, Some(2));
    let mut snapshot = store.snapshot().await.unwrap();
    let found = snapshot.client(&client("phone")).await.unwrap();
    assert_eq!(found, Some(forgotten));
}

pub(crate) async fn clients_are_counted_by_the_api_of_their_app(backend: &impl Backend) {
    let store = backend.open().await;
    let (old, new) = (Some(ApiHash([1; 16])), Some(ApiHash([2; 16])));
    let mut writes = Writes::default();
    for (device, last, api) in [
        ("before", 10, old),
        ("phone", 20, old),
        ("laptop", 21, new),
        ("tablet", 30, old),
        ("silent", 30, None),
    ] {
        let state = ClientState {
            api,
            ..client_state(last)
        };
        writes.clients.push((client(device), state));
    }
    let forgotten = ClientState::forgotten(MutationId(10));
    writes.clients.push((client("forgotten"), forgotten));
    write(&*store, writes).await;

    let mut snapshot = store.snapshot().await.unwrap();
    let counted = snapshot.clients_by_api(at(20), 4).await.unwrap();
    let by_api = BTreeMap::from([(None, 1), (old, 2), (new, 1)]);
    let has_more = false;
    assert_eq!(counted, ClientCount { by_api, has_more });
    let counted = snapshot.clients_by_api(at(20), 3).await.unwrap();
    assert_eq!(counted.by_api.values().sum::<usize>(), 3);
    assert!(counted.has_more);
    let counted = snapshot.clients_by_api(at(31), 3).await.unwrap();
    assert_eq!(counted, ClientCount::default());
}

pub(crate) async fn the_clients_of_a_user_are_read_in_the_order_of_their_names(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    let forgotten = ClientState::forgotten(MutationId(4));
    let of = |name: &str, device: &str| ClientKey {
        user: user(name),
        ..client(device)
    };
    let states = [
        (of("alice", "a"), client_state(1)),
        (of("alice", "b"), forgotten),
        (of("alice", "b2"), client_state(2)),
        (of("alice", "c"), client_state(3)),
    ];
    let mut writes = Writes::default();
    writes
        .clients
        .extend([3, 1, 0, 2].map(|nth: usize| states[nth].clone()));
    for name in ["ali", "alice2", "bob"] {
        writes.clients.push((of(name, "a"), client_state(9)));
    }
    write(&*store, writes).await;
    let alice = user("alice");
    for limit in [1, 3, 4, 9] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let mut snapshot = store.snapshot().await.unwrap();
            let page = snapshot.clients_of_user(&alice, after.as_ref(), limit);
            let page = page.await.unwrap();
            assert!(page.len() <= limit);
            let Some((last, _)) = page.last() else { break };
            after = Some(last.client.clone());
            found.extend(page);
        }
        assert_eq!(found, states, "{limit} at a time");
    }
    let mut snapshot = store.snapshot().await.unwrap();
    let of_nobody = snapshot.clients_of_user(&user("al"), None, 9).await;
    assert_eq!(of_nobody.unwrap(), []);
}

fn owned(clients: &[(&str, i32)]) -> Vec<(String, i32)> {
    let owned = clients
        .iter()
        .map(|(name, last)| ((*name).to_owned(), *last));
    owned.collect()
}

/// The clients that have not pushed since, by name, with their last ids.
async fn idle(store: &dyn Store, before_ms: i64, limit: usize) -> Vec<(String, i32)> {
    let expired = Some(ExpiryQuery {
        before: at(before_ms),
        limit,
    });
    let reads = Reads {
        expired,
        ..Reads::default()
    };
    let idle = load(store, reads).await.idle.into_iter();
    let mut idle: Vec<_> = idle
        .map(|(key, last)| (key.client.as_str().to_owned(), last.0))
        .collect();
    idle.sort();
    idle
}

async fn counted(store: &dyn Store, device: &str) -> Option<usize> {
    let reads = Reads {
        clients: [client(device)].into(),
        ..Reads::default()
    };
    let loaded = load(store, reads).await;
    loaded.clients_of.get(&user("alice")).copied()
}

pub(super) fn client(device: &str) -> ClientKey {
    ClientKey {
        user: user("alice"),
        client: ClientId::new(device).unwrap(),
    }
}

pub(super) fn client_state(last: i32) -> ClientState {
    let rejection = Rejection::of_field(RejectionCode::InvalidValue, "title", "is too long");
    let outcome = |status, version, error| RememberedOutcome {
        status,
        version,
        error,
        inbox: None,
    };
    ClientState {
        last: MutationId(last),
        first: MutationId(last),
        hash: PushHash([last as u8; 32]),
        outcomes: vec![
            outcome(Status::Applied, Some(Version(last)), None),
            outcome(Status::Rejected, None, Some(rejection)),
        ],
        at: Some(at(i64::from(last))),
        api: Some(ApiHash([last as u8; 16])),
    }
}
