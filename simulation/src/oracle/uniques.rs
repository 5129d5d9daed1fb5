//! What no two orders have (rules.md 4.16 and 8.10): a number, and within a scope a slot.

use std::collections::BTreeMap;

use tidegate_core::{
    change::{Action, RejectionCode},
    entry::Entry,
    id::DocumentKey,
    outcome::Status,
    push::{Outcome, Push, PushOutcome},
    transaction::ForeignState,
    value::{Document, Value},
};
use tidegate_testkit::store::State;

use super::{Judged, Property, expect, took};
use crate::{
    people::{self, NUMBER, SLOT},
    store::Moment,
};

/// The field that makes the scope of an order.
const SCOPE: &str = "audience";

/// No two documents that are shown have one number, or one slot in one scope.
pub(crate) fn judge_unique(state: &State) -> Judged {
    let shown = shown_orders(state);
    for (nth, (entry, body)) in shown.iter().enumerate() {
        let mut later = shown[nth + 1..].iter();
        let twin = later.find(|(_, other)| clash(body, other));
        expect(twin.is_none(), Property::Unique, || {
            format!("{entry:?} and {twin:?} have the same")
        })?;
    }
    Ok(())
}

/// The order that is shown and has what this one would have.
pub(crate) fn holder_of<'s>(
    state: &'s State,
    key: &DocumentKey,
    body: &Document,
) -> Option<&'s Entry> {
    let shown = shown_orders(state).into_iter();
    let mut others = shown.filter(|(entry, _)| entry.key != *key);
    let holder = others.find(|(_, other)| clash(body, other));
    holder.map(|(entry, _)| entry)
}

/// Whether another service made of an order what another one has, or is to have by what services wrote.
pub(super) fn is_duplicate(state: &State, key: &DocumentKey) -> bool {
    let Some(body) = written(state, key).filter(|_| people::is_order(key)) else {
        return false;
    };
    let orders = state.foreign.keys().filter(|it| people::is_order(it));
    let mut others = orders.filter(|other| *other != key);
    holder_of(state, key, body).is_some()
        || others.any(|other| written(state, other).is_some_and(|other| clash(body, other)))
}

/// A change is refused for a value only if another order may have had it at that point of the commit.
pub(crate) fn judge_not_unique(
    push: &Push,
    answer: &PushOutcome,
    nth: usize,
    moments: &[Moment],
) -> Judged {
    let error = answer.outcomes[nth].error.as_ref();
    let Some(error) = error.filter(|it| it.code == RejectionCode::NotUnique) else {
        return Ok(());
    };
    let field = match error.field.as_deref() {
        Some(NUMBER) => NUMBER,
        _ => SLOT,
    };
    let mut commits = moments.windows(2).filter_map(|pair| {
        let place = pair[1].answers.iter().position(|it| {
            it.as_ref()
                .is_ok_and(|it| !it.duplicate && is_same(it, answer))
        });
        Some(Commit {
            before: &pair[0].state,
            after: &pair[1],
            place: place?,
            push,
            outcomes: &answer.outcomes,
        })
    });
    expect(
        commits.any(|commit| commit.has_holder(nth, field)),
        Property::Unique,
        || format!("{push:?} has {answer:?}, and nobody had the {field} of change {nth}"),
    )
}

/// Whether it is the same answer. What it shows may differ.
fn is_same(one: &PushOutcome, other: &PushOutcome) -> bool {
    let said = |outcome: &Outcome| {
        let about = (outcome.type_name.clone(), outcome.id.clone());
        (about, outcome.mutation, outcome.status, outcome.version)
    };
    let (one, other) = (one.outcomes.iter(), other.outcomes.iter());
    one.map(said).eq(other.map(said))
}

/// A push in its commit.
struct Commit<'m> {
    before: &'m State,
    after: &'m Moment,
    /// That of its answer among those of the commit.
    place: usize,
    push: &'m Push,
    outcomes: &'m [Outcome],
}

impl Commit<'_> {
    /// Whether another order may have had what a change comes to.
    fn has_holder(&self, nth: usize, field: &'static str) -> bool {
        let Ok(change) = &self.push.changes[nth].change else {
            return false;
        };
        let mut wanted = self.possible(&change.key, nth);
        wanted.follow(&change.action, false);
        let orders = (0..).map(people::order).take(people::ORDERS.len());
        let mut others = orders.filter(|it| *it != change.key);
        others.any(|other| {
            self.is_of_other_push(&other) || self.possible(&other, nth).meets(&wanted, field)
        })
    }

    /// Whether another push of the commit changed the order, at a point that the answers do not say.
    fn is_of_other_push(&self, key: &DocumentKey) -> bool {
        let answers = self.after.answers.iter().enumerate();
        let others = answers.filter(|(place, _)| *place != self.place);
        let others = others.filter_map(|(_, answer)| answer.as_ref().ok());
        let mut outcomes = others
            .filter(|answer| !answer.duplicate)
            .flat_map(|it| &it.outcomes);
        outcomes.any(|it| it.type_name == key.type_name && it.id == key.id.as_str() && took(it))
    }

    /// What an order may have when a change of the push is decided: by its entry, by what another service wrote, and by
    /// the changes before.
    fn possible(&self, key: &DocumentKey, nth: usize) -> Possible {
        let mut possible = Possible::default();
        let entry = self.before.entry(key).and_then(|it| it.body.as_ref());
        let bodies = entry.into_iter().chain(written(self.before, key));
        bodies.for_each(|body| possible.add(body));
        let earlier = self.push.changes.iter().zip(self.outcomes).take(nth);
        for (item, outcome) in earlier {
            let Ok(change) = &item.change else { continue };
            let is_undone = outcome
                .error
                .as_ref()
                .is_some_and(|it| it.code == RejectionCode::AtomicAborted);
            if change.key == *key && (took(outcome) || is_undone) {
                possible.follow(&change.action, outcome.status == Status::Applied);
            }
        }
        possible
    }
}

/// All values that an order may have, field by field.
#[derive(Default)]
struct Possible(BTreeMap<&'static str, Vec<Value>>);

impl Possible {
    fn add(&mut self, body: &Document) {
        for field in [SCOPE, NUMBER, SLOT] {
            let value = body.get(field).filter(|value| !value.is_null());
            self.0.entry(field).or_default().extend(value.cloned());
        }
    }

    /// After a change. A clean one leaves nothing else in its fields. Of another one it is not said what it leaves.
    fn follow(&mut self, action: &Action, is_clean: bool) {
        match action {
            Action::Delete { .. } if is_clean => self.0.clear(),
            Action::Delete { .. } => {}
            Action::Create { document: set, .. } | Action::Update { set, .. } => {
                self.0
                    .retain(|field, _| !(is_clean && set.contains_key(*field)));
                self.add(set);
            }
        }
    }

    /// Whether they may have the number in common, or a scope and the slot.
    fn meets(&self, other: &Self, field: &'static str) -> bool {
        let has_common = |field| {
            let values = self.0.get(field).zip(other.0.get(field));
            values.is_some_and(|(own, others)| own.iter().any(|it| others.contains(it)))
        };
        has_common(field) && (field == NUMBER || has_common(SCOPE))
    }
}

fn clash(one: &Document, other: &Document) -> bool {
    let is_common = |field: &str| {
        let value = one.get(field).filter(|value| !value.is_null());
        value.is_some() && value == other.get(field)
    };
    is_common(NUMBER) || is_common(SLOT) && is_common(SCOPE)
}

fn shown_orders(state: &State) -> Vec<(&Entry, &Document)> {
    let orders = state.entries().filter(|entry| people::is_order(&entry.key));
    let shown = orders.filter_map(|entry| Some((entry.as_ref(), entry.body.as_ref()?)));
    shown.collect()
}

/// What another service made of a document, if nothing has taken it over.
fn written<'s>(state: &'s State, key: &DocumentKey) -> Option<&'s Document> {
    match state.foreign.get(key) {
        Some(ForeignState::Document(body)) => Some(body),
        _ => None,
    }
}
