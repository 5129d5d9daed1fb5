//! Writes of other services past the gateways, and documents that another model reads otherwise: who takes them over, and
//! which edits they are (rules.md 4.6).

use std::sync::Arc;

use tidegate_core::{
    change::{Action, BaseVersion, RejectionCode},
    entry::{Entry, FeedItem, Record},
    id::{DocumentKey, Scope, Version},
    model::Model,
    push::Outcome,
    transaction::ForeignState,
    value::{Document, Value},
};
use tidegate_testkit::store::State;

use super::{Judged, Property, Violation, expect, holder_of, unnamed};
use crate::{
    people::{self, Edition},
    store::{
        Committer, Moment,
        documents::{named, over},
    },
};

/// Another service's edit, as the version that a commit made of it.
pub(crate) struct Import {
    pub(crate) key: DocumentKey,
    pub(crate) version: Version,
    /// The version before it.
    pub(crate) synced: Version,
    /// The model of the gateway that took it over.
    pub(crate) gateway: Edition,
    pub(crate) action: Action,
    /// Whether it ends a document that was withheld before.
    pub(crate) is_of_withheld: bool,
}

/// What a commit took over. An importer takes over whatever differs. A commit of pushes takes over only a document that
/// one of its pushes changes, and that passes rules.md 4.6.
pub(crate) fn imports(
    rule: &'static str,
    before: &Moment,
    after: &Moment,
) -> Result<Vec<Import>, Violation> {
    let Some(by) = after.by.filter(|_| !after.written.is_empty()) else {
        return Ok(Vec::new());
    };
    let model = people::model(by.edition, rule);
    let met = before.foreign(&model);
    let is_stamp = after.answers.is_empty();
    let mut imports = Vec::new();
    for entry in after.written.iter().filter_map(entry_of) {
        unnamed::judge(&model, before, after, entry)?;
        judge_placed(before, by, entry)?;
        let standing = before.state.entry(&entry.key);
        let import = match met.get(&entry.key) {
            Some(foreign) => import((&*model, by.edition), &before.state, entry, foreign),
            None if standing.is_some_and(|it| !people::is_in_place(by.edition, it)) => {
                moved(&before.state, &entry.key, by.edition)
            }
            None => {
                expect(!is_stamp, Property::Stamped, || {
                    format!("{entry:?} was stamped, and nobody had written it")
                })?;
                continue;
            }
        };
        if is_stamp {
            let met = (&*model, met.get(&entry.key));
            judge_stamp(before, after, &import, entry, met)?;
        } else {
            judge_taken_over(before, after, &import, entry)?;
        }
        imports.push(import);
    }
    Ok(imports)
}

/// No gateway puts a document where the model in force would not (rules.md 9.6).
fn judge_placed(before: &Moment, by: Committer, entry: &Entry) -> Judged {
    let lead = before.lead();
    expect(people::is_in_place(lead, entry), Property::Placed, || {
        format!("{by:?} wrote {entry:?}, and {lead:?} leads")
    })
}

/// The entry that a feed item is, if it is one.
pub(crate) fn entry_of(item: &FeedItem) -> Option<&Arc<Entry>> {
    match &item.record {
        Record::Entry(entry) => Some(entry),
        Record::Marker(_) => None,
    }
}

/// An importer that holds the lease wrote the document as it was then, as nobody's, and deleted nothing that may have
/// been lost (rules.md 8.1, 8.6, 8.9). What gateways of the lead wait for, any of them writes (9.11).
fn judge_stamp(
    before: &Moment,
    after: &Moment,
    import: &Import,
    entry: &Entry,
    (model, foreign): (&Model, Option<&ForeignState>),
) -> Judged {
    let by = after.by.filter(|by| by.edition == before.lead());
    let waits = &before.state.models.state.unstamped;
    let is_awaited = waits.contains(&import.key.type_name);
    let may_stamp = by.is_some_and(|by| is_awaited || after.importer == Some(by.gateway));
    expect(may_stamp, Property::Stamped, || {
        format!(
            "{:?} stamps, {:?} has the lease, and {:?} leads",
            after.by,
            after.importer,
            before.lead()
        )
    })?;
    let is_lost =
        foreign == Some(&ForeignState::Gone) && before.lost.contains(&import.key.type_name);
    expect(!is_lost, Property::Kept, || {
        format!("{:?} was deleted with its collection", import.key)
    })?;
    let writer = entry.writers.get(&import.version);
    let is_nobodys = writer.is_none_or(|writer| writer.user.is_none() && writer.client.is_none());
    let standing = before.state.entry(&entry.key);
    let body = standing.and_then(|standing| standing.body.as_ref());
    let wanted = match foreign {
        None => body.cloned(),
        Some(ForeignState::Document(written)) if entry.withheld => {
            let holder = holder_of(&after.state, &entry.key, written);
            expect(holder.is_some(), Property::Unique, || {
                format!("{entry:?} is withheld, and nobody has what is in {written:?}")
            })?;
            None
        }
        Some(ForeignState::Document(written)) => {
            let document_type = model.document_type(entry.key.type_name.as_str());
            let before = body.zip(document_type);
            let over = before.map(|(body, of)| over(model, &of.fields, body, written.clone()));
            Some(over.unwrap_or_else(|| written.clone()))
        }
        Some(_) => None,
    };
    let is_as_written = entry.version == import.version && entry.body == wanted;
    expect(is_nobodys && is_as_written, Property::Stamped, || {
        format!("{entry:?} was stamped for {foreign:?}")
    })
}

/// A change that passes took it over. A gateway that does not lead does so only with a write of its own.
fn judge_taken_over(before: &Moment, after: &Moment, import: &Import, entry: &Entry) -> Judged {
    let leads = after.by.is_some_and(|by| by.edition == before.lead());
    expect(
        leads || entry.version > import.version,
        Property::Stamped,
        || {
            format!(
                "{entry:?} was taken over alone by {:?}, which does not lead",
                after.by
            )
        },
    )?;
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
fn import(
    (model, gateway): (&Model, Edition),
    before: &State,
    written: &Entry,
    foreign: &ForeignState,
) -> Import {
    let key = &written.key;
    let entry = before.entry(key);
    let synced = entry.map_or(before.version_floor, |entry| entry.version);
    let known = entry.and_then(|entry| entry.body.as_ref());
    let document_type = model.document_type(key.type_name.as_str());
    let known = known.zip(document_type);
    let known = known.map(|(known, document_type)| named(model, &document_type.fields, known));
    let action = match (known, foreign) {
        // Another document has its value.
        (_, ForeignState::Document(_)) if written.withheld => Action::Delete {
            base: BaseVersion(synced.0),
        },
        (Some(known), ForeignState::Document(body)) => Action::Update {
            base: BaseVersion(synced.0),
            set: differing(&known, body),
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
        gateway,
        action,
        is_of_withheld: entry.is_some_and(|entry| entry.withheld),
    }
}

/// The model in force has another scope for the document.
fn moved(before: &State, key: &DocumentKey, gateway: Edition) -> Import {
    let synced = before
        .entry(key)
        .map_or(Version::NONE, |entry| entry.version);
    Import {
        key: key.clone(),
        version: synced.next().expect("histories are short"),
        synced,
        gateway,
        action: Action::Update {
            base: BaseVersion(synced.0),
            set: Document::new(),
            seen: None,
        },
        is_of_withheld: false,
    }
}

/// The fields that differ; null for those that are gone.
fn differing(before: &Document, after: &Document) -> Document {
    let names = before.keys().chain(after.keys());
    let differing = names.filter(|name| before.get(*name) != after.get(*name));
    let value = |name: &String| after.get(name).cloned().unwrap_or(Value::Null);
    differing.map(|name| (name.clone(), value(name))).collect()
}

/// The scope in which a change meets the document, at a gateway of that edition. One that another service deleted is a
/// tombstone in the scope of its entry.
pub(super) fn met_in(state: &State, key: &DocumentKey, gateway: Edition) -> Option<Scope> {
    let entry = state.entry(key);
    let body = match state.foreign.get(key) {
        Some(ForeignState::Document(body) | ForeignState::Misfit { readable: body, .. }) => {
            Some(body)
        }
        Some(ForeignState::Gone) => None,
        None => entry.and_then(|entry| entry.body.as_ref()),
    };
    let scope = body.and_then(|body| body.get(people::scope_field(gateway, &key.type_name)));
    let scope = scope.and_then(Value::as_str);
    let scope = scope.and_then(|scope| Scope::new(scope).ok());
    scope.or_else(|| entry.map(|entry| entry.scope.clone()))
}
