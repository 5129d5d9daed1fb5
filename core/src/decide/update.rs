//! What an update does to an entry, and how each field of a stale change is settled.
//!
//! The fields of a create that meets a living document follow the same rules.

use super::{
    Base, Context, Decision, Standing, client_wins, field_version, hold,
    merge::{self, Judge, Three},
    prune_writers,
};
use crate::{
    change::{BaseVersion, Change, Rejection, RejectionCode},
    entry::Entry,
    grant,
    inbox::Mine,
    model::{Field, MergeStrategy, Overlap, Policy},
    mutant::{Mutant, breaks},
    outcome::{FieldOutcome, Rule, Status, Taken},
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
    let conflict = |fields| Ok(Decision::keep(Status::Conflict, fields));
    match context.standing(entry, edit.base)? {
        Standing::OfDeleted if context.defers() => hold::whole(
            context,
            entry,
            change,
            Mine::Changed(edit.set.clone()),
            None,
        ),
        Standing::OfDeleted => conflict(None),
        Standing::Clean => {
            let fields = settle_all(context, entry, edit, |edit| {
                settle_clean(context, entry, change, edit)
            })?;
            write(context, entry, change, fields, Status::Applied)
        }
        Standing::Stale(base) => {
            let fields = settle_all(context, entry, edit, |edit| {
                settle_stale(context, entry, change, base, edit)
            })?;
            if context.defers() {
                let mine = Mine::Changed(edit.set.clone());
                return hold::whole(context, entry, change, mine, Some(fields));
            }
            let held = hold::fields(context, entry, change, &fields)?;
            let decision = if fields.iter().all(|outcome| outcome.taken == Taken::Theirs) {
                conflict(Some(fields))
            } else {
                write(context, entry, change, fields, Status::Merged)
            };
            decision.map(|decision| hold::beside(decision, held))
        }
    }
}

/// One field of a change.
pub(super) struct FieldEdit<'a> {
    pub(super) field: &'a Field,
    pub(super) mine: &'a Value,
    pub(super) seen: Option<&'a Value>,
}

/// A field's new value, the side that it comes from, and the rule.
pub(super) struct Settled {
    result: Option<Value>,
    taken: Taken,
    rule: Rule,
}

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
    if context.policy == Policy::ServerWins || context.defers() {
        let rule = if same(Some(edit.mine), theirs) {
            Rule::NoOverlap
        } else {
            context.whole_overlap().into()
        };
        return Ok(theirs_stays(edit, entry, rule));
    }
    if let Some(joined) = join(context, entry, change, edit)? {
        let alone = !context.changed_since(entry, name, base);
        return Ok(if alone { joined.alone() } else { joined });
    }
    let difference = edit.field.merge.is_some_and(merge::is_difference);
    // A value that could not be joined is pending, even if this client wrote last: its edit may have been joined with
    // another's.
    let waits = context.whole_overlap() == Overlap::Manual
        && edit.seen.is_some()
        && merge::joins(context.model, edit.field).is_some();
    if difference || waits {
        return Ok(if context.changed_since(entry, name, base) {
            by_overlap(context, context.whole_overlap(), entry, change, edit)
        } else {
            mine(edit, Rule::NoOverlap)
        });
    }
    let shown_same = base == Base::Nothing && edit.seen.is_some() && same(edit.seen, theirs);
    let overlaps = context.changed_by_another(entry, name, base)
        && !same(Some(edit.mine), theirs)
        && !shown_same;
    if overlaps {
        Ok(settle_overlap(context, entry, change, edit))
    } else {
        Ok(mine(edit, Rule::NoOverlap))
    }
}

/// Settles a field that both sides changed, by its `@merge` if the policy uses it.
fn settle_overlap(
    context: &Context<'_>,
    entry: &Entry,
    change: &Change,
    edit: &FieldEdit<'_>,
) -> Settled {
    let theirs = current(entry, &edit.field.name);
    let strategy = edit.field.merge.filter(|_| context.policy == Policy::Merge);
    let wins = match strategy {
        None => return by_overlap(context, context.whole_overlap(), entry, change, edit),
        Some(MergeStrategy::Server) => false,
        Some(MergeStrategy::Client) => true,
        Some(MergeStrategy::Max) => merge::is_above(edit.mine, theirs),
        Some(MergeStrategy::Min) => merge::is_below(edit.mine, theirs),
        Some(_) => is_later(context, entry, change, edit),
    };
    by(wins, edit, entry, strategy.map_or(Rule::Latest, Rule::from))
}

/// A clean field is written as it is, or as a difference if that is safe: `base` makes the difference known, and a mutation id
/// prevents adding it twice.
fn settle_clean(
    context: &Context<'_>,
    entry: &Entry,
    change: &Change,
    edit: &FieldEdit<'_>,
) -> Result<Settled, Rejection> {
    let joined = join(context, entry, change, edit)?;
    Ok(joined.map_or_else(
        || mine(edit, Rule::NoOverlap),
        |joined| Settled {
            taken: Taken::Mine,
            ..joined.alone()
        },
    ))
}

/// The value with the client's difference added, if the difference is known, may be added, and fits.
fn join(
    context: &Context<'_>,
    entry: &Entry,
    change: &Change,
    edit: &FieldEdit<'_>,
) -> Result<Option<Settled>, Rejection> {
    let rule = merge::joins(context.model, edit.field);
    let (Some(rule), Some(seen), Some(_), false) =
        (rule, edit.seen, context.mutation, breaks(Mutant::Absolute))
    else {
        return Ok(None);
    };
    let judge = Judge {
        model: context.model,
        work: context.work,
        overlap: client_wins(context.whole_overlap(), || {
            is_later(context, entry, change, edit)
        }),
        is_later: is_later(context, entry, change, edit),
        merges: context.policy == Policy::Merge,
    };
    let three = Three {
        seen: Some(seen),
        mine: Some(edit.mine),
        theirs: current(entry, &edit.field.name),
    };
    let joined = judge.join(edit.field, &three).map_err(|overflow| {
        let path = format!("{}{}", edit.field.name, overflow.path);
        let message = "the sum is beyond what the field can hold";
        Rejection::invalid(&path, message)
    })?;
    Ok(joined.map(|value| Settled {
        result: Some(value),
        taken: Taken::Both,
        rule,
    }))
}

fn by_overlap(
    context: &Context<'_>,
    overlap: Overlap,
    entry: &Entry,
    change: &Change,
    edit: &FieldEdit<'_>,
) -> Settled {
    let wins = client_wins(overlap, || is_later(context, entry, change, edit));
    by(wins == Some(true), edit, entry, overlap.into())
}

/// Whether the edit comes after the one that wrote the field.
fn is_later(context: &Context<'_>, entry: &Entry, change: &Change, edit: &FieldEdit<'_>) -> bool {
    context.is_later_than_version(change, entry, field_version(entry, &edit.field.name))
}

fn by(mine_wins: bool, edit: &FieldEdit<'_>, entry: &Entry, rule: Rule) -> Settled {
    if mine_wins {
        mine(edit, rule)
    } else {
        theirs_stays(edit, entry, rule)
    }
}

fn mine(edit: &FieldEdit<'_>, rule: Rule) -> Settled {
    Settled {
        result: Some(edit.mine.clone()),
        taken: Taken::Mine,
        rule,
    }
}

fn theirs_stays(edit: &FieldEdit<'_>, entry: &Entry, rule: Rule) -> Settled {
    Settled {
        result: current(entry, &edit.field.name).cloned(),
        taken: Taken::Theirs,
        rule,
    }
}

impl Settled {
    /// Settles a field that no other client changed.
    fn alone(self) -> Self {
        Self {
            rule: Rule::NoOverlap,
            ..self
        }
    }
}

fn settle_all(
    context: &Context<'_>,
    entry: &Entry,
    edit: &Edit<'_>,
    settle: impl Fn(&FieldEdit<'_>) -> Result<Settled, Rejection>,
) -> Result<Vec<FieldOutcome>, Rejection> {
    edit.set
        .iter()
        .filter_map(|(name, mine)| Some((context.document_type.field(name)?, mine)))
        .map(|(field, mine)| {
            let seen = edit.seen.and_then(|seen| seen.get(&field.name));
            let edit = FieldEdit { field, mine, seen };
            Ok(outcome(entry, &edit, settle(&edit)?))
        })
        .collect()
}

pub(super) fn outcome(entry: &Entry, edit: &FieldEdit<'_>, settled: Settled) -> FieldOutcome {
    FieldOutcome {
        field: edit.field.name.clone(),
        base: edit.seen.cloned(),
        mine: Some(edit.mine.clone()),
        theirs: current(entry, &edit.field.name).cloned(),
        result: settled.result,
        taken: settled.taken,
        rule: settled.rule,
    }
}

/// Writes only the fields that change: any other would revert another writer's edit.
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
        .max_by_key(|writer| writer.lateness());
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
    Ok(Decision::write(status, next, fields))
}

/// Checks that do not depend on the entry: fields exist, may be set, and hold permitted values.
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
    let invalid = |message: &str| Rejection::invalid(name, message);
    let field = context
        .document_type
        .field(name)
        .ok_or_else(|| invalid("the model has no such field"))?;
    if field.read_only {
        return Err(invalid("the field is read-only"));
    }
    check::check_value(context.model, field, value, name)
        .map_err(|error| Rejection::invalid(&error.path, error.problem))
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

/// Whether two values are equal as a client sees them: an absent field equals a null one.
pub(super) fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    a.unwrap_or(&Value::Null) == b.unwrap_or(&Value::Null)
}
