//! A push: a client's batch of changes, what the gateway remembers of it, and the answer.
//!
//! One transaction may carry the pushes of many clients. [`crate::decide`] decides what a change does to an entry, and
//! a store keeps it.

mod admit;
mod attribution;
mod conflicts;
mod earlier;
mod erase;
mod overlay;
mod reads;
mod resolve;
mod results;
mod stamp;
mod transact;
mod webhook;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::overlay::key_of;
pub use self::{
    admit::CURRENT_BYTES_MAX,
    erase::{Erasure, erase_documents, erased_client},
    reads::{predicted_scope, reads},
    resolve::{Resolution, ResolveRequest},
    stamp::{is_in_its_scope, stamp, stamp_and_withhold, stamp_reads},
    transact::{PushRequest, decide},
    webhook::{WebhookAnswer, WebhookDecision, WebhookQuestion},
};
use crate::{
    change::{BaseVersion, Change, Rejection, RejectionCode, Submission},
    entry::Entry,
    grant::{Grants, Identity},
    id::{ApiHash, ClientId, ConflictId, DocumentKey, Epoch, MutationId, TypeName, Version},
    model::Policy,
    outcome::{FieldOutcome, Status},
    value::Timestamp,
};

/// A batch of changes as one client sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct Push {
    /// The sender, if the client names itself.
    pub client: Option<PushClient>,
    /// The changes in order.
    pub changes: Vec<Submission>,
    /// All or nothing.
    pub atomic: bool,
    /// The policy the user prefers, from those the model lets clients choose.
    pub policy: Option<Policy>,
    /// The epoch the client's versions belong to.
    pub epoch: Option<Epoch>,
}

/// The sender of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushClient {
    /// The client.
    pub id: ClientId,
    /// The id of the first change; change `i` has `first + i`. Without it there is no deduplication.
    pub first: Option<MutationId>,
}

/// The fingerprint of a push: SHA-256 over its changes, `atomic` and `policy` (rules.md 4.2). The changes count as their
/// client sent them, so that a change of the model does not change it. Who reads them makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushHash(pub [u8; 32]);

impl PushHash {
    /// Fingerprints a push by its decoded changes. A change that could not be read counts by its code, not by its message: messages differ
    /// between releases of the gateway, and a retry must still be recognised.
    pub fn of(push: &Push) -> Self {
        let changes: Vec<_> = push
            .changes
            .iter()
            .map(|item| {
                let change: Result<&Change, RejectionCode> =
                    item.change.as_ref().map_err(|e| e.code);
                (&item.type_name, &item.id, change)
            })
            .collect();
        let bytes = serde_json::to_vec(&(changes, push.atomic, push.policy))
            .expect("changes hold string keys and finite numbers, which JSON can write");
        let mut hasher = Sha256::new();
        hasher.update(&bytes);
        Self(hasher.finalize().into())
    }
}

/// The fingerprint of a resolution: SHA-256 over `baseVersion` and `resolution` as they were sent (rules.md 4.11). A retry is
/// recognised by it, as a push is by its [`PushHash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResolutionHash(pub [u8; 32]);

impl ResolutionHash {
    /// Fingerprints a resolution by its decoded fields.
    pub fn of(base: BaseVersion, resolution: &Resolution) -> Self {
        let bytes = serde_json::to_vec(&(base, resolution))
            .expect("documents hold string keys and finite numbers, which JSON can write");
        Self(Sha256::digest(&bytes).into())
    }
}

/// A request that waits for a transaction. The pushes and resolutions of many clients share one.
#[derive(Debug, Clone)]
pub enum CommitRequest {
    /// A push.
    Push(Arc<PushRequest>),
    /// The resolution of a conflict.
    Resolve(Arc<ResolveRequest>),
}

impl CommitRequest {
    /// The sender's identity.
    pub fn identity(&self) -> &Arc<Identity> {
        match self {
            Self::Push(request) => &request.identity,
            Self::Resolve(request) => &request.identity,
        }
    }

    /// What the sender's claims give.
    pub fn claim_grants(&self) -> &Arc<Grants> {
        match self {
            Self::Push(request) => &request.claim_grants,
            Self::Resolve(request) => &request.claim_grants,
        }
    }

    /// The most changes that it makes.
    pub fn changes(&self) -> usize {
        match self {
            Self::Push(request) => request.push.changes.len(),
            Self::Resolve(_) => 1,
        }
    }

    /// The documents that it changes, as far as their ids can be read.
    pub fn keys(&self) -> impl Iterator<Item = &DocumentKey> {
        let (items, resolved) = match self {
            Self::Push(request) => (request.push.changes.as_slice(), None),
            Self::Resolve(request) => ([].as_slice(), Some(&request.key)),
        };
        items.iter().filter_map(key_of).chain(resolved)
    }

    fn as_push(&self) -> Option<&PushRequest> {
        match self {
            Self::Push(request) => Some(request),
            Self::Resolve(_) => None,
        }
    }
}

/// What the gateway remembers of a client, written in the transaction of its pushes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientState {
    /// The last id consumed.
    pub last: MutationId,
    /// The id of the first change of the last push.
    pub first: MutationId,
    /// The last push's fingerprint.
    pub hash: PushHash,
    /// The outcomes of its changes.
    pub outcomes: Vec<RememberedOutcome>,
    /// Server time of the last push, while it can be repeated.
    pub at: Option<Timestamp>,
    /// The API that the app of the last push was made for, if it said so.
    #[serde(default)]
    pub api: Option<ApiHash>,
}

impl ClientState {
    /// What stays when the last push can no longer be repeated: the last id, so that no push ever counts twice. No push
    /// has this first id.
    pub fn forgotten(last: MutationId) -> Self {
        Self {
            last,
            first: MutationId(0),
            hash: PushHash([0; 32]),
            outcomes: Vec::new(),
            at: None,
            api: None,
        }
    }
}

/// The outcome of a change, kept while its push can be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedOutcome {
    /// The result.
    pub status: Status,
    /// The version it made or met.
    pub version: Option<Version>,
    /// Why it was rejected.
    pub error: Option<Rejection>,
    /// The conflict it opened in the inbox.
    pub inbox: Option<ConflictId>,
}

/// The outcome of one change, as the client gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The type it named.
    pub type_name: TypeName,
    /// The id as the client wrote it.
    pub id: String,
    /// Its mutation id, if it had one.
    pub mutation: Option<MutationId>,
    /// The result.
    pub status: Status,
    /// The version it made or met.
    pub version: Option<Version>,
    /// The document after the transaction, if it is living and the caller may read it.
    pub document: Option<Arc<Entry>>,
    /// For each field of a stale change, how it was settled.
    pub conflict: Option<Vec<FieldOutcome>>,
    /// Why it was rejected.
    pub error: Option<Rejection>,
    /// The conflict it opened in the inbox.
    pub inbox: Option<ConflictId>,
}

/// The answer to a push.
pub type PushAnswer = Result<PushOutcome, PushRefusal>;

/// The outcomes of a push.
#[derive(Debug, Clone, PartialEq)]
pub struct PushOutcome {
    /// One for each change, in order.
    pub outcomes: Vec<Outcome>,
    /// Whether the push repeats one that was answered before.
    pub duplicate: bool,
    /// The last id consumed, if the client numbers its changes.
    pub last_mutation_id: Option<MutationId>,
}

/// Why a whole push was refused: nothing was applied, and no id consumed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PushRefusal {
    /// The client's versions belong to another history.
    #[error("the store's epoch changed")]
    EpochChanged {
        /// The store's epoch now.
        epoch: Epoch,
    },
    /// Mutation ids came without an epoch.
    #[error("mutation ids need an epoch")]
    EpochRequired,
    /// Another push consumed these ids.
    #[error("mutation ids were used before")]
    MutationIdReused,
    /// The ids do not follow the last one consumed.
    #[error("mutation ids are missing")]
    MutationIdGap {
        /// The next id of this client.
        expected: MutationId,
    },
    /// Its changes meet more bytes than a push may copy, or change too often what its sender may do.
    #[error("the push is too large")]
    TooLarge {
        /// The number of its changes that fit.
        max: usize,
    },
    /// Ids below 1, or beyond the last one that can be counted.
    #[error("mutation ids are out of range")]
    MutationIdRange,
    /// As many clients of the user have pushed recently as may.
    #[error("the user has too many clients")]
    TooManyClients {
        /// The limit.
        max: usize,
    },
    /// There is no such open conflict, or the caller may not resolve it.
    #[error("there is no such conflict")]
    ConflictNotFound,
    /// The application has to be asked first. The push is to be sent again with its [`WebhookDecision`].
    #[error("the application has to be asked first")]
    NeedsWebhook(Vec<WebhookQuestion>),
    /// A document is missing from a collection that may have lost it, and nobody has said that it is deleted. Trying
    /// again helps once the collection is back.
    #[error("a collection may have lost documents")]
    Held {
        /// The type of the documents.
        type_name: TypeName,
    },
    /// Another model leads, and this gateway may not decide about documents of the type, or not about one of them.
    /// Trying again helps: at a gateway of the leading model, or once its importer has taken over what others wrote.
    #[error("another model leads")]
    OtherModel {
        /// The type of the documents.
        type_name: TypeName,
    },
    /// A policy that the type's model does not let clients choose.
    #[error("the policy may not be chosen")]
    PolicyNotAllowed {
        /// The first type of the push that does not allow it.
        type_name: TypeName,
    },
}
