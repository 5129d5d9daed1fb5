//! Which change to blame when the database refuses a document. The database sees only the result of all changes.

use std::collections::HashMap;

use super::{CommitRequest, overlay::key_of};
use crate::{
    change::{Action, Change, Rejection},
    id::DocumentKey,
    model::STORED_ID,
    transaction::DatabaseRefusal,
};

/// The indexes of a push and of its change.
type ChangeIndex = (usize, usize);

/// This many refusals of one document blame one change each. Each further one blames twice as many as the one before, so
/// a push of 1,000 changes to one document is written 18 times at most.
const SINGLE_MAX: usize = 8;

/// For each refusal, the last change not yet blamed that set one of its fields. If the fields are unknown, or no change
/// set one, the last that wrote the document. Of a refused removal, the last delete. So repeated refusals go back to
/// the state that the database accepted.
pub(super) fn blame(
    requests: &[CommitRequest],
    refusals: &[DatabaseRefusal],
) -> HashMap<ChangeIndex, Rejection> {
    let mut blamed = HashMap::new();
    let mut refused: HashMap<&DocumentKey, usize> = HashMap::new();
    for refusal in refusals {
        let times = refused.entry(&refusal.key).or_default();
        *times += 1;
        let blames = 1 << times.saturating_sub(SINGLE_MAX).min(16);
        let mut candidates: Vec<(ChangeIndex, &Change)> = changes_of(requests, &refusal.key)
            .filter(|(_, change)| deletes(change) == refusal.is_of_removal)
            .filter(|(place, _)| !blamed.contains_key(place))
            .collect();
        let is_named = |(_, change): &(ChangeIndex, &Change)| {
            let mut fields = refusal.fields.iter();
            fields.any(|field| writes_field(change, field))
        };
        if candidates.iter().any(is_named) {
            candidates.retain(is_named);
        }
        let mut last = candidates.into_iter().rev().map(|(place, _)| place);
        blamed.extend(last.next().map(|place| (place, refusal.rejection.clone())));
        blamed.extend(last.take(blames - 1).map(|place| (place, untried(refusal))));
    }
    blamed
}

/// The rejection of a change that is blamed without a refusal of its own.
fn untried(refusal: &DatabaseRefusal) -> Rejection {
    let message = "the database refuses so many changes of this push to the document that it was not asked about this one; send the change again";
    Rejection {
        message: message.to_owned(),
        ..refusal.rejection.clone()
    }
}

fn changes_of<'c>(
    requests: &'c [CommitRequest],
    key: &'c DocumentKey,
) -> impl Iterator<Item = (ChangeIndex, &'c Change)> {
    let pushes = requests.iter().enumerate();
    let pushes = pushes.filter_map(|(i, request)| Some((i, request.as_push()?)));
    pushes.flat_map(move |(i, request)| {
        let items = request.push.changes.iter().enumerate();
        items.filter_map(move |(j, item)| {
            let change = item.change.as_ref().ok()?;
            (key_of(item) == Some(key)).then_some(((i, j), change))
        })
    })
}

fn deletes(change: &Change) -> bool {
    matches!(change.action, Action::Delete { .. })
}

fn writes_field(change: &Change, field: &str) -> bool {
    match &change.action {
        Action::Create { document, .. } => field == STORED_ID || document.contains_key(field),
        Action::Update { set, .. } => set.contains_key(field),
        Action::Delete { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        change::{BaseVersion, RejectionCode, Submission},
        grant::{Grants, Identity},
        id::{DocumentId, TypeName, UserId},
        push::{Push, PushHash, PushRequest},
        value::{Document, Timestamp, Value},
    };

    fn key() -> DocumentKey {
        DocumentKey {
            type_name: TypeName::new("Task").unwrap(),
            id: DocumentId::new("1").unwrap(),
        }
    }

    /// A push of one update for each list of fields. An empty list is a delete.
    fn push(changes: &[&[&str]]) -> CommitRequest {
        let submissions = changes.iter().map(|fields| {
            let value = |name: &&str| ((*name).to_owned(), Value::Null);
            let set: Document = fields.iter().map(value).collect();
            let base = BaseVersion(1);
            let action = match fields {
                [] => Action::Delete { base },
                _ => Action::Update {
                    base,
                    set,
                    seen: None,
                },
            };
            Submission {
                type_name: key().type_name,
                id: "1".to_owned(),
                change: Ok(Change {
                    key: key(),
                    action,
                    changed_at: None,
                }),
            }
        });
        let push = Push {
            client: None,
            changes: submissions.collect(),
            atomic: false,
            policy: None,
            epoch: None,
        };
        CommitRequest::Push(Arc::new(PushRequest {
            identity: Arc::new(Identity {
                user: UserId::new("alice").unwrap(),
                claims: serde_json::Map::new(),
                expires_at: Timestamp::EPOCH,
            }),
            claim_grants: Arc::new(Grants::default()),
            hash: PushHash::of(&push),
            push,
            webhook_decisions: Vec::new(),
            clients_max: 0,
            api: None,
        }))
    }

    fn refusal(fields: &[&str]) -> DatabaseRefusal {
        DatabaseRefusal {
            key: key(),
            fields: fields.iter().copied().map(str::to_owned).collect(),
            is_of_removal: false,
            rejection: Rejection::new(RejectionCode::InvalidValue, "no"),
        }
    }

    #[test]
    fn of_a_removal_that_is_refused_the_deletes_are_to_blame() {
        let pushes = [push(&[&["email"], &[], &["title"]]), push(&[&[]])];
        let removal = DatabaseRefusal {
            is_of_removal: true,
            ..refusal(&[])
        };
        for (times, expected) in [(1, vec![(1, 0)]), (9, vec![(0, 1), (1, 0)])] {
            let refusals = vec![removal.clone(); times];
            let mut blamed: Vec<ChangeIndex> = blame(&pushes, &refusals).into_keys().collect();
            blamed.sort_unstable();
            assert_eq!(blamed, expected);
        }
    }

    #[test]
    fn a_thousand_changes_to_one_document_are_all_blamed_after_seventeen_refusals() {
        let email: &[&str] = &["email"];
        let pushes = [push(&[email; 1_000])];
        for (times, expected, refused) in [(8, 8, 8), (9, 10, 9), (17, 1_000, 17)] {
            let refusals = vec![refusal(&["email"]); times];
            let blamed = blame(&pushes, &refusals);
            assert_eq!(blamed.len(), expected, "{times}");
            let last = 1_000 - expected..1_000;
            assert!(
                last.into_iter()
                    .all(|place| blamed.contains_key(&(0, place)))
            );
            let reported = blamed.values().filter(|it| it.message == "no");
            assert_eq!(reported.count(), refused, "the others are asked for again");
        }
    }

    #[test]
    fn the_last_change_that_put_the_value_in_is_to_blame_and_then_the_one_before() {
        let pushes = [
            push(&[&["email"], &["title"]]),
            push(&[&["email", "title"], &["notes"], &[]]),
        ];
        for (refusals, expected) in [
            (vec![refusal(&["email"])], vec![(1, 0)]),
            (vec![refusal(&["email"]); 2], vec![(0, 0), (1, 0)]),
            (vec![refusal(&["unknown", "notes"])], vec![(1, 1)]),
            (vec![refusal(&["unknown"])], vec![(1, 1)]),
            (vec![refusal(&[]); 3], vec![(0, 1), (1, 0), (1, 1)]),
            (vec![refusal(&[]); 5], vec![(0, 0), (0, 1), (1, 0), (1, 1)]),
        ] {
            let mut blamed: Vec<ChangeIndex> = blame(&pushes, &refusals).into_keys().collect();
            blamed.sort_unstable();
            assert_eq!(blamed, expected, "{refusals:?}");
        }
    }
}
