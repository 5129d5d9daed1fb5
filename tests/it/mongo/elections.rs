//! What a gateway's clients see across elections, whatever the new primary knows by then.
//!
//! `tails` tests that commits and the tail continue.

use std::time::Duration;

use serde_json::json;
use tidegate::sync::PullRequest;
use tidegate_core::checkpoint::RequestedTypes;

use super::{gateway::Gateway, options};
use crate::harness::mongod::{Deployment, until};

/// A new primary has all that was acknowledged, but learns that a majority has it only with the first write of its own
/// term. Here the others do not replicate from it for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_after_an_election_shows_what_was_acknowledged_before() {
    let deployment = Deployment::replica_set(3).await;
    let gateways = [
        Gateway::start(&options(&deployment, "app").await).await,
        Gateway::start(&options(&deployment, "app").await).await,
    ];
    let fields = || json!({ "audience": "user:alice", "title": "Tea" });
    gateways[0]
        .push("alice", vec![gateways[0].create("1", fields())])
        .await;
    let first = deployment.primary().await;
    deployment.withhold_commit_point(first).await;
    gateways[0]
        .push("alice", vec![gateways[0].create("2", fields())])
        .await;
    deployment.stop_replication(first).await;
    deployment.kill(first);
    deployment.primary().await;
    let pulls = gateways.iter().map(async |gateway| {
        let request = || PullRequest {
            checkpoint: None,
            types: RequestedTypes::All,
            refresh: Default::default(),
            limit: 10,
            reread: Default::default(),
            digests: false,
        };
        let pull = async || {
            gateway
                .sync
                .pull(&gateway.caller("alice"), request())
                .await
                .ok()
        };
        until("a pull", pull).await.changes.len()
    });
    let release = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        deployment.resume_replication(first).await;
    };
    let (shown, ()) = tokio::join!(futures_util::future::join_all(pulls), release);
    assert_eq!(shown, [2, 2]);
}
