//! What an update does to an entry, and how single fields of a stale change are settled.
//!
//! Creates that meet a live document are settled by the same rules, field by field.

use super::{Base, Context, Decision, Standing, field_version, merge, prune_writers};
use crate::{
    change::{BaseVersion, Change, Rejection, RejectionCode},
    entry::Entry,
    grant,
    model::{Field, MergeStrategy, Overlap, Policy},
    mutant::{Mutant, breaks},
    outcome::{FieldOutcome, Status, Taken},
    value::{Document, Value, check},
};

/// An update as its change carries it.
pub(super) struct Edit<'a> {
    pub(super) base: BaseVersion,
    pub(super) set: &'a Document,
    pub(super) seen: Option<&'a Document>,
}

pub(super) fn decide(
    context: &Context<'_>,
    entry: Option<&Entry>,
    change: &Change,
    edit: &Edit<'_>,
) -> Result<Decision, Rejection> {
    check_set(context, edit.set)?;
    let entry = context.writable(entry)?;
    let conflict = |fields| {
        Ok(Decision::Keep {
            status: Status::Conflict,
            fields,
        })
    };
    match context.standing(entry, edit.base)? {
        Standing::OfDeleted => conflict(None),
        Standing::Clean => {
            let fields = settle_all(context, entry, edit, |field, mine, seen| {
                settle_clean(context, entry, field, mine, seen)
            })?;
            write(context, entry, change, fields, Status::Applied)
        }
        Standing::Stale(base) => {
            let fields = settle_all(context, entry, edit, |field, mine, seen| {
                settle_stale(
                    context,
                    entry,
                    change,
                    base,
                    &FieldEdit { field, mine, seen },
                )
            })?;
            if fields.iter().all(|outcome| outcome.taken == Taken::Theirs) {
                return conflict(Some(fields));
            }
            write(context, entry, change, fields, Status::Merged)
        }
    }
}

/// One field of a change.
pub(super) struct FieldEdit<'a> {
    pub(super) field: &'a Field,
    pub(super) mine: &'a Value,
    pub(super) seen: Option<&'a Value>,
}

/// A field's new value and whose it is.
type Settled = (Option<Value>, Taken);

/// Settles one field of a stale change (rules.md 4.7 and 4.8).
pub(super) fn settle_stale(
    context: &Context<'_>,
    entry: &Entry,
    change: &Change,
    base: Base,
    edit: &FieldEdit<'_>,
) -> Result<Settled, Rejection> {
    let name = &edit.field.name;
    let theirs = current(entry, name);
    let overlap = context.whole_overlap();
    if context.policy == Policy::ServerWins {
        return Ok((theirs.cloned(), Taken::Theirs));
    }
    if let Some(strategy) = edit
        .field
        .merge
        .filter(|strategy| merge::is_difference(*strategy))
    {
        if let Some(joined) = join_difference(context, strategy, edit, theirs)? {
            return Ok(joined);
        }
        let overlaps = context.changed_since(entry, name, base);
        return Ok(if overlaps {
            by_overlap(context, overlap, entry, change, edit)
        } else {
            mine(edit)
        });
    }
    let shown_same = base == Base::Nothing && edit.seen.is_some() && same(edit.seen, theirs);
    let overlaps = context.changed_by_another(entry, name, base)
        && !same(Some(edit.mine), theirs)
        && !shown_same;
    if !overlaps {
        return Ok(mine(edit));
    }
    match edit.field.merge.filter(|_| context.policy == Policy::Merge) {
        None => Ok(by_overlap(context, overlap, entry, change, edit)),
        Some(MergeStrategy::Server) => Ok((theirs.cloned(), Taken::Theirs)),
        Some(MergeStrategy::Client) => Ok(mine(edit)),
        Some(MergeStrategy::Max) => Ok(by_size(merge::is_above(edit.mine, theirs), edit, theirs)),
        Some(MergeStrategy::Min) => Ok(by_size(merge::is_below(edit.mine, theirs), edit, theirs)),
        Some(_) => Ok(by_overlap(
            context,
            Overlap::LastWriteWins,
            entry,
            change,
            edit,
        )),
    }
}

/// A clean field is written as it is, or as a difference where that is safe: with `base`, so that the difference is
/// known, and with a mutation id, so that it cannot be added twice.
fn settle_clean(
    context: &Context<'_>,
    entry: &Entry,
    field: &Field,
    mine_value: &Value,
    seen: Option<&Value>,
) -> Result<Settled, Rejection> {
    let edit = FieldEdit {
        field,
        mine: mine_value,
        seen,
    };
    let strategy = field
        .merge
        .filter(|strategy| merge::is_difference(*strategy));
    let joined = match strategy {
        Some(strategy) => join_difference(context, strategy, &edit, current(entry, &field.name))?,
        None => None,
    };
    Ok(joined.map_or_else(|| mine(&edit), |(value, _)| (value, Taken::Mine)))
}

/// The value with the client's difference added, if the difference is known, may be added, and fits.
fn join_difference(
    context: &Context<'_>,
    strategy: MergeStrategy,
    edit: &FieldEdit<'_>,
    theirs: Option<&Value>,
) -> Result<Option<Settled>, Rejection> {
    let (Some(seen), Some(_), false) = (edit.seen, context.mutation, breaks(Mutant::Absolute))
    else {
        return Ok(None);
    };
    let joined = merge::join(strategy, seen, edit.mine, theirs.unwrap_or(&Value::Null)).map_err(
        |merge::Overflow| {
            Rejection::of_field(
                RejectionCode::InvalidValue,
                &edit.field.name,
                "the sum is beyond what the field can hold",
            )
        },
    )?;
    Ok(joined.map(|value| (Some(value), Taken::Both)))
}

fn by_overlap(
    context: &Context<'_>,
    overlap: Overlap,
    entry: &Entry,
    change: &Change,
    edit: &FieldEdit<'_>,
) -> Settled {
    let name = &edit.field.name;
    let wins = match overlap {
        Overlap::ServerWins => false,
        Overlap::ClientWins => true,
        Overlap::LastWriteWins => entry
            .writers
            .get(&field_version(entry, name))
            .is_none_or(|theirs| context.is_later_than(change, theirs)),
    };
    by_size(wins, edit, current(entry, name))
}

fn by_size(mine_wins: bool, edit: &FieldEdit<'_>, theirs: Option<&Value>) -> Settled {
    if mine_wins {
        mine(edit)
    } else {
        (theirs.cloned(), Taken::Theirs)
    }
}

fn mine(edit: &FieldEdit<'_>) -> Settled {
    (Some(edit.mine.clone()), Taken::Mine)
}

fn settle_all(
    context: &Context<'_>,
    entry: &Entry,
    edit: &Edit<'_>,
    settle: impl Fn(&Field, &Value, Option<&Value>) -> Result<Settled, Rejection>,
) -> Result<Vec<FieldOutcome>, Rejection> {
    edit.set
        .iter()
        .filter_map(|(name, mine)| Some((context.document_type.field(name)?, mine)))
        .map(|(field, mine)| {
            let seen = edit.seen.and_then(|seen| seen.get(&field.name));
            let (result, taken) = settle(field, mine, seen)?;
            Ok(outcome(
                entry,
                &FieldEdit { field, mine, seen },
                result,
                taken,
            ))
        })
        .collect()
}

pub(super) fn outcome(
    entry: &Entry,
    edit: &FieldEdit<'_>,
    result: Option<Value>,
    taken: Taken,
) -> FieldOutcome {
    FieldOutcome {
        field: edit.field.name.clone(),
        base: edit.seen.cloned(),
        mine: Some(edit.mine.clone()),
        theirs: current(entry, &edit.field.name).cloned(),
        result,
        taken,
    }
}

/// Writes the fields that were not left as they are: only those, or another writer's edit would be reverted.
pub(super) fn write(
    context: &Context<'_>,
    entry: &Entry,
    change: &Change,
    fields: Vec<FieldOutcome>,
    status: Status,
) -> Result<Decision, Rejection> {
    let (version, run) = context.next_version(entry)?;
    let mut next = Entry {
        version,
        run,
        at: context.now,
        ..entry.clone()
    };
    let mut body = next.body.take().unwrap_or_default();
    let written = || {
        fields
            .iter()
            .filter(|outcome| outcome.taken != Taken::Theirs)
    };
    let previous = written()
        .filter_map(|outcome| entry.writers.get(&field_version(entry, &outcome.field)))
        .map(|writer| writer.edited_at)
        .max();
    for outcome in written() {
        if let Some(value) = &outcome.result {
            check_joined(context, outcome, value)?;
            body.insert(outcome.field.clone(), value.clone());
        } else {
            body.remove(&outcome.field);
        }
        next.field_versions.insert(outcome.field.clone(), version);
    }
    next.scope = context.scope_for(change, &body)?;
    next.membership = grant::membership_of(context.document_type, &change.key.id, &body);
    next.body = Some(body);
    next.writers
        .insert(version, context.writer(change, previous));
    prune_writers(&mut next);
    let fields = (status == Status::Merged).then_some(fields);
    Ok(Decision::Write {
        status,
        entry: Box::new(next),
        fields,
    })
}

/// What does not depend on the entry: fields exist, may be set, and hold what they may hold.
fn check_set(context: &Context<'_>, set: &Document) -> Result<(), Rejection> {
    if set.is_empty() {
        let message = "`set` names no field; leave the change out, or set one";
        return Err(Rejection::new(RejectionCode::InvalidValue, message));
    }
    set.iter()
        .try_for_each(|(name, value)| check_field(context, name, value))
}

/// Checks one field that a client sets.
pub(super) fn check_field(
    context: &Context<'_>,
    name: &str,
    value: &Value,
) -> Result<(), Rejection> {
    let invalid = |message: &str| Rejection::of_field(RejectionCode::InvalidValue, name, message);
    let field = context
        .document_type
        .field(name)
        .ok_or_else(|| invalid("the model has no such field"))?;
    if field.read_only {
        return Err(invalid("the field is read-only"));
    }
    check::check_value(context.model, field, value, name).map_err(|error| {
        Rejection::of_field(RejectionCode::InvalidValue, &error.path, error.problem)
    })
}

/// A joined value is neither side's own, so it is checked again.
fn check_joined(
    context: &Context<'_>,
    outcome: &FieldOutcome,
    value: &Value,
) -> Result<(), Rejection> {
    if outcome.mine.as_ref() == Some(value) {
        Ok(())
    } else {
        check_field(context, &outcome.field, value)
    }
}

pub(super) fn current<'e>(entry: &'e Entry, name: &str) -> Option<&'e Value> {
    entry.body.as_ref()?.get(name)
}

/// Whether two values are equal as a client sees them: it cannot tell an absent field from a null one.
pub(super) fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    a.unwrap_or(&Value::Null) == b.unwrap_or(&Value::Null)
}
