//! Digests of scopes: what a page says of what its client then holds (protocol 1.18, 2.10, 2.11).

use std::collections::BTreeSet;

use serde_json::json;
use tidegate_core::{
    checkpoint::RequestedTypes,
    digest::ScopeSums,
    id::{Scope, TypeName, Version},
};
use tidegate_testkit::client::{Arrival, Client, Page, Slip};

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

/// A client of bob's that has taken a page, with the server's digests of then.
struct Compared {
    store: Store,
    client: Client,
}

impl Compared {
    fn new(slip: Option<Slip>) -> Self {
        let store = store();
        let client = Client::new("d", &store.model, RequestedTypes::All, slip);
        let mut compared = Self { store, client };
        assert_eq!(compared.pull(1), NOTHING);
        compared
    }

    /// Pulls all, and what it asks to read again. Returns the scopes that it then reports, and those that it asks for.
    fn pull(&mut self, requested: u32) -> (Vec<String>, Vec<String>) {
        let reread = self.client.rereads();
        let names: Vec<&str> = reread.iter().map(Scope::as_str).collect();
        let token = self.client.place.as_ref().map(|it| it.token.clone());
        let asked = Asked {
            user: "bob",
            token: token.as_deref(),
            types: RequestedTypes::All,
            refresh: &[],
            selection: 0,
            limit: 10,
            reread: &names,
        };
        let page = self.store.page_at(&self.store.gateway(), &asked);
        self.take(page, requested, reread)
    }

    fn take(
        &mut self,
        page: Page,
        requested: u32,
        reread: BTreeSet<Scope>,
    ) -> (Vec<String>, Vec<String>) {
        let client = &mut self.client;
        assert!(client.apply(Arrival {
            from: client.place.clone(),
            page,
            types: client.types.clone(),
            requested: Some(requested),
            refreshed: [].into(),
            reread,
        }));
        let names = |scopes: &BTreeSet<Scope>| scopes.iter().map(ToString::to_string).collect();
        (names(&client.differing), names(&client.reread))
    }

    fn lose(&mut self, id: &str) {
        self.client
            .held
            .remove(&key("Task", id))
            .expect("it is held");
    }

    /// A disk that loses a document again and again: the scope differs after it was read again.
    fn doubt(&mut self) {
        self.lose("a");
        assert_eq!(self.pull(1), (red(), red()));
        let reread = self.client.rereads();
        let page = self.store.page("bob", None, 10);
        let changes = page.changes.iter();
        let but_a = changes.filter(|item| item.record.key().id.as_str() != "a");
        let page = Page {
            changes: but_a.cloned().collect(),
            reset: false,
            ..page
        };
        assert_eq!(self.take(page, 1, reread), (red(), vec![]));
    }
}

const NOTHING: (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());

fn red() -> Vec<String> {
    vec!["team:red".to_owned()]
}

/// 1.18.
#[test]
fn what_differs_is_reported_and_mended_by_reading_it_again() {
    let mut device = Compared::new(None);
    device.lose("a");
    assert_eq!(device.pull(1), (red(), red()));
    assert!(!device.client.equals);
    assert_eq!(device.pull(1), NOTHING);
    assert!(device.client.equals && device.client.held.len() == 3);
}

/// 1.18. It would read for ever.
#[test]
fn what_differs_after_it_was_read_again_is_only_reported() {
    let mut device = Compared::new(None);
    device.doubt();
    for _ in 0..3 {
        assert_eq!(device.pull(1), (red(), vec![]));
    }
}

/// 1.18. While the app did not run, its disk may have lost something else.
#[test]
fn what_differs_still_is_read_again_after_the_next_start() {
    let mut device = Compared::new(None);
    device.doubt();
    device.client.start();
    assert!(device.client.differing.is_empty() && device.client.must_compare);
    assert_eq!(device.pull(1), (red(), red()));
    assert_eq!(device.pull(1), NOTHING);
    let mut device = Compared::new(Some(Slip::DoubtKept));
    device.doubt();
    device.client.start();
    assert_eq!(device.pull(1), (red(), vec![]));
}

/// 1.18. A client that sends whenever it pulls would never compare.
#[test]
fn what_an_answer_kept_from_being_compared_is_compared_later() {
    for (slip, compares) in [(None, true), (Some(Slip::ComparisonForgotten), false)] {
        let mut device = Compared::new(slip);
        device.lose("a");
        // The answer to a push came after this pull was requested.
        device.client.answered = 3;
        assert_eq!(device.pull(2), NOTHING);
        assert!(!device.client.equals);
        assert_eq!(device.client.must_compare, compares);
        assert_eq!(device.pull(3), (red(), red()));
        assert!(!device.client.must_compare);
    }
}

/// 1.18. A gateway without digests would prove it.
#[test]
fn a_client_equals_the_server_only_by_a_page_that_names_all_its_scopes() {
    for slip in [None, Some(Slip::UnnamedEqual)] {
        let mut device = Compared::new(slip);
        let page = Page {
            digests: [].into(),
            ..device.store.page("bob", None, 10)
        };
        assert_eq!(device.take(page, 1, [].into()), NOTHING);
        assert_eq!(device.client.equals, slip.is_some());
    }
    let mut device = Compared::new(None);
    assert!(device.client.equals);
    let page = device.store.page("bob", None, 10);
    let mut digests = page.digests.clone();
    digests.remove(&scope("team:red"));
    for (digests, equals) in [
        ([].into(), false),
        (digests, false),
        (page.digests.clone(), true),
    ] {
        let page = Page {
            digests,
            ..page.clone()
        };
        assert_eq!(device.take(page, 1, [].into()), NOTHING);
        assert_eq!(device.client.equals, equals);
    }
}
