//! What one member's documents and edits can cost all users of a store.

use serde_json::json;
use tempfile::TempDir;

use crate::harness::Server;

/// The steps of a sentence splitter grew with the square of such a row, inside the transaction that all pushes wait
/// for.
#[tokio::test]
async fn a_text_of_any_shape_is_merged_in_steps_that_are_counted() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let (alice, bob) = (server.client("alice"), server.client("bob"));
    let epoch = alice.epoch().await;
    for (i, row) in [" ", ")", "\u{a0})"].into_iter().enumerate() {
        let text = format!("a.{}", row.repeat(90_000 / row.len()));
        let document = json!({"title": "t", "audience": "team:demo", "notes": text});
        let create = json!({"task": {"create": {"id": format!("t{i}"), "document": document}}});
        let edit = |mine: &str| json!({"task": {"update": {"id": format!("t{i}"), "baseVersion": 1, "set": {"notes": mine}, "base": {"notes": text}}}});
        let (bobs, alices) = (format!("Bob.\n{text}"), format!("{text}\nAlice."));
        alice.push_all(json!([create])).await;
        bob.push_all(json!([edit(&bobs)])).await;
        let client = json!({"id": "phone", "firstMutationId": i + 1});
        let push = json!({"client": client, "epoch": epoch, "changes": [edit(&alices)]});
        let result = alice.push(push).await["results"][0].take();
        assert_eq!(result["status"], "MERGED", "row {i}");
        let both = format!("Bob.\n{text}\nAlice.");
        assert_eq!(result["document"]["notes"], both, "row {i}");
    }
}
