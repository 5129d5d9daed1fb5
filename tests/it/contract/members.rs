//! What a store promises of memberships: which it reads and in which order, what it counts, and for which users it
//! reports changes.
//!
//! `committing` tests that they follow their documents.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream::BoxStream};
use tidegate::store::{Store, TailEvent};
use tidegate_core::{
    entry::{Entry, Membership},
    id::UserId,
    membership::{Bounds, GiverAndUser, Memberships, ROWS_MAX, UserChange, UserState},
    model::Role,
    transaction::{Reads, Writes},
};

use super::{
    Backend,
    fixture::{at, entries, entry, key, load, scope, tombstone, user, write},
};

fn given(id: &str, giver: Option<&str>, since: i64, to: &str) -> Entry {
    Entry {
        membership: Some(Membership {
            user: user(to),
            scope: scope(&format!("team:{id}")),
            role: Role::Read,
            giver: giver.map(user),
            since: at(since),
        }),
        ..entry(&key("Member", id), &scope("members"), 1)
    }
}

async fn read(store: &dyn Store, of: &str, services: &[&str]) -> Memberships {
    let bounds = Bounds {
        services: services.iter().map(|name| user(name)).collect(),
        ..Bounds::default()
    };
    let mut snapshot = store.snapshot().await.unwrap();
    snapshot.memberships(&user(of), &bounds).await.unwrap()
}

async fn decline(store: &dyn Store, of: &str, givers: &[&str]) {
    let change = UserChange {
        declined: Some(givers.iter().map(|name| user(name)).collect()),
    };
    let writes = Writes {
        users: [(user(of), change)].into(),
        ..Writes::default()
    };
    write(store, writes).await;
}

fn count_of(memberships: &Memberships, giver: Option<&str>) -> usize {
    let giver = giver.map(user);
    let rows = memberships.rows.values();
    rows.filter(|row| row.giver == giver).count()
}

pub(crate) async fn of_very_many_memberships_those_of_services_and_the_oldest_are_read(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    // Twenty givers with names on both sides of the honest one's, which came first, and two services, which came last.
    let mut all: Vec<Entry> = (0..20)
        .flat_map(|giver| {
            let name = match giver % 2 {
                0 => format!("a{giver}"),
                _ => format!("z{giver}"),
            };
            (0..1_000).map(move |n| {
                let since = 1_000 + n * 20 + giver;
                given(&format!("{name}-{n}"), Some(&name), since, "victim")
            })
        })
        .collect();
    all.extend((0..300).map(|n| given(&format!("honest-{n}"), Some("honest"), n, "victim")));
    all.extend((0..50).map(|n| given(&format!("foreign-{n}"), None, 90_000, "victim")));
    all.extend((0..50).map(|n| given(&format!("service-{n}"), Some("service"), 90_000, "victim")));
    all.push(given("other", Some("a0"), 1, "bob"));
    for some in all.chunks(1_000) {
        write(&*store, entries(some.iter().cloned())).await;
    }

    let memberships = read(&*store, "victim", &["service"]).await;
    assert_eq!(memberships.rows.len(), ROWS_MAX);
    assert_eq!(count_of(&memberships, None), 50);
    assert_eq!(count_of(&memberships, Some("service")), 50);
    assert_eq!(count_of(&memberships, Some("honest")), 300);
    // Left out are the 400 youngest of all others.
    for giver in 0..20 {
        let name = format!("{}{giver}", if giver % 2 == 0 { "a" } else { "z" });
        assert_eq!(count_of(&memberships, Some(&name)), 980, "{name}");
    }
    let unserved = read(&*store, "victim", &[]).await;
    assert_eq!(count_of(&unserved, Some("service")), 0, "as young as it is");

    decline(&*store, "victim", &["a0", "z1", "service"]).await;
    let memberships = read(&*store, "victim", &["service"]).await;
    assert_eq!(memberships.rows.len(), 18_350);
    assert_eq!(count_of(&memberships, Some("service")), 0);
    assert_eq!(count_of(&memberships, Some("a2")), 1_000);

    let reads = Reads {
        members: [user("victim"), user("bob"), user("nobody")].into(),
        ..Reads::default()
    };
    let loaded = load(&*store, reads).await;
    assert_eq!(
        *loaded.memberships[&user("victim")],
        read(&*store, "victim", &[]).await
    );
    assert_eq!(loaded.memberships[&user("bob")].rows.len(), 1);
    let nobody = loaded.memberships.get(&user("nobody"));
    assert!(nobody.is_none_or(|of| of.rows.is_empty()));
}

pub(crate) async fn what_a_giver_gives_a_user_is_counted(backend: &impl Backend) {
    let store = backend.open().await;
    let mut all: Vec<Entry> = (0..5)
        .map(|n| given(&n.to_string(), Some("alice"), n, "bob"))
        .collect();
    all.push(given("to-carol", Some("alice"), 1, "carol"));
    all.push(given("by-dave", Some("dave"), 1, "bob"));
    all.push(given("by-service", None, 1, "bob"));
    write(&*store, entries(all)).await;
    let changed = [
        tombstone(&key("Member", "0"), &scope("members"), 2),
        given("1", Some("alice"), 9, "carol"),
        given("2", Some("dave"), 9, "bob"),
    ];
    write(&*store, entries(changed)).await;
    let giving = |giver, to| GiverAndUser {
        giver: user(giver),
        user: user(to),
    };
    let expected = [
        (giving("alice", "bob"), 2),
        (giving("alice", "carol"), 2),
        (giving("alice", "nobody"), 0),
        (giving("dave", "bob"), 2),
    ];
    let reads = Reads {
        given: expected.iter().map(|(giving, _)| giving.clone()).collect(),
        ..Reads::default()
    };
    let loaded = load(&*store, reads).await;
    assert_eq!(loaded.given, expected.into());
}

pub(crate) async fn what_a_user_declines_comes_back_and_each_change_is_stamped(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    let state = async || {
        let reads = Reads {
            users: [user("bob"), user("nobody")].into(),
            ..Reads::default()
        };
        let mut loaded = load(&*store, reads).await;
        assert_eq!(
            loaded.users.remove(&user("nobody")).unwrap_or_default(),
            UserState::default()
        );
        let state = loaded.users.remove(&user("bob")).unwrap_or_default();
        let declined: Vec<String> = state.declined.iter().map(UserId::to_string).collect();
        (state.stamp, declined)
    };
    assert_eq!(state().await, (0, Vec::new()));
    decline(&*store, "bob", &["mallory", "eve"]).await;
    assert_eq!(
        state().await,
        (1, vec!["eve".to_owned(), "mallory".to_owned()])
    );
    let stamped = Writes {
        users: [(user("bob"), UserChange::default())].into(),
        ..entries([given("1", Some("eve"), 1, "bob")])
    };
    write(&*store, stamped).await;
    assert_eq!(
        state().await,
        (2, vec!["eve".to_owned(), "mallory".to_owned()])
    );
    assert!(read(&*store, "bob", &[]).await.rows.is_empty());
    decline(&*store, "bob", &[]).await;
    assert_eq!(state().await, (3, Vec::new()));
    assert_eq!(read(&*store, "bob", &[]).await.rows.len(), 1);
}

pub(crate) async fn a_tail_reports_users_whose_grants_changed_before_the_writes(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    let mut tail = store.tail();
    assert!(matches!(next(&mut tail).await, TailEvent::Restart));
    let stamped = Writes {
        users: [
            (user("bob"), UserChange::default()),
            (user("carol"), UserChange::default()),
        ]
        .into(),
        ..entries([given("1", Some("eve"), 1, "bob")])
    };
    write(&*store, stamped).await;
    let mut reported = BTreeSet::new();
    loop {
        match next(&mut tail).await {
            TailEvent::Grants(Some(users)) => reported.extend(users.iter().cloned()),
            TailEvent::Committed(_) => break,
            event => panic!("nothing else came to pass: {event:?}"),
        }
    }
    assert_eq!(reported, BTreeSet::from([user("bob"), user("carol")]));
}

async fn next(tail: &mut BoxStream<'static, TailEvent>) -> TailEvent {
    let next = tokio::time::timeout(std::time::Duration::from_secs(30), tail.next()).await;
    next.expect("the tail stands still")
        .expect("the tail ended")
}
