//! Digests of scopes: what a page says of what its client then holds (protocol 1.18, 2.10, 2.11).

use serde_json::json;
use tidegate_core::{
    checkpoint::RequestedTypes,
    digest::ScopeSums,
    id::{Scope, TypeName, Version},
};
use tidegate_testkit::client::{Arrival, Client, Page};

use crate::{
    drafts::{create, delete, key, update},
    senders::by,
    store::{Asked, Store, only},
};

fn scope(name: &str) -> Scope {
    Scope::new(name).expect("a short name")
}

fn store() -> Store {
    let mut store = Store::new("MERGE");
    store.teams("bob", &["red", "blue"]);
    let drafts = [
        create("a", json!({ "audience": "team:red" })),
        create("b", json!({ "audience": "team:red" })),
        create("c", json!({ "audience": "team:blue" })),
    ];
    store
        .push(&by("bob", "b").from(1), &drafts)
        .expect("it is taken");
    store
}

fn taken(client: &mut Client, page: &Page, requested: u32) {
    let arrival = Arrival {
        from: client.place.clone(),
        page: page.clone(),
        types: client.types.clone(),
        requested: Some(requested),
        refreshed: [].into(),
        reread: [].into(),
    };
    assert!(client.apply(arrival));
}

/// Pulls to the end, and expects that the client holds what the digests say of these scopes, and of no other.
fn pulled(store: &Store, client: &mut Client, scopes: &[&str]) {
    loop {
        let token = client.place.as_ref().map(|place| place.token.clone());
        let page = store.page("bob", token.as_deref(), 1);
        taken(client, &page, 1);
        if !page.has_more {
            let said: Vec<&str> = page.digests.keys().map(Scope::as_str).collect();
            assert_eq!(said, scopes);
            assert_eq!(client.differing, [].into());
            return;
        }
        assert!(page.digests.is_empty());
    }
}

/// A change of any of it is another digest: the client of a stranger can hold itself against these.
#[test]
fn a_digest_is_computed_as_the_rules_say() {
    let mut sums = ScopeSums::default();
    let digest = |sums: &ScopeSums| sums.digest(TypeName::to_string).to_string();
    assert_eq!(digest(&sums), "0".repeat(32));
    sums.add(&key("Task", "b"), Version(3));
    sums.add(&key("Task", "a"), Version(1));
    assert_eq!(digest(&sums), "9fb20f6b9b5b84e08c293dbe506745e0");
    sums.add(&key("Note", "n"), Version(2));
    assert_eq!(digest(&sums), "6b88565cd8c77467862ed4dc3d2fe7fb");
    sums.remove(&key("Task", "a"), Version(1));
    sums.remove(&key("Task", "b"), Version(3));
    assert_eq!(digest(&sums), "f43a5937439cf0870a07e9626d48a21b");
    let renamed = sums.digest(|_| "Memo".to_owned()).to_string();
    assert_ne!(renamed, digest(&sums));
}

#[test]
fn the_last_page_of_a_pull_says_what_is_live_in_each_scope() {
    let mut store = store();
    let mut client = Client::new("d", &store.model, RequestedTypes::All, None);
    pulled(&store, &mut client, &["team:blue", "team:red"]);
    let drafts = [
        update("a", 0, json!({ "audience": "team:blue" })),
        delete("b", 0),
    ];
    store
        .push(&by("bob", "b").from(4), &drafts)
        .expect("it is taken");
    pulled(&store, &mut client, &["team:blue", "team:red"]);
    assert_eq!(
        client.digest(&scope("team:red")).to_string(),
        "0".repeat(32)
    );
    store.collect();
    pulled(&store, &mut client, &["team:blue", "team:red"]);
}

#[test]
fn a_document_that_is_missing_or_old_is_noticed_in_its_scope_alone() {
    let store = store();
    for harm in [
        |client: &mut Client| drop(client.held.remove(&key("Task", "a"))),
        |client: &mut Client| {
            let held = client.held.get_mut(&key("Task", "a"));
            held.expect("it was pulled").version = Version(7);
        },
    ] {
        let mut client = Client::new("d", &store.model, RequestedTypes::All, None);
        pulled(&store, &mut client, &["team:blue", "team:red"]);
        harm(&mut client);
        let token = client.place.as_ref().map(|place| place.token.clone());
        taken(&mut client, &store.page("bob", token.as_deref(), 1), 1);
        assert_eq!(client.differing, [scope("team:red")].into());
    }
}

#[test]
fn a_scope_that_is_read_again_is_dropped_and_comes_whole() {
    let store = store();
    let mut client = Client::new("d", &store.model, RequestedTypes::All, None);
    pulled(&store, &mut client, &["team:blue", "team:red"]);
    client.held.remove(&key("Task", "a"));
    let token = client.place.as_ref().map(|place| place.token.clone());
    let asked = Asked {
        user: "bob",
        token: token.as_deref(),
        types: RequestedTypes::All,
        refresh: &[],
        selection: 0,
        limit: 1,
        reread: &["team:red", "team:green", "user:alice"],
    };
    let page = store.page_at(&store.gateway(), &asked);
    assert_eq!(
        (page.reset, &page.revoked[..]),
        (false, &[scope("team:red")][..])
    );
    taken(&mut client, &page, 1);
    pulled(&store, &mut client, &["team:blue", "team:red"]);
    assert_eq!(client.held.len(), 3);
}

#[test]
fn a_digest_speaks_of_the_types_that_were_asked_for() {
    let mut store = store();
    let note = create("n", json!({ "audience": "team:red" })).of("Note");
    store
        .push(&by("bob", "b").from(4), &[note])
        .expect("it is taken");
    let of = |types: RequestedTypes| store.page_of("bob", None, types, 10).digests;
    let (tasks, all) = (of(only(&["Task"])), of(RequestedTypes::All));
    assert_ne!(tasks[&scope("team:red")], all[&scope("team:red")]);
    assert_eq!(tasks[&scope("team:blue")], all[&scope("team:blue")]);
    assert!(of(only(&["Task", "Retired"])).is_empty());
}

/// It would say that the client has too much.
#[test]
fn a_gateway_that_lacks_a_type_of_the_client_gives_no_digest() {
    let store = store();
    let whole = store.page("bob", None, 10);
    let asked = Asked {
        user: "bob",
        token: Some(&whole.token()),
        types: RequestedTypes::All,
        refresh: &[],
        selection: 0,
        limit: 10,
        reread: &[],
    };
    let page = store.page_at(&store.older_gateway(), &asked);
    assert!(!whole.digests.is_empty() && page.digests.is_empty());
}

#[test]
fn a_scope_has_no_digest_while_something_of_it_cannot_be_shown() {
    let store = store();
    let mut gateway = store.gateway();
    gateway.shows = |entry| entry.key.id.as_str() != "a";
    let asked = |token| Asked {
        user: "bob",
        token,
        types: RequestedTypes::All,
        refresh: &[],
        selection: 0,
        limit: 10,
        reread: &[],
    };
    let page = store.page_at(&gateway, &asked(None));
    let said: Vec<&str> = page.digests.keys().map(Scope::as_str).collect();
    assert_eq!(said, ["team:blue"]);
    let token = page.token();
    let again = store.page_at(&gateway, &asked(Some(&token)));
    assert_eq!(again.digests, page.digests);
}

#[test]
fn digests_have_no_scope_that_is_not_granted() {
    let store = store();
    assert!(store.page("carol", None, 10).digests.is_empty());
}
