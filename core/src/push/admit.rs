//! Which pushes are accepted: repeats, gaps, other epochs, policies that may not be chosen (rules.md 4.1 to 4.4).

use std::collections::HashMap;

use super::{
    Push, PushHash, PushRefusal, PushRequest, earlier, overlay::TransactionOverlay,
    results::ChangeResult,
};
use crate::{
    change::Action,
    id::{DocumentKey, MutationId},
    model::Model,
    mutant::{Mutant, is_active},
    value::document_bytes,
};

/// The most bytes of documents that the changes of one push may meet. Each change copies the document that it meets, so
/// a thousand edits of a few bytes would copy a large one a thousand times.
pub const CURRENT_BYTES_MAX: usize = 64 << 20;

/// The relation of a push to the state of its client.
pub(super) enum Admission {
    /// It carries no mutation ids, and nothing is remembered.
    Unnumbered,
    /// It begins at the next id.
    Numbered(MutationId),
    /// It was answered before.
    Repeat(Vec<ChangeResult>, MutationId),
}

/// Rules.md 4.2 and 4.4: a repeat is recognised before the epoch is compared.
pub(super) fn admit(
    model: &Model,
    overlay: &TransactionOverlay<'_>,
    request: &PushRequest,
) -> Result<Admission, PushRefusal> {
    let push = &request.push;
    let numbered = push.client.as_ref().and_then(|client| client.first);
    let Some(first) = numbered.filter(|_| !push.changes.is_empty()) else {
        check_epoch(overlay, push)?;
        return Ok(Admission::Unnumbered);
    };
    last_id(first, push.changes.len()).ok_or(PushRefusal::MutationIdRange)?;
    let state = request.client_key().and_then(|key| overlay.client(&key));
    let last = state.map_or(MutationId(0), |state| state.last);
    if is_active(Mutant::EpochBeforeRepeats) {
        check_epoch(overlay, push)?;
    }
    if first <= last && !is_active(Mutant::NotReplayed) {
        let state = state.filter(|state| state.first == first && is_of(model, state.hash, request));
        let state = state.ok_or(PushRefusal::MutationIdReused)?;
        let verdicts = state.outcomes.iter().map(ChangeResult::replayed).collect();
        return Ok(Admission::Repeat(verdicts, state.last));
    }
    if push.epoch.is_none() {
        return Err(PushRefusal::EpochRequired);
    }
    check_epoch(overlay, push)?;
    if first.0 != last.0 + 1 && !is_active(Mutant::HoleAccepted) {
        return Err(PushRefusal::MutationIdGap {
            expected: MutationId(last.0 + 1),
        });
    }
    let is_counted = state.is_some_and(|state| state.at.is_some());
    let max = request.clients_max;
    let is_full = overlay.clients_of(&request.identity.user) >= max;
    if !is_counted && is_full && !is_active(Mutant::ClientsUnbounded) {
        return Err(PushRefusal::TooManyClients { max });
    }
    Ok(Admission::Numbered(first))
}

/// Whether a stored hash is that of the push. Earlier releases stored the hash of decoded changes.
fn is_of(model: &Model, stored: PushHash, request: &PushRequest) -> bool {
    stored == request.hash || stored == earlier::push_hash(model, &request.push)
}

fn check_epoch(overlay: &TransactionOverlay<'_>, push: &Push) -> Result<(), PushRefusal> {
    let epoch = &overlay.loaded.epoch;
    match &push.epoch {
        Some(named) if named != epoch => Err(PushRefusal::EpochChanged {
            epoch: epoch.clone(),
        }),
        _ => Ok(()),
    }
}

pub(super) fn check_policy(model: &Model, push: &Push) -> Result<(), PushRefusal> {
    let Some(policy) = push.policy else {
        return Ok(());
    };
    for item in &push.changes {
        let document_type = model.stored_type(&item.type_name);
        let is_allowed = document_type.is_some_and(|document_type| {
            let rule = &document_type.conflict;
            rule.policy == policy || rule.client_may_choose.contains(&policy)
        });
        if !is_allowed {
            let name = document_type.map_or(&item.type_name, |document_type| &document_type.name);
            return Err(PushRefusal::PolicyNotAllowed {
                type_name: name.clone(),
            });
        }
    }
    Ok(())
}

/// The bytes that a push copies. Refuses a push that would copy too much, before any of it is decided.
pub(super) fn current_bytes(
    model: &Model,
    overlay: &TransactionOverlay<'_>,
    request: &PushRequest,
) -> Result<usize, PushRefusal> {
    let without_conflict = overlay.first_without_conflict(model, request);
    let mut documents: HashMap<&DocumentKey, usize> = HashMap::new();
    let mut current = 0_usize;
    for (index, item) in request.push.changes.iter().enumerate() {
        let Ok(change) = &item.change else {
            continue;
        };
        if overlay.is_left_out(&change.key) || without_conflict == Some(index) {
            return Err(PushRefusal::TooLarge { max: index });
        }
        let stored = || {
            let entry = overlay.current(&change.key);
            entry.and_then(|entry| entry.body.as_ref().map(document_bytes))
        };
        let bytes = documents
            .entry(&change.key)
            .or_insert_with(|| stored().unwrap_or_default());
        if let Action::Create { document, .. } = &change.action {
            *bytes = document_bytes(document).max(*bytes);
        }
        current = current.saturating_add(*bytes);
        if current > CURRENT_BYTES_MAX && index > 0 {
            return Err(PushRefusal::TooLarge { max: index });
        }
    }
    Ok(current)
}

/// The id of the last of `count` changes, at least one; `None` if ids cannot be counted so far. The very last id is
/// never given out, so that there is always a next one to name.
pub(super) fn last_id(first: MutationId, count: usize) -> Option<MutationId> {
    let count = i32::try_from(count).ok()?;
    let last = first.0.checked_add(count - 1)?;
    (first.0 >= 1 && last < i32::MAX).then_some(MutationId(last))
}
