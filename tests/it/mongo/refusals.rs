//! What the database itself refuses, by unique indexes or validators, rejects one change only.

use futures_util::future::join_all;
use mongodb::{
    Database, IndexModel,
    bson::{Document, doc},
    options::IndexOptions,
};
use serde_json::json;
use tidegate_core::{
    change::RejectionCode,
    outcome::Status::{Applied, Conflict, Rejected},
};

use super::{
    Mongo,
    gateway::{Gateway, statuses},
};
use crate::contract::Backend;

async fn with_unique_email(database: &Database) {
    let options = IndexOptions::builder().unique(true).sparse(true).build();
    let index = IndexModel::builder()
        .keys(doc! { "e_mail": 1 })
        .options(options)
        .build();
    database
        .collection::<Document>("tasks")
        .create_index(index)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_unique_index_rejects_one_change_and_the_rest_of_the_group_is_committed() {
    let mongo = Mongo::start().await;
    let gateway = Gateway::start(&mongo.options().await).await;
    with_unique_email(&mongo.database().await).await;
    let create = |user: &str, id: &str, email: &str| {
        gateway.create(
            id,
            json!({ "audience": format!("user:{user}"), "title": "x", "email": email }),
        )
    };
    let first = gateway
        .push("alice", vec![create("alice", "1", "a@x.org")])
        .await;
    assert_eq!(statuses(&first), [Applied]);
    let users: Vec<String> = (0..8).map(|user| format!("user-{user}")).collect();
    let pushes = users.iter().map(|user| {
        let id = |n: u8| format!("{user}-{n}");
        let changes = vec![
            create(user, &id(1), &format!("{user}@x.org")),
            create(user, &id(2), "a@x.org"),
            gateway.update(&id(2), 0, json!({ "notes": "on top of it" })),
            create(user, &id(3), &format!("{user}-3@x.org")),
        ];
        gateway.numbered(user, 1, changes)
    });
    for outcomes in join_all(pushes).await {
        assert_eq!(statuses(&outcomes), [Applied, Rejected, Conflict, Applied]);
        let error = outcomes[1].error.as_ref().unwrap();
        assert_eq!(error.code, RejectionCode::InvalidValue);
        assert_eq!(error.field.as_deref(), Some("email"));
        assert!(!error.message.contains("a@x.org"), "{}", error.message);
    }
}

/// MongoDB checks an index with every statement, not with the commit.
#[tokio::test]
async fn a_value_that_must_be_unique_passes_along_a_chain_of_documents_in_one_push() {
    let mongo = Mongo::start().await;
    let gateway = Gateway::start(&mongo.options().await).await;
    with_unique_email(&mongo.database().await).await;
    let ids = ["1", "2", "3", "4"];
    let create = |id: &&str| {
        let email = format!("{id}@x.org");
        gateway.create(
            id,
            json!({ "audience": "user:alice", "title": "x", "email": email }),
        )
    };
    gateway
        .push("alice", ids.iter().map(create).collect())
        .await;
    // One document releases a value and another takes it, in orders that suit no fixed order of the documents.
    for (chain, version) in [
        ["1", "2", "3", "4"],
        ["4", "3", "2", "1"],
        ["3", "1", "4", "2"],
    ]
    .iter()
    .zip(1..)
    {
        let passed = chain.iter().zip(["a", "b", "c", "d"]).map(|(id, name)| {
            let email = format!("{name}@{version}.org");
            gateway.update(id, 2 * version - 1, json!({ "email": email }))
        });
        assert_eq!(
            statuses(&gateway.push("alice", passed.collect()).await),
            [Applied; 4]
        );
        let moved = chain.iter().zip(["b", "c", "d", "e"]).map(|(id, name)| {
            let email = format!("{name}@{version}.org");
            gateway.update(id, 2 * version, json!({ "email": email }))
        });
        let moved = gateway.push("alice", moved.rev().collect()).await;
        assert_eq!(statuses(&moved), [Applied; 4], "{chain:?}");
    }
    let taken = gateway.update("1", 7, json!({ "email": "b@3.org" }));
    assert_eq!(
        statuses(&gateway.push("alice", vec![taken]).await),
        [Rejected]
    );
}

#[tokio::test]
async fn of_several_changes_to_a_document_the_one_that_put_the_value_in_is_to_blame() {
    let mongo = Mongo::start().await;
    let gateway = Gateway::start(&mongo.options().await).await;
    with_unique_email(&mongo.database().await).await;
    let create = |id, email| {
        gateway.create(
            id,
            json!({ "audience": "user:alice", "title": "x", "email": email }),
        )
    };
    gateway
        .push(
            "alice",
            vec![create("1", "a@x.org"), create("2", "b@x.org")],
        )
        .await;
    let changes = vec![
        gateway.update("2", 1, json!({ "title": "before" })),
        gateway.update("2", 1, json!({ "email": "a@x.org" })),
        gateway.update("2", 1, json!({ "notes": "after" })),
    ];
    let outcomes = gateway.numbered("alice", 1, changes).await;
    assert_eq!(outcomes[1].status, Rejected);
    assert!(outcomes[0].status != Rejected && outcomes[2].status != Rejected);
    let shown = gateway.document("alice", "2").await.unwrap();
    let shown = (&shown["title"], &shown["email"], &shown["notes"]);
    assert_eq!(
        shown,
        (&json!("before"), &json!("b@x.org"), &json!("after"))
    );
}

#[tokio::test]
async fn a_value_that_one_document_gives_up_may_be_taken_by_another_in_the_same_push() {
    let mongo = Mongo::start().await;
    let gateway = Gateway::start(&mongo.options().await).await;
    with_unique_email(&mongo.database().await).await;
    let create = |id, email| {
        let fields = json!({ "audience": "user:alice", "title": "x", "email": email });
        gateway.create(id, fields)
    };
    let before = vec![create("7", "a@x.org"), create("8", "b@x.org")];
    gateway.push("alice", before).await;
    let changes = vec![
        gateway.delete("7", 1),
        gateway.update("8", 1, json!({ "email": "c@x.org" })),
        create("1", "a@x.org"),
        create("2", "b@x.org"),
    ];
    let outcomes = gateway.push("alice", changes).await;
    assert_eq!(statuses(&outcomes), [Applied; 4]);
}

#[tokio::test]
async fn a_validator_rejects_one_change_and_the_rest_is_committed() {
    let mongo = Mongo::start().await;
    let gateway = Gateway::start(&mongo.options().await).await;
    let schema = doc! { "$jsonSchema": { "properties": { "title": { "maxLength": 5 } } } };
    let validate = doc! { "collMod": "tasks", "validator": schema };
    mongo.database().await.run_command(validate).await.unwrap();
    let create =
        |id, title| gateway.create(id, json!({ "audience": "user:alice", "title": title }));
    let changes = vec![
        create("1", "short"),
        create("2", "too long"),
        create("3", "brief"),
    ];
    let outcomes = gateway.push("alice", changes).await;
    assert_eq!(statuses(&outcomes), [Applied, Rejected, Applied]);
    let error = outcomes[1].error.as_ref().unwrap();
    assert_eq!(
        (error.code, error.field.as_deref()),
        (RejectionCode::InvalidValue, Some("title"))
    );
}

#[tokio::test]
async fn an_atomic_push_that_is_refused_applies_nothing() {
    let mongo = Mongo::start().await;
    let gateway = Gateway::start(&mongo.options().await).await;
    with_unique_email(&mongo.database().await).await;
    let create = |id| {
        gateway.create(
            id,
            json!({ "audience": "user:alice", "title": "x", "email": "a@x.org" }),
        )
    };
    let mut push = gateway
        .numbered_push("alice", 1, vec![create("1"), create("2")])
        .await;
    push.atomic = true;
    let outcomes = gateway
        .sync
        .push(&gateway.caller("alice"), push)
        .await
        .unwrap()
        .outcomes;
    assert_eq!(statuses(&outcomes), [Rejected, Rejected]);
    assert!(gateway.document("alice", "1").await.is_none());
}

/// Both find no document, and one comes first: for the other it is a conflict of creates, and no bare rejection.
#[tokio::test]
async fn of_two_gateways_that_create_one_id_one_does_and_the_other_meets_it() {
    let mongo = Mongo::start().await;
    let gateways = [
        Gateway::start(&mongo.options().await).await,
        Gateway::start(&mongo.options().await).await,
    ];
    for round in 0..10 {
        let pushes = gateways.iter().enumerate().map(|(i, gateway)| {
            let fields = json!({ "audience": "team:red", "title": format!("by {i}") });
            let create = gateway.create(&round.to_string(), fields);
            let user = format!("user-{i}");
            async move { gateway.push(&user, vec![create]).await }
        });
        let mut outcomes = join_all(pushes).await.concat();
        outcomes.sort_by_key(|outcome| outcome.status != Applied);
        assert_eq!(statuses(&outcomes), [Applied, Conflict]);
        let documents = outcomes
            .iter()
            .map(|outcome| outcome.document.as_ref().unwrap());
        let titles: Vec<_> = documents.map(|entry| entry.body.clone()).collect();
        assert_eq!(titles[0], titles[1]);
    }
}
