//! Pending changes: what goes to the inbox, or to the application's webhook, instead of into the document.
//!
//! The settling of a change decides whether it is pending. A pending change must be allowed: it is checked here as if
//! it were applied, so that no one is asked about a change that could never be applied.

use super::{Decision, Rebase, check_bytes};
use crate::{
    change::{Action, Change, Rejection, RejectionCode},
    grant,
    id::Scope,
    inbox::{ClientChange, PendingConflict},
    model::Policy,
    outcome::{FieldOutcome, Rule, Status},
    value::Document,
};

impl Rebase<'_> {
    /// Makes all of a change pending. An update without effect needs no question.
    pub(super) fn defer_change(
        &self,
        mine: ClientChange,
        fields: Option<Vec<FieldOutcome>>,
    ) -> Result<Decision, Rejection> {
        let context = self.context;
        let differs = |outcome: &FieldOutcome| {
            let (mine, theirs) = (outcome.mine.as_ref(), outcome.theirs.as_ref());
            !context.same(&outcome.field, mine, theirs)
        };
        if let Some(fields) = &fields
            && !fields.iter().any(differs)
        {
            return Ok(Decision::keep(Status::Applied, None));
        }
        let named = match &fields {
            Some(fields) => {
                let fields = fields.iter().filter(|outcome| differs(outcome));
                fields.map(|outcome| outcome.field.clone()).collect()
            }
            None => mine
                .document()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect(),
        };
        let pending = PendingConflict {
            fields: named,
            enters: self.target_scope(&mine)?,
            base: base_fields(self.change)?.cloned(),
            mine,
        };
        Ok(match context.policy {
            Policy::Webhook => Decision::NeedsWebhook(pending),
            _ => Decision::Keep {
                status: Status::Conflict,
                fields,
                pending: Some(pending),
            },
        })
    }

    /// Makes the fields pending that MANUAL leaves to a person, if there are any.
    pub(super) fn defer_fields(
        &self,
        outcomes: &[FieldOutcome],
    ) -> Result<Option<PendingConflict>, Rejection> {
        let left = outcomes
            .iter()
            .filter(|outcome| outcome.rule == Rule::Manual);
        let fields: Vec<String> = left.map(|outcome| outcome.field.clone()).collect();
        if fields.is_empty() {
            return Ok(None);
        }
        let only = |document: &Document| -> Document {
            let kept = document.iter().filter(|(name, _)| fields.contains(name));
            kept.map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        };
        let wanted = match &self.change.action {
            Action::Create { document, .. } => Some(document),
            Action::Update { set, .. } => Some(set),
            Action::Delete { .. } => None,
        };
        let mine = ClientChange::Changed(wanted.map(only).unwrap_or_default());
        Ok(Some(PendingConflict {
            enters: self.target_scope(&mine)?,
            base: base_fields(self.change)?.map(only),
            mine,
            fields,
        }))
    }

    /// The scope in which the document would be. The caller must have the right to put it there. An edit of a deleted
    /// document need not name it.
    fn target_scope(&self, mine: &ClientChange) -> Result<Option<Scope>, Rejection> {
        let Self {
            context,
            entry,
            change,
        } = *self;
        let Some(fields) = mine.document() else {
            return Ok(None);
        };
        let mut document = match mine {
            ClientChange::Created(_) => Document::new(),
            _ => entry.body.clone().unwrap_or_default(),
        };
        document.extend(fields.clone());
        document.extend(context.server_fields(entry));
        check_bytes("the document", &document)?;
        match grant::scope_of(context.document_type, &change.key.id, &document) {
            Ok(scope) if scope == entry.scope => Ok(Some(scope)),
            Ok(scope) => {
                match entry.body {
                    Some(_) => context.check_enter(&change.key.id, &document, &scope)?,
                    None => context.check_create(change, &document, &scope)?,
                }
                Ok(Some(scope))
            }
            Err(error) if entry.body.is_some() => Err(Rejection::new(
                RejectionCode::InvalidScope,
                error.to_string(),
            )),
            Err(_) => Ok(None),
        }
    }
}

/// Adds the pending part to a decision about the rest.
pub(super) fn with_pending(mut decision: Decision, also: Option<PendingConflict>) -> Decision {
    if let Decision::Write { pending, .. } | Decision::Keep { pending, .. } = &mut decision {
        *pending = also;
    }
    decision
}

/// What the client saw, at most as much as a document may hold.
fn base_fields(change: &Change) -> Result<Option<&Document>, Rejection> {
    let seen = match &change.action {
        Action::Update { seen, .. } => seen.as_ref(),
        Action::Create { .. } | Action::Delete { .. } => None,
    };
    seen.map_or(Ok(()), |seen| check_bytes("`base`", seen))
        .map(|()| seen)
}
