//! Whose fault it is when the database refuses a document: it saw only what all changes made of it.

use std::collections::HashMap;

use super::{PushRequest, world::key_of};
use crate::{
    change::{Action, Change, Rejection},
    id::DocumentKey,
    transaction::Refusal,
};

/// A change by the places of its push and of itself.
type Place = (usize, usize);

/// For each refusal the last change not yet blamed that put something into one of its fields; where the fields are
/// not known, or none of them was put in, the last that wrote the document. Repeated refusals so go back to the state
/// that the database took.
pub(super) fn blame<'r>(
    requests: &[PushRequest],
    refusals: &'r [Refusal],
) -> HashMap<Place, &'r Rejection> {
    let mut blamed = HashMap::new();
    for refusal in refusals {
        let candidates: Vec<(Place, &Change)> = changes_of(requests, &refusal.key)
            .filter(|(place, _)| !blamed.contains_key(place))
            .collect();
        let named = candidates.iter().rev().find(|(_, change)| {
            let mut fields = refusal.fields.iter();
            fields.any(|field| puts(change, field))
        });
        if let Some((place, _)) = named.or(candidates.last()) {
            blamed.insert(*place, &refusal.rejection);
        }
    }
    blamed
}

fn changes_of<'c>(
    requests: &'c [PushRequest],
    key: &'c DocumentKey,
) -> impl Iterator<Item = (Place, &'c Change)> {
    requests.iter().enumerate().flat_map(move |(i, request)| {
        let items = request.push.changes.iter().enumerate();
        items.filter_map(move |(j, item)| {
            let change = item.change.as_ref().ok()?;
            let writes = !matches!(change.action, Action::Delete { .. });
            (key_of(item) == Some(key) && writes).then_some(((i, j), change))
        })
    })
}

fn puts(change: &Change, field: &str) -> bool {
    match &change.action {
        Action::Create { document, .. } => document.contains_key(field),
        Action::Update { set, .. } => set.contains_key(field),
        Action::Delete { .. } => false,
    }
}
