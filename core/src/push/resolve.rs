//! Resolving a conflict of the inbox: by the same rules as any change, made on the document's present version.
//!
//! The transaction that writes the document settles the record, so that a resolution takes effect once.

use std::{iter, sync::Arc};

use serde::Serialize;

use super::{
    PushRefusal, ResolutionHash, earlier,
    overlay::{TransactionOverlay, other_model},
    results::{ChangeResult, PushResult},
};
use crate::{
    change::{Action, BaseVersion, Change, Rejection, RejectionCode},
    decide::{self, Decision, DecisionContext, Work},
    entry::Entry,
    grant::{Grants, Identity},
    id::{ConflictId, DocumentKey, TypeName, Version},
    inbox::{ClientChange, InboxRecord, OpenConflict, ResolvedConflict},
    model::{DocumentType, Model, Policy},
    outcome::Status,
    transaction::DatabaseRefusal,
    value::{Document, Timestamp, Value, fit::fit_some},
};

/// How to resolve a conflict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Resolution {
    /// What the client had wanted.
    Mine,
    /// The document as it is.
    Theirs,
    /// The document with these fields written, or why they could not be read.
    Edited(TypeName, Result<Document, Rejection>),
    /// No document.
    Delete,
}

/// A resolution with everything that does not depend on the store.
#[derive(Debug, Clone)]
pub struct ResolveRequest {
    /// The resolving user.
    pub identity: Arc<Identity>,
    /// What the identity's claims give.
    pub claim_grants: Arc<Grants>,
    /// The conflict.
    pub conflict: ConflictId,
    /// The document of the conflict, according to the inbox.
    pub key: DocumentKey,
    /// The version of the document that the resolution was made on; 0 if there is none.
    pub base: BaseVersion,
    /// How to resolve it.
    pub resolution: Resolution,
    /// The fingerprint of what was sent.
    pub hash: ResolutionHash,
}

/// Resolves a conflict. `refusals` are the database's answers to earlier attempts.
pub(super) fn resolve(
    model: &Model,
    now: Timestamp,
    overlay: &mut TransactionOverlay<'_>,
    request: &ResolveRequest,
    refusals: &[DatabaseRefusal],
    work: &Work,
) -> Result<PushResult, PushRefusal> {
    let record = overlay.record(&request.conflict).cloned();
    let mut refused = refusals.iter().filter(|it| it.key == request.key);
    let mut resolver = ConflictResolver {
        model,
        now,
        request,
        refused: refused.next().map(|refusal| &refusal.rejection),
        overlay,
        work,
    };
    match record {
        Some(InboxRecord::Open(open)) => resolver.open(&open),
        Some(InboxRecord::Resolved(settled)) => resolver.replay(&settled),
        None => Err(PushRefusal::ConflictNotFound),
    }
}

struct ConflictResolver<'r, 'w, 'l> {
    model: &'r Model,
    now: Timestamp,
    request: &'r ResolveRequest,
    /// Why the database refused the resolution, if it did.
    refused: Option<&'r Rejection>,
    overlay: &'w mut TransactionOverlay<'l>,
    /// The work that it has taken.
    work: &'r Work,
}

impl ConflictResolver<'_, '_, '_> {
    fn open(&mut self, open: &OpenConflict) -> Result<PushResult, PushRefusal> {
        let entry = self.overlay.current(&open.key);
        let mut present = OpenConflict::clone(open);
        if let Some(entry) = &entry {
            present.scope = entry.scope.clone();
        }
        let grants = self.grants();
        let document_type = self.model.stored_type(&open.key.type_name);
        let allowed = present.is_open_to(self.model, &grants);
        let Some(document_type) = document_type.filter(|_| allowed) else {
            return Err(PushRefusal::ConflictNotFound);
        };
        let type_name = &open.key.type_name;
        self.overlay
            .refuse_other_shapes(self.model, iter::once(type_name))?;
        self.overlay
            .refuse_held(self.model, iter::once(&open.key))?;
        let is_foreign =
            self.overlay.is_foreign(&open.key) || self.overlay.withheld(&open.key).is_some();
        if is_foreign && !self.overlay.may_import_alone() {
            return Err(other_model(self.model, type_name));
        }
        self.overlay.take_over(&open.key);
        let grants = self.grants();
        let version = entry.as_ref().map_or(Version::NONE, |entry| entry.version);
        let change_result = if self.request.base.0 == version.0 {
            self.apply(open, document_type, entry.as_deref(), &grants)
        } else {
            ChangeResult::of(Status::Conflict, Some(version), None)
        };
        if !change_result.failed() {
            self.settle(open, &change_result);
        }
        Ok(decided(change_result, false))
    }

    /// A repeat gets the same answer. For all other callers a settled conflict does not exist.
    fn replay(&self, settled: &ResolvedConflict) -> Result<PushResult, PushRefusal> {
        let document_type = self.model.stored_type(&settled.key.type_name);
        let is_same = document_type.is_some_and(|document_type| {
            settled.user == self.request.identity.user && self.is_of(settled.hash, document_type)
        });
        if !is_same {
            return Err(PushRefusal::ConflictNotFound);
        }
        Ok(decided(ChangeResult::replayed(&settled.outcome), true))
    }

    fn apply(
        &mut self,
        open: &OpenConflict,
        document_type: &DocumentType,
        entry: Option<&Entry>,
        grants: &Grants,
    ) -> ChangeResult {
        let version = entry.map(|entry| entry.version);
        let action = match action(self.model, self.request, document_type, open, entry) {
            Ok(Some(action)) => action,
            Ok(None) => return ChangeResult::of(Status::Applied, version, None),
            Err(rejection) => return ChangeResult::rejected(rejection),
        };
        let change = Change {
            key: open.key.clone(),
            action,
            changed_at: None,
        };
        let context = DecisionContext {
            model: self.model,
            document_type,
            policy: Policy::ClientWins,
            identity: &self.request.identity,
            grants,
            client: None,
            mutation: None,
            now: self.now,
            last_at: entry.map(|entry| entry.at),
            version_floor: self.overlay.loaded.version_floor,
            work: self.work,
        };
        if let Some(withheld) = self.overlay.withheld(&open.key) {
            return ChangeResult::rejected(decide::withheld(&context, withheld, &change));
        }
        match (decide::decide(&context, entry, &change), self.refused) {
            (Decision::Write { .. }, Some(rejection)) => ChangeResult::rejected(rejection.clone()),
            (Decision::Write { entry: next, .. }, None) => {
                let bounds = self.request.claim_grants.bounds();
                let checked = self.overlay.check_given(bounds, &next, entry);
                let checked = checked.and_then(|()| self.overlay.check_unique(&next));
                if let Err(rejection) = checked {
                    return ChangeResult::rejected(rejection);
                }
                let change_result = ChangeResult::of(Status::Applied, Some(next.version), None);
                self.overlay.write(*next, entry);
                change_result
            }
            (Decision::Reject(rejection), _) => ChangeResult::rejected(rejection),
            (Decision::Keep { .. } | Decision::NeedsWebhook(_), _) => {
                ChangeResult::of(Status::Applied, version, None)
            }
        }
    }

    fn settle(&mut self, open: &OpenConflict, change_result: &ChangeResult) {
        let settlement = ResolvedConflict {
            id: self.request.conflict.clone(),
            key: self.request.key.clone(),
            user: self.request.identity.user.clone(),
            hash: self.request.hash,
            outcome: change_result.remembered(),
            at: self.now,
        };
        self.overlay.settle(open, settlement);
    }

    /// Whether a stored hash is that of the resolution. Earlier releases stored the hash of its decoded fields.
    fn is_of(&self, stored: ResolutionHash, document_type: &DocumentType) -> bool {
        let (base, resolution) = (self.request.base, &self.request.resolution);
        stored == self.request.hash
            || stored == earlier::resolution_hash(self.model, document_type, base, resolution)
    }

    fn grants(&self) -> Arc<Grants> {
        let request = self.request;
        self.overlay
            .grants(&request.identity, &request.claim_grants)
    }
}

fn decided(change_result: ChangeResult, duplicate: bool) -> PushResult {
    PushResult {
        verdicts: vec![change_result],
        duplicate,
        last: None,
    }
}

/// What the resolution does to the document; `None` if the document stays as it is.
fn action(
    model: &Model,
    request: &ResolveRequest,
    document_type: &DocumentType,
    open: &OpenConflict,
    entry: Option<&Entry>,
) -> Result<Option<Action>, Rejection> {
    let base = request.base;
    // The conflict may be older than the model. What has been retired since is no part of what the client wanted.
    let by_model = |document: &Document| {
        let fields = &document_type.fields;
        let fitted = fit_some(model, fields, document);
        let fitted = fitted.map_err(|misfit| Rejection::invalid(&misfit.path, misfit.problem))?;
        let document = fitted.as_ref().unwrap_or(document);
        Ok::<_, Rejection>(decide::without_retired(model, fields, document))
    };
    let living = entry.filter(|entry| !entry.is_deleted());
    let wanted = match (&request.resolution, &open.pending.mine) {
        (Resolution::Theirs, _) => return Ok(None),
        (Resolution::Delete, _) | (Resolution::Mine, ClientChange::Deleted) => {
            return Ok(living.map(|_| Action::Delete { base }));
        }
        (Resolution::Mine, ClientChange::Created(document)) if living.is_some() => {
            full_replacement(document_type, by_model(document)?)
        }
        (Resolution::Mine, ClientChange::Created(document) | ClientChange::Changed(document)) => {
            by_model(document)?
        }
        (Resolution::Edited(type_name, fields), _) if *type_name == open.key.type_name => {
            fields.clone()?
        }
        (Resolution::Edited(..), _) => {
            let message = format!("the conflict is about a {}", document_type.name);
            return Err(Rejection::new(RejectionCode::InvalidValue, message));
        }
    };
    if living.is_some() {
        return Ok(Some(Action::Update {
            base,
            set: wanted,
            seen: None,
        }));
    }
    Ok(Some(Action::Create {
        document: recreated(document_type, by_model(&known_fields(open))?, wanted),
        base: Some(base),
    }))
}

/// A document that replaces the other whole: fields that it does not name are cleared.
fn full_replacement(document_type: &DocumentType, document: Document) -> Document {
    let fields = document_type.fields.iter();
    let cleared = fields.filter(|field| !field.read_only && !field.ty.required);
    let mut whole: Document = cleared
        .map(|field| (field.stored_as.clone(), Value::Null))
        .collect();
    whole.extend(document);
    without_read_only(document_type, whole)
}

/// What is known of a deleted document: the server's side, whole, or if the conflict met none, what the client saw of it;
/// and over that the client's side.
fn known_fields(open: &OpenConflict) -> Document {
    let known = open.theirs.as_ref().or(open.pending.base.as_ref());
    let mut document = known.cloned().unwrap_or_default();
    document.extend(open.pending.mine.document().cloned().unwrap_or_default());
    document
}

/// The document for a deleted one: what is known of it, and over that the wanted fields.
fn recreated(document_type: &DocumentType, known: Document, wanted: Document) -> Document {
    let mut document = known;
    document.extend(wanted);
    without_read_only(document_type, document)
}

/// The fields that a client may set. The conflict has kept defaults of read-only fields too.
fn without_read_only(document_type: &DocumentType, mut document: Document) -> Document {
    let settable = |name: &String| {
        let field = document_type.stored_field(name);
        field.is_some_and(|field| !field.read_only)
    };
    document.retain(|name, _| settable(name));
    document
}
