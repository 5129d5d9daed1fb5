//! What an update does to an entry, and how each field of a stale change is settled.
//!
//! The fields of a create that meets a living document follow the same rules.

use super::{
    BaseState, Decision, DecisionContext, Rebase, Staleness, client_wins, defer, field_version,
    merge::{self, MergeContext, ThreeWay},
    prune_writers,
};
use crate::{
    change::{Action, BaseVersion, Change, Rejection, RejectionCode},
    entry::Entry,
    grant,
    inbox::ClientChange,
    model::{Field, MergeStrategy, Overlap, Policy},
    mutant::{Mutant, is_active},
    outcome::{FieldOutcome, Rule, Status, Taken},
    value::{Document, Value, check, content},
};

/// An update as its change carries it.
pub(super) struct UpdateFields<'a> {
    pub(super) base: BaseVersion,
    pub(super) set: &'a Document,
    pub(super) seen: Option<&'a Document>,
}

pub(super) fn decide(
    context: &DecisionContext<'_>,
    entry: Option<&Entry>,
    change: &Change,
    edit: &UpdateFields<'_>,
) -> Result<Decision, Rejection> {
    check_set(context, edit.set)?;
    let entry = context.visible(entry)?;
    let rebase = Rebase {
        context,
        entry,
        change,
    };
    rebase.check_wanted(edit)?;
    let mine = || ClientChange::Changed(edit.set.clone());
    let conflict = |fields| Ok(Decision::keep(Status::Conflict, fields));
    match context.staleness(entry, edit.base)? {
        Staleness::OfDeleted if context.leaves_open() => rebase.defer_change(mine(), None),
        Staleness::OfDeleted => conflict(None),
        Staleness::Clean => {
            let fields = rebase.resolve_fields(edit, |edit| rebase.apply_clean(edit))?;
            rebase.write(fields, Status::Applied)
        }
        Staleness::Stale(base) => {
            let fields = rebase.resolve_fields(edit, |edit| rebase.merge_stale(base, edit))?;
            if context.leaves_open() {
                return rebase.defer_change(mine(), Some(fields));
            }
            let pending = rebase.defer_fields(&fields)?;
            let decision = if fields.iter().all(|outcome| outcome.taken == Taken::Theirs) {
                conflict(Some(fields))
            } else {
                rebase.write(fields, Status::Merged)
            };
            decision.map(|decision| defer::with_pending(decision, pending))
        }
    }
}

/// Decides an update all of whose fields are retired, and keep what they have.
pub(super) fn change_nothing(
    context: &DecisionContext<'_>,
    entry: Option<&Entry>,
    base: BaseVersion,
) -> Result<Decision, Rejection> {
    let entry = context.visible(entry)?;
    context.check_update(entry)?;
    let status = match context.staleness(entry, base)? {
        Staleness::OfDeleted => Status::Conflict,
        Staleness::Clean | Staleness::Stale(_) => Status::Applied,
    };
    Ok(Decision::keep(status, None))
}

/// One field of a change.
pub(super) struct FieldUpdate<'a> {
    pub(super) field: &'a Field,
    pub(super) mine: &'a Value,
    pub(super) seen: Option<&'a Value>,
}

/// A field's new value, the side that it comes from, and the rule.
pub(super) struct ResolvedField {
    result: Option<Value>,
    taken: Taken,
    rule: Rule,
}

impl Rebase<'_> {
    /// Whether the caller may make the update that it asks for. A field that it sets to what it saw there is no part of it:
    /// if such a value would be written, [`Self::write`] asks about it.
    fn check_wanted(&self, edit: &UpdateFields<'_>) -> Result<(), Rejection> {
        let Self { context, entry, .. } = *self;
        let Some(body) = &entry.body else {
            return context.check_update(entry);
        };
        let mut wanted = body.clone();
        wanted.extend(edit.set.iter().filter_map(|(name, mine)| {
            let seen = edit.seen.and_then(|seen| seen.get(name));
            let as_seen = seen.is_some() && context.same(name, Some(mine), seen);
            (!as_seen).then(|| (name.clone(), mine.clone()))
        }));
        let scope = context.scope_for(self.change, &wanted).ok();
        context.check_edit(entry, &wanted, scope.as_ref())
    }

    /// Settles one field of a stale change (rules.md 4.7 and 4.8).
    pub(super) fn merge_stale(
        &self,
        base: BaseState,
        edit: &FieldUpdate<'_>,
    ) -> Result<ResolvedField, Rejection> {
        let Self { context, entry, .. } = *self;
        let name = &edit.field.stored_as;
        let theirs = current(entry, name);
        if context.policy == Policy::ServerWins || context.leaves_open() {
            let rule = if context.same(name, Some(edit.mine), theirs) {
                Rule::NoOverlap
            } else {
                context.overlap_for_whole_change().into()
            };
            return Ok(self.keep_theirs(edit, rule));
        }
        if let Some(joined) = self.join(edit)? {
            let alone = !context.changed_since(entry, name, base);
            return Ok(if alone {
                joined.without_overlap()
            } else {
                joined
            });
        }
        let difference = edit.field.merge.is_some_and(merge::is_difference);
        // A value that could not be joined is pending, even if this client wrote last: its edit may have been joined
        // with another's.
        let waits = context.overlap_for_whole_change() == Overlap::Manual
            && edit.seen.is_some()
            && merge::merge_rule(context.model, edit.field).is_some();
        if difference || waits {
            return Ok(if context.changed_since(entry, name, base) {
                self.by_overlap(edit)
            } else {
                take_mine(edit, Rule::NoOverlap)
            });
        }
        let shown_same = base == BaseState::Nothing
            && edit.seen.is_some()
            && context.same(name, edit.seen, theirs);
        let overlaps = context.changed_by_another(entry, name, base)
            && !context.same(name, Some(edit.mine), theirs)
            && !shown_same;
        if overlaps {
            Ok(self.resolve_overlap(edit))
        } else {
            Ok(take_mine(edit, Rule::NoOverlap))
        }
    }

    /// Settles a field that both sides changed, by its `@merge` if the policy uses it.
    fn resolve_overlap(&self, edit: &FieldUpdate<'_>) -> ResolvedField {
        let theirs = current(self.entry, &edit.field.stored_as);
        let merges = self.context.policy == Policy::Merge;
        let Some(strategy) = edit.field.merge.filter(|_| merges) else {
            return self.by_overlap(edit);
        };
        let wins = match strategy {
            MergeStrategy::Server => false,
            MergeStrategy::Client => true,
            MergeStrategy::Max => merge::is_above(edit.mine, theirs),
            MergeStrategy::Min => merge::is_below(edit.mine, theirs),
            _ => self.is_later(edit),
        };
        self.by(wins, edit, strategy.into())
    }

    /// A clean field is written as it is, or as a difference if that is safe: `base` makes the difference known, and a
    /// mutation id prevents adding it twice.
    fn apply_clean(&self, edit: &FieldUpdate<'_>) -> Result<ResolvedField, Rejection> {
        let joined = self.join(edit)?;
        Ok(joined.map_or_else(
            || take_mine(edit, Rule::NoOverlap),
            |joined| ResolvedField {
                taken: Taken::Mine,
                ..joined.without_overlap()
            },
        ))
    }

    /// The value with the client's difference added, if the difference is known, may be added, and fits.
    fn join(&self, edit: &FieldUpdate<'_>) -> Result<Option<ResolvedField>, Rejection> {
        let context = self.context;
        let rule = merge::merge_rule(context.model, edit.field);
        let (Some(rule), Some(seen), Some(_), false) = (
            rule,
            edit.seen,
            context.mutation,
            is_active(Mutant::Absolute),
        ) else {
            return Ok(None);
        };
        let overlap = context.overlap_for_whole_change();
        let merge_context = MergeContext {
            model: context.model,
            work: context.work,
            overlap: client_wins(overlap, || self.is_later(edit)),
            is_later: self.is_later(edit),
            merges: context.policy == Policy::Merge,
        };
        let three = ThreeWay {
            seen: Some(seen),
            mine: Some(edit.mine),
            theirs: current(self.entry, &edit.field.stored_as),
        };
        let joined = merge_context
            .merge(edit.field, &three)
            .map_err(|overflow| {
                let path = format!("{}{}", edit.field.name, overflow.path);
                let message = "the sum is beyond what the field can hold";
                Rejection::invalid(&path, message)
            })?;
        Ok(joined.map(|value| ResolvedField {
            result: Some(value),
            taken: Taken::Both,
            rule,
        }))
    }

    fn by_overlap(&self, edit: &FieldUpdate<'_>) -> ResolvedField {
        let overlap = self.context.overlap_for_whole_change();
        let wins = client_wins(overlap, || self.is_later(edit));
        self.by(wins == Some(true), edit, overlap.into())
    }

    /// Whether the edit comes after the one that wrote the field.
    fn is_later(&self, edit: &FieldUpdate<'_>) -> bool {
        self.is_later_than_version(field_version(self.entry, &edit.field.stored_as))
    }

    fn by(&self, mine_wins: bool, edit: &FieldUpdate<'_>, rule: Rule) -> ResolvedField {
        if mine_wins {
            take_mine(edit, rule)
        } else {
            self.keep_theirs(edit, rule)
        }
    }

    fn keep_theirs(&self, edit: &FieldUpdate<'_>, rule: Rule) -> ResolvedField {
        ResolvedField {
            result: current(self.entry, &edit.field.stored_as).cloned(),
            taken: Taken::Theirs,
            rule,
        }
    }

    fn resolve_fields(
        &self,
        edit: &UpdateFields<'_>,
        settle: impl Fn(&FieldUpdate<'_>) -> Result<ResolvedField, Rejection>,
    ) -> Result<Vec<FieldOutcome>, Rejection> {
        let fields = edit.set.iter().filter_map(|(name, mine)| {
            let field = self.context.document_type.stored_field(name)?;
            Some((field, mine))
        });
        fields
            .map(|(field, mine)| {
                let seen = edit.seen.and_then(|seen| seen.get(&field.stored_as));
                let edit = FieldUpdate { field, mine, seen };
                Ok(outcome(self.entry, &edit, settle(&edit)?))
            })
            .collect()
    }

    /// Writes only the fields that change: any other would revert another writer's edit.
    pub(super) fn write(
        &self,
        fields: Vec<FieldOutcome>,
        status: Status,
    ) -> Result<Decision, Rejection> {
        let Self {
            context,
            entry,
            change,
        } = *self;
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
                .filter(|outcome| !self.leaves_unfit(outcome))
        };
        let previous = written()
            .filter_map(|outcome| entry.writers.get(&field_version(entry, &outcome.field)))
            .max_by_key(|writer| writer.order());
        for outcome in written() {
            if let Some(value) = &outcome.result {
                check_joined(context, outcome, value)?;
                let mut value = value.clone();
                context.keep_others(&outcome.field, body.get(&outcome.field), &mut value)?;
                body.insert(outcome.field.clone(), value);
            } else {
                body.remove(&outcome.field);
            }
            next.field_versions.insert(outcome.field.clone(), version);
        }
        let scope = context.scope_for(change, &body)?;
        let is_create = matches!(change.action, Action::Create { .. });
        if !(is_create && is_active(Mutant::CreateOverwrites)) {
            context.check_edit(entry, &body, Some(&scope))?;
        }
        next.scope = scope;
        next.membership = grant::membership_of(context.document_type, &change.key.id, &body);
        next.body = Some(body);
        context.keep_server_fields(&mut next);
        next.writers
            .insert(version, context.writer(change, previous));
        prune_writers(&mut next);
        let fields = (status == Status::Merged).then_some(fields);
        Ok(Decision::write(status, next, fields))
    }
}

impl Rebase<'_> {
    /// Whether the change has null in place of what is shown as null, as its client has seen. Forms send every field, and
    /// must not erase what only does not fit.
    fn leaves_unfit(&self, outcome: &FieldOutcome) -> bool {
        let field = self.context.document_type.stored_field(&outcome.field);
        let may_be_unfit = field.is_some_and(|field| field.nulls_misfits);
        let is_null = |value: &Option<Value>| value.as_ref().is_some_and(Value::is_null);
        may_be_unfit
            && is_null(&outcome.result)
            && is_null(&outcome.base)
            && current(self.entry, &outcome.field).is_none()
    }
}

fn take_mine(edit: &FieldUpdate<'_>, rule: Rule) -> ResolvedField {
    ResolvedField {
        result: Some(edit.mine.clone()),
        taken: Taken::Mine,
        rule,
    }
}

impl ResolvedField {
    /// Settles a field that no other client changed.
    fn without_overlap(self) -> Self {
        Self {
            rule: Rule::NoOverlap,
            ..self
        }
    }
}

pub(super) fn outcome(
    entry: &Entry,
    edit: &FieldUpdate<'_>,
    settled: ResolvedField,
) -> FieldOutcome {
    FieldOutcome {
        field: edit.field.stored_as.clone(),
        base: edit.seen.cloned(),
        mine: Some(edit.mine.clone()),
        theirs: current(entry, &edit.field.stored_as).cloned(),
        result: settled.result,
        taken: settled.taken,
        rule: settled.rule,
    }
}

/// Checks that do not depend on the entry: fields exist, may be set, and hold permitted values.
fn check_set(context: &DecisionContext<'_>, set: &Document) -> Result<(), Rejection> {
    if set.is_empty() {
        let message = "`set` names no field; leave the change out, or set one";
        return Err(Rejection::new(RejectionCode::InvalidValue, message));
    }
    set.iter()
        .try_for_each(|(name, value)| check_field(context, name, value))
}

/// Checks one field that a client sets, by its stored name.
pub(super) fn check_field(
    context: &DecisionContext<'_>,
    name: &str,
    value: &Value,
) -> Result<(), Rejection> {
    let field = context.document_type.stored_field(name);
    let field = field.ok_or_else(|| Rejection::invalid(name, "the model has no such field"))?;
    if field.read_only {
        return Err(Rejection::invalid(&field.name, "the field is read-only"));
    }
    check::check_value(context.model, field, value, &field.name)
        .map_err(|error| Rejection::invalid(&error.path, error.problem))
}

/// A joined value is neither side's own, so it is checked again.
fn check_joined(
    context: &DecisionContext<'_>,
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

impl DecisionContext<'_> {
    /// Whether two values of a field are equal as a client sees them. `name` is its stored name.
    pub(crate) fn same(&self, name: &str, a: Option<&Value>, b: Option<&Value>) -> bool {
        let field = self.document_type.stored_field(name);
        field.is_some_and(|field| content::same(self.model, &field.ty, a, b))
    }

    /// Puts into a field's new value what the model does not name of the value before it.
    fn keep_others(
        &self,
        name: &str,
        before: Option<&Value>,
        after: &mut Value,
    ) -> Result<(), Rejection> {
        let Some((field, before)) = self.document_type.stored_field(name).zip(before) else {
            return Ok(());
        };
        content::keep_others_inside(self.model, field, before, after).map_err(|unidentified| {
            let list = format!("{}{}", field.name, unidentified.path);
            let message = "stored items of the list hold what the API does not show, and the change does not say which item is which; edit the document as it is now, or edit fewer of its items at once";
            Rejection::of_field(RejectionCode::ItemUnidentified, &list, message)
        })
    }
}
