//! Writes of other services past the gateways: who takes them over, and which edits they are (rules.md 4.6).

use tidegate_core::{
    change::{Action, BaseVersion, RejectionCode},
    entry::Record,
    id::{DocumentKey, Scope, Version},
    push::Outcome,
    transaction::ForeignState,
    value::{Document, Value},
};
use tidegate_testkit::store::State;

use super::{Property, Violation, expect};
use crate::store::Moment;

/// Another service's edit, as the version that a commit made of it.
pub(crate) struct Import {
    pub(crate) key: DocumentKey,
    pub(crate) version: Version,
    /// The version before it.
    pub(crate) synced: Version,
    pub(crate) action: Action,
}

/// What a commit took over. One of its pushes must change the document and pass rules.md 4.6.
pub(crate) fn imports(before: &State, after: &Moment) -> Result<Vec<Import>, Violation> {
    let entries = after.written.iter().filter_map(|item| match &item.record {
        Record::Entry(entry) => Some(entry),
        Record::Marker(_) => None,
    });
    let imported = entries.filter_map(|entry| {
        let foreign = before.foreign.get(&entry.key)?;
        Some(import(before, &entry.key, foreign))
    });
    let imports: Vec<Import> = imported.collect();
    for import in &imports {
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
        })?;
    }
    Ok(imports)
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
