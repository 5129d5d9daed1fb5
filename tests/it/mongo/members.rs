//! Memberships on MongoDB: their changes in the tail, and how they are read from their index alone.
//!
//! The contract has what every store promises of them.

use std::time::Duration;

use futures_util::{StreamExt, stream::BoxStream};
use mongodb::bson::{Document, doc};
use tidegate::store::{Store, TailEvent};
use tidegate_core::{
    entry::Membership,
    membership::{Bounds, UserChange},
    model::Role,
    transaction::Writes,
};
use tokio::time::timeout;

use super::{open, options};
use crate::{
    contract::fixture::{at, entries, entry, key, scope, user, write},
    harness::mongod::{Deployment, fresh_database},
};

const PATIENCE: Duration = Duration::from_secs(60);

const MEMBERS: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Member @collection(name: "members") @scope(by: "{audience}")
  @grants(scope: "team:{team}", to: "{person}", access: "READ") {
  id: ID! audience: String! team: String person: String title: String
}
"#;

/// The users whose grants the tail reports next, before feed writes; `None` is all users.
async fn regranted(tail: &mut BoxStream<'static, TailEvent>) -> Vec<Option<String>> {
    let mut reported = Vec::new();
    loop {
        let event = timeout(PATIENCE, tail.next()).await;
        match event
            .expect("the tail stands still")
            .expect("the tail ended")
        {
            TailEvent::Grants(None) => reported.push(None),
            TailEvent::Grants(Some(users)) => {
                reported.extend(users.iter().map(|user| Some(user.as_str().to_owned())));
            }
            TailEvent::Committed(_) => return reported,
            event => panic!("nothing else came to pass: {event:?}"),
        }
    }
}

#[tokio::test]
async fn a_tail_reports_users_whose_grants_another_gateway_changes() {
    let deployment = Deployment::replica_set(1).await;
    let options = options(&deployment, "app").await;
    let store = open(&options, MEMBERS).await;
    let other = open(&options, MEMBERS).await;
    let mut tail = store.tail();
    assert!(matches!(tail.next().await, Some(TailEvent::Restart)));
    let member = |version| entry(&key("Member", "m"), &scope("public"), version);
    let stamped = |users: &[&str], version| Writes {
        users: users
            .iter()
            .map(|name| (user(name), UserChange::default()))
            .collect(),
        ..entries([member(version)])
    };
    write(&other, stamped(&["bob", "carol"], 1)).await;
    let reported = regranted(&mut tail).await;
    assert_eq!(reported, [Some("bob".to_owned()), Some("carol".to_owned())]);
    write(&other, stamped(&[], 2)).await;
    assert!(
        regranted(&mut tail).await.is_empty(),
        "its text alone changed"
    );
}

/// Otherwise a subscriber of this gateway would get what is written after its user has declined the giver.
#[tokio::test]
async fn a_local_commit_is_reported_after_the_changes_of_grants_that_it_saw() {
    let deployment = Deployment::shared().await;
    let options = options(deployment, &fresh_database()).await;
    let store = open(&options, MEMBERS).await;
    let other = open(&options, MEMBERS).await;
    let mut tail = store.tail();
    assert!(matches!(tail.next().await, Some(TailEvent::Restart)));
    let own = |version| entries([entry(&key("Member", "m"), &scope("public"), version)]);
    write(&store, own(1)).await;
    assert!(regranted(&mut tail).await.is_empty());
    for round in 2..20 {
        let name = format!("user{round}");
        let users = [(user(&name), UserChange::default())];
        let changed = Writes {
            users: users.into(),
            ..Writes::default()
        };
        write(&other, changed).await;
        write(&store, own(round)).await;
        assert_eq!(regranted(&mut tail).await, [Some(name)]);
    }
}

#[tokio::test]
async fn memberships_of_an_earlier_version_count_as_the_oldest_and_as_nobodys() {
    let deployment = Deployment::shared().await;
    let database = fresh_database();
    let store = open(&options(deployment, &database).await, MEMBERS).await;
    let mut given = entry(&key("Member", "m"), &scope("public"), 1);
    given.membership = Some(Membership {
        user: user("bob"),
        scope: scope("team:red"),
        role: Role::Read,
        giver: Some(user("alice")),
        since: at(5),
    });
    write(&store, entries([given])).await;
    let read = async || {
        let mut snapshot = store.snapshot().await.unwrap();
        let bounds = Bounds::default();
        let mut memberships = snapshot.memberships(&user("bob"), &bounds).await.unwrap();
        let (_, membership) = memberships.rows.pop_first().unwrap();
        (membership.giver, membership.since)
    };
    assert_eq!(read().await, (Some(user("alice")), at(5)));
    let feed = deployment.client().await.database(&database);
    let feed = feed.collection::<Document>("tidegate.feed");
    let unset = doc! { "$unset": { "g.a": "", "g.b": "" } };
    feed.update_one(doc! { "_id": "Member\0m" }, unset)
        .await
        .unwrap();
    assert_eq!(read().await, (None, at(0)));
}

/// The index has all fields of a membership: no record is read.
#[tokio::test]
async fn memberships_are_read_from_their_index_alone() {
    let deployment = Deployment::shared().await;
    let database = fresh_database();
    let store = open(&options(deployment, &database).await, MEMBERS).await;
    let members = (0..50).map(|n| {
        let mut given = entry(&key("Member", &n.to_string()), &scope("public"), 1);
        given.membership = Some(Membership {
            user: user("bob"),
            scope: scope(&format!("team:{n}")),
            role: Role::Read,
            giver: Some(user("alice")),
            since: at(n),
        });
        given
    });
    write(&store, entries(members)).await;
    let keys = doc! { "g.u": 1, "g.b": 1, "g.a": 1, "t": 1, "i": 1, "g.s": 1, "g.w": 1, "g.r": 1 };
    let mut shown = keys.clone();
    shown.insert("_id", 0);
    let find = doc! {
        "find": "tidegate.feed",
        "filter": { "g.u": { "$in": ["bob"] } },
        "projection": shown,
        "hint": keys,
    };
    let explain = doc! { "explain": find, "verbosity": "executionStats" };
    let client = deployment.client().await;
    let reported = client
        .database(&database)
        .run_command(explain)
        .await
        .unwrap();
    let stats = reported.get_document("executionStats").unwrap();
    assert_eq!(stats.get_i32("nReturned").unwrap(), 50);
    assert_eq!(stats.get_i32("totalDocsExamined").unwrap(), 0);
}
