//! What becomes of entries of versions that did not escape the values in scopes.
//!
//! Only values with `:` or `%` make a difference. The application's documents stay as they are. The caller decides when
//! it is done, and in which portions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::overlay::TransactionOverlay;
use crate::{
    entry::{Entry, Membership},
    grant,
    id::Scope,
    import::ForeignWrite,
    inbox::{InboxRecord, OpenConflict, PendingConflict},
    membership,
    model::{DocumentType, FillError, Model, ScopeTemplate},
    transaction::{Loaded, Writes},
    value::{Document, Timestamp},
};

/// Restamps what was loaded, as moves without an author, and takes over others' writes to these documents. If it writes
/// nothing, nothing is left to restamp.
pub fn restamp(model: &Model, now: Timestamp, loaded: &Loaded) -> Writes {
    let mut overlay = TransactionOverlay::new(model, now, loaded);
    let entries: BTreeMap<_, _> = loaded.entries.iter().collect();
    let restamped = entries.into_values().filter_map(|entry| {
        let next = restamped(model, now, entry)?;
        Some((entry, next))
    });
    for (entry, next) in restamped {
        if !overlay.take_over(&entry.key) {
            overlay.put(next, Some(entry));
        }
    }
    overlay.into_writes(now, Vec::new())
}

/// Gives the loaded open conflicts the scopes whose contents they show, in their present spelling. Users who see these
/// scopes see the conflicts.
pub fn restamp_conflicts(model: &Model, loaded: &Loaded) -> Writes {
    let restamped = loaded.inbox.values().filter_map(|record| match record {
        InboxRecord::Open(open) => restamped_conflict(model, open),
        InboxRecord::Resolved(_) => None,
    });
    Writes {
        inbox: restamped
            .map(|open| InboxRecord::Open(Arc::new(open)))
            .collect(),
        ..Writes::default()
    }
}

/// Whether a conflict has to be restamped.
pub fn is_unescaped_conflict(model: &Model, open: &OpenConflict) -> bool {
    restamped_conflict(model, open).is_some()
}

/// A conflict shows the document that the change met, and that document with the change applied.
fn restamped_conflict(model: &Model, open: &OpenConflict) -> Option<OpenConflict> {
    let document_type = model.stored_type(&open.key.type_name)?;
    let current = open.theirs.clone().unwrap_or_default();
    let mut wanted = current.clone();
    wanted.extend(open.pending.mine.document().cloned().unwrap_or_default());
    let id = &open.key.id;
    let respelled = [current, wanted].map(|document| {
        let before = grant::unescaped_scope_of(document_type, id, &document)?;
        let now = grant::scope_of(document_type, id, &document);
        Some((before, now.unwrap_or_else(|_| nobodys())))
    });
    let now = |scope: &Scope| {
        let mut respelled = respelled.iter().flatten();
        let found = respelled.find(|(before, _)| before == scope);
        found.map_or_else(|| scope.clone(), |(_, now)| now.clone())
    };
    let shown_in: BTreeSet<Scope> = open.shown_in.iter().map(now).collect();
    (shown_in != open.shown_in).then(|| OpenConflict {
        shown_in,
        pending: PendingConflict {
            enters: open.pending.enters.as_ref().map(now),
            ..open.pending.clone()
        },
        ..open.clone()
    })
}

/// Whether an entry has to be restamped.
pub fn is_unescaped(model: &Model, entry: &Entry) -> bool {
    respelled(model, entry).is_some()
}

/// Whether an entry is in the scope of its fields, or in nobody's if they form none.
pub fn is_in_its_scope(document_type: &DocumentType, entry: &Entry, body: &Document) -> bool {
    match grant::scope_of(document_type, &entry.key.id, body) {
        Ok(scope) => scope == entry.scope,
        Err(_) if entry.scope == nobodys() => true,
        Err(FillError::Name(_)) => false,
        Err(_) => unescaped_scope(document_type, entry, body).as_ref() == Some(&entry.scope),
    }
}

/// Whether a document names its scope itself, and one that no rule of the model can grant. It may have been named
/// before values were escaped, and no user sees it.
pub fn is_out_of_reach(model: &Model, entry: &Entry) -> bool {
    let document_type = model.stored_type(&entry.key.type_name);
    let names_it = document_type.is_some_and(|ty| matches!(ty.scope, ScopeTemplate::Whole(_)));
    let claims = model.grants.iter().map(|rule| &rule.scope);
    let memberships = model.types.iter().filter_map(|ty| ty.membership.as_ref());
    let mut granted = claims.chain(memberships.map(|rule| &rule.scope));
    names_it && entry.body.is_some() && !granted.any(|template| template.can_give(&entry.scope))
}

fn restamped(model: &Model, now: Timestamp, entry: &Entry) -> Option<Entry> {
    let (scope, membership) = respelled(model, entry)?;
    let arrival = ForeignWrite {
        model,
        now,
        version_floor: entry.version,
        key: &entry.key,
        entry: Some(entry),
    };
    let next = Entry {
        scope,
        membership,
        ..entry.clone()
    };
    arrival.next_entry(next).entry
}

/// The present spelling of an entry's scope and membership, if one of them was spelled otherwise.
fn respelled(model: &Model, entry: &Entry) -> Option<(Scope, Option<Membership>)> {
    let document_type = model.stored_type(&entry.key.type_name)?;
    let body = entry.body.as_ref()?;
    let id = &entry.key.id;
    let mut scope = entry.scope.clone();
    if unescaped_scope(document_type, entry, body).as_ref() == Some(&entry.scope) {
        match grant::scope_of(document_type, id, body) {
            Ok(escaped) => scope = escaped,
            Err(FillError::Name(_)) => scope = nobodys(),
            // The text of a document that names its scope itself: no rule grants it.
            Err(_) => {}
        }
    }
    let before = entry.membership.as_ref();
    let mut membership = entry.membership.clone();
    let unescaped = grant::unescaped_membership_of(document_type, id, body);
    if membership::open_the_same(unescaped.as_ref(), before) {
        // It has another spelling, and the same giver and time.
        membership = grant::membership_of(document_type, id, body).map(|now| Membership {
            giver: before.and_then(|before| before.giver.clone()),
            since: before.map_or(now.since, |before| before.since),
            ..now
        });
    }
    ((&scope, &membership) != (&entry.scope, &entry.membership)).then_some((scope, membership))
}

fn unescaped_scope(document_type: &DocumentType, entry: &Entry, body: &Document) -> Option<Scope> {
    grant::unescaped_scope_of(document_type, &entry.key.id, body)
}

/// The scope of documents that make none: a field has no value, or the text would be too long. No template gives it, so it
/// is never granted.
pub(crate) fn nobodys() -> Scope {
    Scope::new("%").expect("one character is a usable name")
}
