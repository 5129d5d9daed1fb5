//! The servers do what the tests of the store rely on.

use std::{collections::BTreeSet, net::TcpStream, time::Duration};

use mongodb::{
    Client,
    bson::{Document, doc},
    error::Error,
    options::ClientOptions,
};

use super::{Deployment, PATIENCE, ROOT, faults::Times, fresh_database, until};

async fn insert(client: &Client, database: &str) -> Result<(), Error> {
    let things = client.database(database).collection::<Document>("things");
    things.insert_one(doc! {"name": "thing"}).await.map(drop)
}

async fn count(client: &Client, database: &str) -> u64 {
    let things = client.database(database).collection::<Document>("things");
    things.count_documents(doc! {}).await.unwrap()
}

#[tokio::test]
async fn the_shared_server_has_transactions_and_a_database_for_each_test() {
    let shared = Deployment::shared().await;
    assert!(std::ptr::eq(shared, Deployment::shared().await));
    let (mine, other) = (fresh_database(), fresh_database());
    let client = shared.client().await;
    let mut session = client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let things = client.database(&mine).collection::<Document>("things");
    let thing = doc! {"name": "thing"};
    things
        .insert_one(thing)
        .session(&mut session)
        .await
        .unwrap();
    session.commit_transaction().await.unwrap();
    assert_eq!(count(&client, &mine).await, 1);
    assert_eq!(count(&client, &other).await, 0);
}

#[tokio::test]
async fn a_server_and_its_data_end_with_the_value_that_holds_it() {
    let deployment = Deployment::standalone().await;
    let (address, directory) = {
        let node = &deployment.nodes[0];
        (node.address(), node.directory.clone())
    };
    let client = Client::with_uri_str(deployment.url("app")).await.unwrap();
    insert(&client, "app").await.unwrap();
    assert!(directory.exists() && TcpStream::connect(&address).is_ok());
    drop(deployment);
    assert!(!directory.exists() && TcpStream::connect(&address).is_err());
}

#[tokio::test]
async fn where_users_are_asked_for_nobody_else_is_served() {
    let deployment = Deployment::with_users().await;
    let served = async |user, password| {
        let url = deployment.url_of(user, password, "app");
        insert(&Client::with_uri_str(url).await.unwrap(), "app").await
    };
    served(ROOT.0, ROOT.1).await.unwrap();
    served(ROOT.0, "a wrong password").await.unwrap_err();
    served("nobody", ROOT.1).await.unwrap_err();
}

#[tokio::test]
async fn a_killed_primary_is_replaced_and_comes_back_with_its_data() {
    let deployment = Deployment::replica_set(3).await;
    let client = deployment.client().await;
    insert(&client, "app").await.unwrap();
    let first = deployment.primary().await;
    deployment.kill(first);
    assert_ne!(deployment.primary().await, first);
    until("a write", async || insert(&client, "app").await.ok()).await;
    deployment.restart(first).await;
    deployment.all_follow().await;
    let found = deployment.nodes[first].client().await;
    until("both documents", async || {
        (count(&found, "app").await >= 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_primary_that_steps_down_leaves_its_place_to_another() {
    let deployment = Deployment::replica_set(3).await;
    let first = deployment.primary().await;
    deployment.step_down().await;
    let mut seen = BTreeSet::new();
    until("another primary", async || {
        seen.insert(deployment.primary().await);
        seen.iter().any(|node| *node != first).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_paused_server_answers_nobody_until_it_goes_on() {
    let deployment = Deployment::replica_set(1).await;
    let client = deployment.client().await;
    insert(&client, "app").await.unwrap();
    deployment.pause(0);
    let insertion = tokio::spawn(async move { insert(&client, "app").await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!insertion.is_finished());
    deployment.resume(0);
    let inserted = tokio::time::timeout(PATIENCE, insertion).await;
    inserted.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn commands_fail_as_often_as_asked_and_only_for_one_client() {
    let deployment = Deployment::replica_set(1).await;
    let database = fresh_database();
    let mut options = ClientOptions::parse(deployment.url(&database))
        .await
        .unwrap();
    let name = format!("the client of {database}");
    options.app_name = Some(name.clone());
    options.retry_writes = Some(false);
    let client = Client::with_options(options).unwrap();
    let how = doc! {"failCommands": ["insert"], "errorCode": 8000, "appName": &name};
    deployment.fail_commands(Times::Next(1), how.clone()).await;
    insert(&deployment.client().await, &database).await.unwrap();
    let failed = insert(&client, &database).await.unwrap_err();
    assert!(failed.to_string().contains("8000"), "{failed}");
    insert(&client, &database).await.unwrap();
    deployment.fail_commands(Times::Always, how).await;
    for _ in 0..3 {
        insert(&client, &database).await.unwrap_err();
    }
    deployment.heal_commands().await;
    insert(&client, &database).await.unwrap();
}
