//! The documents of the benchmarks: tasks of eight fields, about 280 bytes each, as a push carries them.
//!
//! What else is made of them, and how fast, is each benchmark's.

use serde_json::{Value as Json, json};

pub(crate) fn title(number: usize) -> String {
    format!("Task number {number} of the benchmark")
}

pub(crate) fn notes(number: usize) -> String {
    format!(
        "Some words about task {number}, so that the document has the size of an ordinary one: about 280 bytes in all."
    )
}

/// The change that creates one.
pub(crate) fn create(id: &str, number: usize, audience: &str) -> Json {
    json!({"task": {"create": {"id": id, "document": {
        "audience": audience, "title": title(number), "notes": notes(number), "labels": ["home", "shop"],
        "minutesSpent": 5, "due": "1970-01-01T00:00:00.000Z"
    }}}})
}
