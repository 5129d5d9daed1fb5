//! The documents of the benchmarks: tasks of eight fields, about 280 bytes each, and the changes of a push as text.
//!
//! Each benchmark decides what else to do with them, and how fast.

use std::fmt::Write;

pub(crate) fn id(number: usize) -> String {
    format!("task-{number}")
}

pub(crate) fn title(number: usize) -> String {
    format!("Task number {number} of the benchmark")
}

/// The title that an update writes. It names the version that the update makes.
pub(crate) fn retitled(number: usize, version: i32) -> String {
    format!("Task number {number}, in version {version}")
}

pub(crate) fn notes(number: usize) -> String {
    format!(
        "Some words about task {number}, so that the document has the size of an ordinary one: about 280 bytes in all."
    )
}

/// A document in a version: the first one creates it, each later one sets its title and whether it is done.
#[derive(Clone, Copy)]
pub(crate) struct Edit {
    pub(crate) number: usize,
    pub(crate) version: i32,
}

impl Edit {
    pub(crate) fn creates(&self) -> bool {
        self.version == 1
    }

    pub(crate) fn done(&self) -> bool {
        self.version % 2 == 0
    }

    /// The change that a push carries, as the client's library would have written it.
    pub(crate) fn write_change(&self, audience: &str, json: &mut String) {
        let Self { number, version } = *self;
        let written = if self.creates() {
            write!(
                json,
                r#"{{"task":{{"create":{{"id":"{}","document":{}}}}}}}"#,
                id(number),
                document(number, audience)
            )
        } else {
            write!(
                json,
                r#"{{"task":{{"update":{{"id":"{}","baseVersion":{},"set":{{"title":"{}","done":{}}}}}}}}}"#,
                id(number),
                version - 1,
                retitled(number, version),
                self.done()
            )
        };
        written.unwrap();
    }
}

/// The document of a create; the other two fields have defaults.
pub(crate) fn document(number: usize, audience: &str) -> String {
    format!(
        r#"{{"audience":"{audience}","title":"{}","notes":"{}","labels":["home","shop"],"minutesSpent":5,"due":"1970-01-01T00:00:00.000Z"}}"#,
        title(number),
        notes(number)
    )
}
