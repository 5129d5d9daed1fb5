//! Resolving a conflict of the inbox: by the same rules as any change, made on the version the document has now.
//!
//! The record is settled in the transaction that writes the document, so that one resolution takes effect once.

use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    Push, PushHash, PushOutcome, PushRefusal, PushRequest,
    verdict::{Decided, Verdict},
    world::World,
};
use crate::{
    change::{Action, BaseVersion, Change, Rejection, RejectionCode, Submission},
    decide::{self, Context, Decision, Work},
    entry::Entry,
    grant::{Grants, Identity},
    id::{ConflictId, DocumentKey, TypeName, Version},
    inbox::{InboxRecord, Mine, OpenConflict, Settlement},
    model::{DocumentType, Model, Policy},
    outcome::Status,
    transaction::{Loaded, Reads, Writes},
    value::{Document, Timestamp, Value},
};

/// What somebody makes of a conflict.
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
    /// Who resolves.
    pub identity: Arc<Identity>,
    /// What the identity's claims give.
    pub claim_grants: Arc<Grants>,
    /// The conflict.
    pub conflict: ConflictId,
    /// The version of the document that the resolution was made on; 0 if there is none.
    pub base: BaseVersion,
    /// What to make of it.
    pub resolution: Resolution,
}

/// What resolving has to load. The document is known from the inbox.
pub fn resolve_reads(request: &ResolveRequest, key: &DocumentKey) -> Reads {
    Reads {
        keys: [key.clone()].into(),
        members: [request.identity.user.clone()].into(),
        bounds: Arc::clone(request.claim_grants.bounds()),
        inbox: [request.conflict.clone()].into(),
        ..Reads::default()
    }
}

/// Resolves; the answer is the only one of [`Writes::answers`]. `refused` is what the database said to an earlier
/// attempt.
pub fn resolve(
    model: &Model,
    now: Timestamp,
    request: &ResolveRequest,
    refused: Option<&Rejection>,
    loaded: &Loaded,
) -> Writes {
    let mut world = World::new(model, now, loaded);
    let mut resolving = Resolving {
        model,
        now,
        request,
        refused,
        world: &mut world,
    };
    let answer = match loaded.inbox.get(&request.conflict) {
        Some(InboxRecord::Open(open)) => resolving.open(open),
        Some(InboxRecord::Settled(settled)) => resolving.settled(settled),
        None => Err(PushRefusal::ConflictNotFound),
    };
    world.into_writes(now, vec![answer])
}

struct Resolving<'r, 'w, 'l> {
    model: &'r Model,
    now: Timestamp,
    request: &'r ResolveRequest,
    refused: Option<&'r Rejection>,
    world: &'w mut World<'l>,
}

impl Resolving<'_, '_, '_> {
    fn open(&mut self, open: &Arc<OpenConflict>) -> Result<PushOutcome, PushRefusal> {
        let entry = self.world.met(&open.key);
        let mut present = OpenConflict::clone(open);
        if let Some(entry) = &entry {
            present.scope = entry.scope.clone();
        }
        let push = self.as_push(&open.key);
        let grants = self.world.grants(&push);
        let document_type = self.model.document_type(open.key.type_name.as_str());
        let allowed = present.is_open_to(self.model, &grants);
        let Some(document_type) = document_type.filter(|_| allowed) else {
            return Err(PushRefusal::ConflictNotFound);
        };
        self.world.take_over(&open.key);
        let grants = self.world.grants(&push);
        let version = entry.as_ref().map_or(Version::NONE, |entry| entry.version);
        let verdict = if self.request.base.0 == version.0 {
            self.carry_out(open, document_type, entry.as_deref(), &grants)
        } else {
            Verdict::of(Status::Conflict, Some(version), None)
        };
        if !verdict.failed() {
            self.settle(&open.key, &verdict);
        }
        Ok(self.answer(&push, verdict, false))
    }

    /// A repeat is answered as before; to everybody else a settled conflict is none.
    fn settled(&mut self, settled: &Settlement) -> Result<PushOutcome, PushRefusal> {
        let same = settled.user == self.request.identity.user && settled.hash == self.hash();
        let document_type = self.model.document_type(settled.key.type_name.as_str());
        if !same || document_type.is_none() {
            return Err(PushRefusal::ConflictNotFound);
        }
        let push = self.as_push(&settled.key);
        Ok(self.answer(&push, Verdict::replayed(&settled.outcome), true))
    }

    fn carry_out(
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
            work: &Work::of_a_push(),
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

    fn settle(&mut self, key: &DocumentKey, verdict: &Verdict) {
        let settlement = Settlement {
            id: self.request.conflict.clone(),
            key: key.clone(),
            user: self.request.identity.user.clone(),
            hash: self.hash(),
            outcome: verdict.remembered(),
            at: self.now,
        };
        self.world.keep(InboxRecord::Settled(Arc::new(settlement)));
    }

    fn hash(&self) -> [u8; 32] {
        let bytes = serde_json::to_vec(&(self.request.base, &self.request.resolution))
            .expect("documents hold string keys and finite numbers, which JSON can write");
        Sha256::digest(&bytes).into()
    }

    fn answer(&self, push: &PushRequest, verdict: Verdict, duplicate: bool) -> PushOutcome {
        let decided = Decided {
            verdicts: vec![verdict],
            duplicate,
            last: None,
        };
        self.world.answer(push, decided)
    }

    /// The resolution as a push that touches the document, which is what answers are made for.
    fn as_push(&self, key: &DocumentKey) -> PushRequest {
        let change = Change {
            key: key.clone(),
            action: Action::Delete {
                base: self.request.base,
            },
            changed_at: None,
        };
        let push = Push {
            client: None,
            changes: vec![Submission {
                type_name: key.type_name.clone(),
                id: key.id.to_string(),
                change: Ok(change),
            }],
            atomic: false,
            policy: None,
            epoch: None,
        };
        PushRequest {
            identity: Arc::clone(&self.request.identity),
            claim_grants: Arc::clone(&self.request.claim_grants),
            hash: PushHash::of(&push),
            push,
            advice: Vec::new(),
            clients_max: 0,
        }
    }
}

/// What the resolution does to the document; nothing where it is to stay as it is.
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
            whole(document_type, document)
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
        document: anew(document_type, open, wanted),
        base: Some(base),
    }))
}

/// A created document takes the other's place whole: what it does not name is cleared.
fn whole(document_type: &DocumentType, document: &Document) -> Document {
    let fields = document_type.fields.iter();
    let cleared = fields.filter(|field| !field.read_only && !field.ty.required);
    let mut whole: Document = cleared
        .map(|field| (field.name.clone(), Value::Null))
        .collect();
    whole.extend(document.clone());
    without_read_only(document_type, whole)
}

/// The document has been deleted: what is known of it is the server's side, whole, or where the conflict met none what the
/// client saw of it; over that stands what is wanted.
fn anew(document_type: &DocumentType, open: &OpenConflict, wanted: Document) -> Document {
    let known = open.theirs.as_ref().or(open.held.base.as_ref());
    let mut document = known.cloned().unwrap_or_default();
    document.extend(open.held.mine.document().cloned().unwrap_or_default());
    document.extend(wanted);
    without_read_only(document_type, document)
}

/// What a client may say of a document; the conflict has kept defaults of read-only fields too.
fn without_read_only(document_type: &DocumentType, mut document: Document) -> Document {
    let settable = |name: &String| {
        let field = document_type.field(name);
        field.is_some_and(|field| !field.read_only)
    };
    document.retain(|name, _| settable(name));
    document
}
