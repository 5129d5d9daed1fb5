//! GraphQL over HTTP by the audits of the package graphql-http: MUST, SHOULD and MAY.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::node;
use crate::harness::Server;

/// As many as the locked version of the package has.
const AUDITS: u64 = 61;

#[test]
fn every_audit_of_graphql_http_passes() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let url = format!("{}/graphql", server.url);
    let reported = node("audits.mjs", &[&url, &alice.token]);
    let reported: Value = serde_json::from_str(&reported).unwrap();
    assert_eq!(reported, json!({"audits": AUDITS, "failed": []}));
}
