//! What is remembered of clients: for how long, and of how many (protocol 4.1 and 4.2).

use serde_json::json;
use tidegate_core::{
    id::MutationId,
    outcome::Status,
    push::{PushAnswer, PushRefusal},
};

use crate::{
    drafts::{Draft, create, delete, update},
    phone::red,
    senders::by,
    store::{CLIENTS_MAX, Store},
};

fn store() -> Store {
    let mut store = Store::new("SERVER_WINS");
    for user in ["alice", "bob"] {
        store.teams(user, &["red"]);
    }
    store
}

/// A push of Alice's whose first change has this number.
fn push(store: &mut Store, client: &str, first: i32, change: Draft) -> PushAnswer {
    store.push(&by("alice", client).from(first), &[change])
}

#[test]
fn a_push_whose_outcomes_were_collected_is_not_repeated_and_never_counts_twice() {
    let mut store = store();
    let create = || create("a", red());
    assert!(push(&mut store, "phone", 1, create()).is_ok());
    store.collect_clients();
    let reused = Err(PushRefusal::MutationIdReused);
    assert_eq!(push(&mut store, "phone", 1, create()), reused);
    assert!(push(&mut store, "phone", 2, delete("a", 0)).is_ok());
    store.collect_clients();
    assert_eq!(push(&mut store, "phone", 1, create()), reused);
    let expected = MutationId(3);
    let gap = Err(PushRefusal::MutationIdGap { expected });
    assert_eq!(push(&mut store, "phone", 9, create()), gap);
}

/// Its client has learned that it was rejected for good.
#[test]
fn a_rejected_push_is_not_decided_again_however_late_it_comes() {
    let mut store = store();
    let delete = || delete("a", 1);
    let answer = push(&mut store, "phone", 1, delete()).expect("it is answered");
    assert_eq!(answer.outcomes[0].status, Status::Rejected);
    store.collect_clients();
    let created = store.push(&by("bob", "tablet").from(1), &[create("a", red())]);
    assert!(created.is_ok());
    let reused = Err(PushRefusal::MutationIdReused);
    assert_eq!(push(&mut store, "phone", 1, delete()), reused);
}

#[test]
fn a_user_has_as_many_clients_as_are_remembered_until_the_oldest_are_collected() {
    let mut store = store();
    let client = |n: usize| format!("client {n}");
    for n in 0..CLIENTS_MAX {
        let created = push(&mut store, &client(n), 1, create(&n.to_string(), red()));
        assert!(created.is_ok());
    }
    let refused = Err(PushRefusal::TooManyClients { max: CLIENTS_MAX });
    let more = || create("more", red());
    assert_eq!(push(&mut store, "one more", 1, more()), refused);
    assert!(push(&mut store, &client(0), 2, delete("0", 0)).is_ok());
    let of_another = store.push(&by("bob", "one more").from(1), &[create("bob", red())]);
    assert!(of_another.is_ok());
    store.collect_clients();
    assert!(push(&mut store, "one more", 1, more()).is_ok());
    assert!(push(&mut store, &client(1), 2, delete("1", 0)).is_ok());
}

#[test]
fn the_clients_of_one_transaction_count_together() {
    let mut store = store();
    let senders: Vec<_> = (0..=CLIENTS_MAX)
        .map(|n| by("alice", &n.to_string()).from(1))
        .collect();
    let changes: Vec<_> = (0..=CLIENTS_MAX)
        .map(|n| [create(&n.to_string(), red())])
        .collect();
    let pushes: Vec<_> = senders.iter().zip(changes.iter().map(|c| &c[..])).collect();
    let answers = store.group(&pushes);
    assert_eq!(
        answers.iter().filter(|answer| answer.is_ok()).count(),
        CLIENTS_MAX
    );
}

#[test]
fn a_push_whose_client_is_left_out_waits_for_the_next_transaction_and_never_counts_twice() {
    let mut store = store();
    let [alice, bob] = ["alice", "bob"].map(|user| by(user, "phone").from(1));
    let created = [create("a", red())];
    let changed = [update("a", 1, json!({ "stars": 1 }))];
    let pushes = [(&alice, &created[..]), (&bob, &changed[..])];
    for answer in store.group(&pushes) {
        assert!(!answer.expect("it is taken").duplicate);
    }
    store.bytes_max = 0;
    let repeated = store.group(&pushes);
    assert_eq!(repeated.len(), 1, "one client always has room");
    for answer in [repeated, store.group(&pushes[1..])].concat() {
        assert!(answer.expect("it is known").duplicate);
    }
    assert_eq!(store.task("a").version.0, 2);
}
