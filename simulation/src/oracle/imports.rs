//! Writes of other services past the gateways: who takes them over, and which edits they are (rules.md 4.6).

use std::sync::Arc;

use tidegate_core::{
    change::{Action, BaseVersion, RejectionCode},
    entry::{Entry, FeedItem, Record},
    id::{DocumentKey, Scope, Version},
    push::Outcome,
    transaction::ForeignState,
    value::{Document, Value},
};
use tidegate_testkit::store::State;

use super::{Property, Violation, expect};
use crate::store::{Moment, document};

/// Another service's edit, as the version that a commit made of it.
pub(crate) struct Import {
    pub(crate) key: DocumentKey,
    pub(crate) version: Version,
    /// The version before it.
    pub(crate) synced: Version,
    pub(crate) action: Action,
}

/// What a commit took over. An importer takes over whatever differs. A commit of pushes takes over only a document that
/// one of its pushes changes, and that passes rules.md 4.6.
pub(crate) fn imports(before: &Moment, after: &Moment) -> Result<Vec<Import>, Violation> {
    let is_stamp = after.answers.is_empty();
    let mut imports = Vec::new();
    for entry in after.written.iter().filter_map(entry_of) {
        let Some(foreign) = before.state.foreign.get(&entry.key) else {
            expect(!is_stamp, Property::Stamped, || {
                format!("{entry:?} was stamped, and nobody had written it")
            })?;
            continue;
        };
        let import = import(&before.state, &entry.key, foreign);
        if is_stamp {
            judge_stamp(before, after, &import, entry, foreign)?;
        } else {
            judge_taken_over(after, &import)?;
        }
        imports.push(import);
    }
    Ok(imports)
}

fn entry_of(item: &FeedItem) -> Option<&Arc<Entry>> {
    match &item.record {
        Record::Entry(entry) => Some(entry),
        Record::Marker(_) => None,
    }
}

/// An importer that holds the lease wrote the document as it was then, as nobody's, and deleted nothing that may have
/// been lost (rules.md 8.1, 8.6, 8.9).
fn judge_stamp(
    before: &Moment,
    after: &Moment,
    import: &Import,
    entry: &Entry,
    foreign: &ForeignState,
) -> Result<(), Violation> {
    let is_of_holder = after.by.is_some() && after.by == after.importer;
    expect(is_of_holder, Property::Stamped, || {
        format!(
            "{:?} stamps, and {:?} has the lease",
            after.by, after.importer
        )
    })?;
    let is_lost = *foreign == ForeignState::Gone && before.lost.contains(&import.key.type_name);
    expect(!is_lost, Property::Kept, || {
        format!("{:?} was deleted with its collection", import.key)
    })?;
    let writer = entry.writers.get(&import.version);
    let is_nobodys = writer.is_none_or(|writer| writer.user.is_none() && writer.client.is_none());
    let document = document(&before.state, &import.key);
    let is_as_written = entry.version == import.version && entry.body == document;
    expect(is_nobodys && is_as_written, Property::Stamped, || {
        format!("{entry:?} was stamped for {foreign:?}")
    })
}

fn judge_taken_over(after: &Moment, import: &Import) -> Result<(), Violation> {
    let passes = |outcome: &Outcome| {
        let is_of_it =
            outcome.type_name == import.key.type_name && outcome.id == import.key.id.as_str();
        let code = outcome.error.as_ref().map(|error| error.code);
        let fails = matches!(
            code,
            Some(RejectionCode::Forbidden | RejectionCode::NotFound | RejectionCode::IdTaken)
        );
        is_of_it && !fails
    };
    let mut outcomes = after.answers.iter().flatten().flat_map(|it| &it.outcomes);
    expect(outcomes.any(passes), Property::Isolation, || {
        format!("{:?} was taken over by {:?}", import.key, after.answers)
    })
}

/// Others' writes came before every change of the commit.
fn import(before: &State, key: &DocumentKey, foreign: &ForeignState) -> Import {
    let entry = before.entry(key);
    let synced = entry.map_or(before.version_floor, |entry| entry.version);
    let known = entry.and_then(|entry| entry.body.as_ref());
    let action = match (known, foreign) {
        (Some(known), ForeignState::Document(body)) => Action::Update {
            base: BaseVersion(synced.0),
            set: differing(known, body),
            seen: None,
        },
        (None, ForeignState::Document(body)) => Action::Create {
            document: body.clone(),
            base: None,
        },
        (_, ForeignState::Gone | ForeignState::Misfit { .. }) => Action::Delete {
            base: BaseVersion(synced.0),
        },
    };
    Import {
        key: key.clone(),
        version: synced.next().expect("histories are short"),
        synced,
        action,
    }
}

/// The fields that differ; null for those that are gone.
fn differing(before: &Document, after: &Document) -> Document {
    let names = before.keys().chain(after.keys());
    let differing = names.filter(|name| before.get(*name) != after.get(*name));
    let value = |name: &String| after.get(name).cloned().unwrap_or(Value::Null);
    differing.map(|name| (name.clone(), value(name))).collect()
}

/// The scope in which a change meets the document.
pub(super) fn met_in(state: &State, key: &DocumentKey) -> Option<Scope> {
    match state.foreign.get(key) {
        Some(ForeignState::Document(body)) => {
            let audience = body.get("audience").and_then(Value::as_str);
            audience.and_then(|scope| Scope::new(scope).ok())
        }
        _ => state.entry(key).map(|entry| entry.scope.clone()),
    }
}
