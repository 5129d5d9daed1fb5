//! Resolving a conflict of the inbox: by the same rules as any change, made on the document's present version.
//!
//! The transaction that writes the document settles the record, so that a resolution takes effect once.

use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    PushRefusal,
    verdict::{Decided, Verdict},
    world::World,
};
use crate::{
    change::{Action, BaseVersion, Change, Rejection, RejectionCode},
    decide::{self, Context, Decision, Work},
    entry::Entry,
    grant::{Grants, Identity},
    id::{ConflictId, DocumentKey, TypeName, Version},
    inbox::{InboxRecord, Mine, OpenConflict, Settlement},
    model::{DocumentType, Model, Policy},
    outcome::Status,
    transaction::Refusal,
    value::{Document, Timestamp, Value},
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
}

/// Resolves a conflict. `refusals` are the database's answers to earlier attempts.
pub(super) fn resolve(
    model: &Model,
    now: Timestamp,
    world: &mut World<'_>,
    request: &ResolveRequest,
    refusals: &[Refusal],
    work: &Work,
) -> Result<Decided, PushRefusal> {
    let record = world.record(&request.conflict).cloned();
    let mut refused = refusals.iter().filter(|it| it.key == request.key);
    let mut resolver = ConflictResolver {
        model,
        now,
        request,
        refused: refused.next().map(|refusal| &refusal.rejection),
        world,
        work,
    };
    match record {
        Some(InboxRecord::Open(open)) => resolver.open(&open),
        Some(InboxRecord::Settled(settled)) => resolver.replay(&settled),
        None => Err(PushRefusal::ConflictNotFound),
    }
}

struct ConflictResolver<'r, 'w, 'l> {
    model: &'r Model,
    now: Timestamp,
    request: &'r ResolveRequest,
    /// Why the database refused the resolution, if it did.
    refused: Option<&'r Rejection>,
    world: &'w mut World<'l>,
    /// The work that it has taken.
    work: &'r Work,
}

impl ConflictResolver<'_, '_, '_> {
    fn open(&mut self, open: &OpenConflict) -> Result<Decided, PushRefusal> {
        let entry = self.world.met(&open.key);
        let mut present = OpenConflict::clone(open);
        if let Some(entry) = &entry {
            present.scope = entry.scope.clone();
        }
        let grants = self.grants();
        let document_type = self.model.document_type(open.key.type_name.as_str());
        let allowed = present.is_open_to(self.model, &grants);
        let Some(document_type) = document_type.filter(|_| allowed) else {
            return Err(PushRefusal::ConflictNotFound);
        };
        self.world.take_over(&open.key);
        let grants = self.grants();
        let version = entry.as_ref().map_or(Version::NONE, |entry| entry.version);
        let verdict = if self.request.base.0 == version.0 {
            self.apply(open, document_type, entry.as_deref(), &grants)
        } else {
            Verdict::of(Status::Conflict, Some(version), None)
        };
        if !verdict.failed() {
            self.settle(open, &verdict);
        }
        Ok(decided(verdict, false))
    }

    /// A repeat gets the same answer. For all other callers a settled conflict does not exist.
    fn replay(&self, settled: &Settlement) -> Result<Decided, PushRefusal> {
        let same = settled.user == self.request.identity.user && settled.hash == self.hash();
        let document_type = self.model.document_type(settled.key.type_name.as_str());
        if !same || document_type.is_none() {
            return Err(PushRefusal::ConflictNotFound);
        }
        Ok(decided(Verdict::replayed(&settled.outcome), true))
    }

    fn apply(
        &mut self,
        open: &OpenConflict,
        document_type: &DocumentType,
        entry: Option<&Entry>,
        grants: &Grants,
    ) -> Verdict {
        let version = entry.map(|entry| entry.version);
        let action = match action(self.request, document_type, open, entry) {
            Ok(Some(action)) => action,
            Ok(None) => return Verdict::of(Status::Applied, version, None),
            Err(rejection) => return Verdict::rejected(rejection),
        };
        let change = Change {
            key: open.key.clone(),
            action,
            changed_at: None,
        };
        let context = Context {
            model: self.model,
            document_type,
            policy: Policy::ClientWins,
            identity: &self.request.identity,
            grants,
            client: None,
            mutation: None,
            now: self.now,
            version_floor: self.world.loaded.version_floor,
            work: self.work,
        };
        if let Some(problem) = self.world.withheld(&open.key) {
            return Verdict::rejected(decide::withheld(&context, entry, &change, problem));
        }
        match (decide::decide(&context, entry, &change), self.refused) {
            (Decision::Write { .. }, Some(rejection)) => Verdict::rejected(rejection.clone()),
            (Decision::Write { entry: next, .. }, None) => {
                let bounds = self.request.claim_grants.bounds();
                if let Err(rejection) = self.world.check_given(bounds, &next, entry) {
                    return Verdict::rejected(rejection);
                }
                let verdict = Verdict::of(Status::Applied, Some(next.version), None);
                self.world.write(*next, entry);
                verdict
            }
            (Decision::Reject(rejection), _) => Verdict::rejected(rejection),
            (Decision::Keep { .. } | Decision::Ask(_), _) => {
                Verdict::of(Status::Applied, version, None)
            }
        }
    }

    fn settle(&mut self, open: &OpenConflict, verdict: &Verdict) {
        let settlement = Settlement {
            id: self.request.conflict.clone(),
            key: self.request.key.clone(),
            user: self.request.identity.user.clone(),
            hash: self.hash(),
            outcome: verdict.remembered(),
            at: self.now,
        };
        self.world.settle(open, settlement);
    }

    fn hash(&self) -> [u8; 32] {
        let bytes = serde_json::to_vec(&(self.request.base, &self.request.resolution))
            .expect("documents hold string keys and finite numbers, which JSON can write");
        Sha256::digest(&bytes).into()
    }

    fn grants(&self) -> Arc<Grants> {
        let request = self.request;
        self.world.grants(&request.identity, &request.claim_grants)
    }
}

fn decided(verdict: Verdict, duplicate: bool) -> Decided {
    Decided {
        verdicts: vec![verdict],
        duplicate,
        last: None,
    }
}

/// What the resolution does to the document; `None` if the document stays as it is.
fn action(
    request: &ResolveRequest,
    document_type: &DocumentType,
    open: &OpenConflict,
    entry: Option<&Entry>,
) -> Result<Option<Action>, Rejection> {
    let base = request.base;
    let living = entry.filter(|entry| !entry.is_deleted());
    let wanted = match (&request.resolution, &open.held.mine) {
        (Resolution::Theirs, _) => return Ok(None),
        (Resolution::Delete, _) | (Resolution::Mine, Mine::Deleted) => {
            return Ok(living.map(|_| Action::Delete { base }));
        }
        (Resolution::Mine, Mine::Created(document)) if living.is_some() => {
            full_replacement(document_type, document)
        }
        (Resolution::Mine, Mine::Created(document) | Mine::Changed(document)) => document.clone(),
        (Resolution::Edited(type_name, fields), _) if *type_name == open.key.type_name => {
            fields.clone()?
        }
        (Resolution::Edited(..), _) => {
            let message = format!("the conflict is about a {}", open.key.type_name);
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
        document: recreated(document_type, open, wanted),
        base: Some(base),
    }))
}

/// A document that replaces the other whole: fields that it does not name are cleared.
fn full_replacement(document_type: &DocumentType, document: &Document) -> Document {
    let fields = document_type.fields.iter();
    let cleared = fields.filter(|field| !field.read_only && !field.ty.required);
    let mut whole: Document = cleared
        .map(|field| (field.name.clone(), Value::Null))
        .collect();
    whole.extend(document.clone());
    without_read_only(document_type, whole)
}

/// The document for a deleted one: the server's side, whole, or if the conflict met none, what the client saw of it;
/// and over that the wanted fields.
fn recreated(document_type: &DocumentType, open: &OpenConflict, wanted: Document) -> Document {
    let known = open.theirs.as_ref().or(open.held.base.as_ref());
    let mut document = known.cloned().unwrap_or_default();
    document.extend(open.held.mine.document().cloned().unwrap_or_default());
    document.extend(wanted);
    without_read_only(document_type, document)
}

/// The fields that a client may set. The conflict has kept defaults of read-only fields too.
fn without_read_only(document_type: &DocumentType, mut document: Document) -> Document {
    let settable = |name: &String| {
        let field = document_type.field(name);
        field.is_some_and(|field| !field.read_only)
    };
    document.retain(|name, _| settable(name));
    document
}
