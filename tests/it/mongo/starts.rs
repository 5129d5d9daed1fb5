//! Starts of gateways of one model beside each other: what must not wait until they serve is stamped by one of them.

use std::{sync::Arc, time::Duration};

use mongodb::bson::{Document, doc};
use serde_json::json;
use tempfile::TempDir;
use tidegate::{
    store::{Store, mongo::MongoStore},
    sync::{Clock, bring_in_step},
};
use tidegate_core::{
    generation::{Generation, ModelState},
    model::Model,
    transaction::{Loaded, Reads},
    value::Timestamp,
};
use tokio::{task::spawn_blocking, time::timeout};

use super::{CONTRACT, Mongo};
use crate::{
    contract::{
        Backend,
        fixture::{entries, entry, scope, task},
    },
    harness::{
        Server,
        mongod::{Deployment, fresh_database, until},
    },
};

/// How long a start may take on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);

fn seats(opened: &str) -> String {
    format!(
        r#"
extend schema @grant(scope: "team:{{teams}}", access: WRITE)
type Seat @collection(name: "seats") @scope(by: "team:{{team}}") @grants(scope: "{opened}:{{team}}", to: "{{user}}", access: "READ") {{
  id: ID!
  team: String!
  user: String!
}}
"#
    )
}

/// The first gateway imports for as long as it lives. The type is held, so it moves for as long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_starts_beside_one_that_imports_while_a_type_moves() {
    let (set, name) = (Deployment::shared().await, fresh_database());
    let url = set.url(&name);
    let directory = TempDir::new().unwrap();
    let start = |opened: &str| {
        let (directory, url) = (directory.path().to_owned(), url.clone());
        std::fs::write(directory.join("model.graphql"), seats(opened)).unwrap();
        let starting = spawn_blocking(move || Server::dev_with(&directory, &["--store", &url]));
        async move {
            timeout(START_MAX, starting)
                .await
                .expect("it starts")
                .unwrap()
        }
    };
    let before = start("room").await;
    let seat = json!({"team": "demo", "user": "bob"});
    let create = json!([{"seat": {"create": {"id": "s", "document": seat}}}]);
    let query = "mutation($all: [SyncChangeInput!]!) { pushChanges(input: {changes: $all}) { results { status } } }";
    let alice = before.client("alice");
    alice.data(query, json!({"all": create})).await;
    before.stop();
    let client = set.client().await;
    let admin = client.database("admin");
    let rename = doc! {"renameCollection": format!("{name}.seats"), "to": format!("{name}.away")};
    admin.run_command(rename).await.unwrap();

    let first = start("hall").await;
    let state = client
        .database(&name)
        .collection::<Document>("tidegate.state");
    until("held type", async || {
        let held = doc! {"types.Seat.held": {"$exists": true}};
        state.find_one(held).await.unwrap()
    })
    .await;
    let second = start("hall").await;
    for server in [first, second] {
        server.stop();
    }
}

async fn serving(mongo: &Mongo, generation: u32) -> MongoStore {
    let store = mongo.store(CONTRACT).await;
    let models = store.models();
    models.serve_as(Generation(generation)).await.unwrap();
    store
}

/// An importer of the model holds the lease. Nothing of what a start stamps waits for it.
#[tokio::test]
async fn a_start_stamps_beside_an_importer_and_nothing_once_another_model_leads() {
    let model = Arc::new(Model::parse("model.graphql", CONTRACT).unwrap());
    let mongo = Mongo::start().await;
    let [importing, starting, newer] = [
        serving(&mongo, 1).await,
        serving(&mongo, 1).await,
        serving(&mongo, 2).await,
    ];
    let clock: Clock = Arc::new(|| Timestamp::EPOCH);
    let start = async || {
        let starting = bring_in_step(&model, &starting, &clock, |_| ());
        let ended = timeout(START_MAX, starting).await;
        ended.expect("it does not wait").unwrap()
    };
    let unstamped = async |state: &ModelState, generation: u32| {
        let mut change = state.led_by(Generation(generation), &model, Some(&model));
        change.state.unstamped.insert(task("1").type_name);
        assert!(importing.models().take_lead(&change).await.unwrap());
        change.state
    };
    let first = unstamped(&ModelState::default(), 1).await;
    // It has no audience, which the model requires.
    let misfit = |_: &Loaded| entries([entry(&task("1"), &scope("all"), 1)]);
    let committed = importing.commit(Reads::default(), Arc::new(misfit)).await;
    committed.unwrap();
    let lease = importing.collections().unwrap().lease(None).await;
    lease.unwrap().expect("nobody else imports");
    assert_eq!(start().await, 1);
    let second = unstamped(&first, 1).await;
    let third = unstamped(&second, 2).await;
    assert_eq!(start().await, 0);
    let snapshot = newer.snapshot().await.unwrap();
    assert_eq!(
        snapshot.state().models.unstamped,
        third.unstamped,
        "they wait for its own gateways"
    );
}
