//! Lists that stay live in the caches of Apollo Client and urql's Graphcache: another device's changes and the own ones show
//! without another request.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::node;
use crate::harness::Server;

#[test]
fn lists_stay_live_in_the_caches_that_people_use() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let claims = json!({"teams": ["apollo", "graphcache"]});
    let token = server.token("alice", &claims, "1h");
    let shown = node("lists.mjs", &[&format!("{}/graphql", server.url), &token]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    // Two pages were asked for, and nothing after them.
    let expected = json!({"shown": ["renamed", "mine", "2"], "requests": 2});
    assert_eq!(shown, json!({"apollo": expected, "graphcache": expected}));
}
