//! Changes to tasks of the example model, and pushes, in the form that they have on the wire.
//!
//! Each test decides what their outcomes should be.

use serde_json::{Value, json};

pub(crate) fn create(id: &str, document: Value) -> Value {
    json!({"task": {"create": {"id": id, "document": document}}})
}

pub(crate) fn update(id: &str, base: i64, set: Value) -> Value {
    json!({"task": {"update": {"id": id, "baseVersion": base, "set": set}}})
}

/// An update with the values that its user saw.
pub(crate) fn update_from(id: &str, base: i64, seen: Value, set: Value) -> Value {
    json!({"task": {"update": {"id": id, "baseVersion": base, "base": seen, "set": set}}})
}

pub(crate) fn delete(id: &str, base: i64) -> Value {
    json!({"task": {"delete": {"id": id, "baseVersion": base}}})
}

/// A push with mutation ids.
pub(crate) fn numbered(client: &str, first: i64, epoch: &str, changes: Value) -> Value {
    json!({"client": {"id": client, "firstMutationId": first}, "epoch": epoch, "changes": changes})
}

/// The status of each change of a push, from its payload or its results.
pub(crate) fn statuses(outcomes: &Value) -> Vec<&str> {
    let results = outcomes.get("results").unwrap_or(outcomes);
    let results = results.as_array().unwrap().iter();
    results
        .map(|result| result["status"].as_str().unwrap())
        .collect()
}
