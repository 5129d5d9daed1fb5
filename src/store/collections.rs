//! The application's own collections, which other services write past the gateways (rules.md section 8).
//!
//! An importer compares documents with their entries and stamps what differs, by [`Store::commit`](super::Store::commit)
//! under a lease. A store proposes which documents to compare, and keeps how far the importer has come. It decides
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use thiserror::Error;
use tidegate_core::{
    id::{DocumentId, DocumentKey, TypeName},
    transaction::{Fence, Misfit},
};

use super::StoreError;

/// What an importer needs of a store. Its methods fail with [`StoreError`].
#[async_trait]
pub trait Collections: Send + Sync {
    /// Renews the lease `held`, or takes it if nobody holds it. Returns `None` while another gateway holds it. Another
    /// number than `held` shows that others may have imported meanwhile.
    async fn lease(&self, held: Option<Fence>) -> Result<Option<Fence>, StoreError>;

    /// Gives the lease back, so that the next gateway need not wait for its end.
    async fn release(&self, held: Fence) -> Result<(), StoreError>;

    /// How far the import has come, whichever gateway carries it out.
    async fn progress(&self) -> Result<ImportProgress, StoreError>;

    /// Keeps changes of the progress in one write: the position if there is one, and the records of the types that are
    /// named. It leaves [`TypeImport::accepts_deletes`] as it is, except that it clears it with a record that is neither
    /// scanned nor held.
    ///
    /// # Errors
    /// [`StoreError::Deposed`] if another gateway has the lease by now; then nothing was written.
    async fn save(&self, held: Fence, changes: &ImportProgress) -> Result<(), StoreError>;

    /// Lets the next scan of a held type delete what is missing. It needs no lease: an operator says so. A type that is
    /// not held stays as it is.
    async fn accept_deletes(&self, type_name: &TypeName) -> Result<(), StoreError>;

    /// Which collection each type has now. A type whose collection is missing is absent.
    async fn identities(&self) -> Result<BTreeMap<TypeName, CollectionId>, StoreError>;

    /// What others write to the collections from this position on, or from now on. The first batch comes at once, and
    /// says where the stream begins. Empty batches follow in idle times. The stream ends with its first error.
    async fn follow(
        &self,
        from: Option<&ImportPosition>,
    ) -> Result<BoxStream<'static, Result<ForeignBatch, FollowError>>, FollowError>;

    /// Documents of a type in the order of their ids, of all BSON types. It proposes keys only.
    async fn documents(
        &self,
        type_name: &TypeName,
        after: Option<&WalkPosition>,
        limit: usize,
    ) -> Result<DocumentWalk, StoreError>;

    /// Entries of a type that expect a document, living or withheld, in the order of their ids. There are none behind
    /// `after` if it returns none.
    async fn expected(
        &self,
        type_name: &TypeName,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentKey>, StoreError>;

    /// Those of these documents that the collections do not have, by a read of a majority.
    async fn missing(&self, keys: &[DocumentKey]) -> Result<Vec<DocumentKey>, StoreError>;

    /// Those of these documents that do not fit the store's model, or of which a field is shown as null because it does
    /// not fit.
    async fn unfit(&self, keys: &[DocumentKey]) -> Result<Vec<UnfitDocument>, StoreError>;

    /// About how many documents the collection of a type has.
    async fn count(&self, type_name: &TypeName) -> Result<u64, StoreError>;

    /// Documents that are withheld because another one had their value, and whose value was given up meanwhile. Each is
    /// proposed until it is stamped. With `all` every document that waits for a value is one of them from now on.
    async fn freed(&self, _all: bool, _limit: usize) -> Result<Vec<DocumentKey>, StoreError> {
        Ok(Vec::new())
    }

    /// Documents that are recorded as withheld, in a fixed order.
    async fn withheld(
        &self,
        after: Option<&WalkPosition>,
        limit: usize,
    ) -> Result<WithheldPage, StoreError>;
}

/// The identity of a collection. A collection that is dropped and made again has another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionId(pub String);

/// A place in what others write, in a form of the store's own. It names the store that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportPosition(pub Vec<u8>);

/// A place in a walk over a collection, in a form of the store's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkPosition(pub Vec<u8>);

/// How far an import has come, or what changes of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Everything that others wrote before it is stamped.
    pub position: Option<ImportPosition>,
    /// The types that were ever looked at.
    pub types: BTreeMap<TypeName, TypeImport>,
}

impl ImportProgress {
    /// Marks types for a scan from the beginning.
    pub fn mark_scans(&mut self, types: &BTreeSet<TypeName>) {
        for type_name in types {
            let record = self.types.entry(type_name.clone()).or_default();
            record.scan = Some(TypeScan::default());
        }
    }
}

/// How far the import of one type has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeImport {
    /// The collection that was imported; `None` if there was none. A scan that may delete saves it when it begins its
    /// phase [`ScanPhase::Entries`]. While the type has another one, or none, what is missing is held, unless deletes are
    /// accepted: [`Loaded::held`](tidegate_core::transaction::Loaded::held) names the type.
    pub collection: Option<CollectionId>,
    /// A fingerprint of what the model said of the type.
    pub shape: String,
    /// The scan under way; `None` once it is done.
    pub scan: Option<TypeScan>,
    /// Documents are missing, and nobody has said that they are deleted.
    pub held: Option<HeldType>,
    /// An operator has said that what is missing is deleted. The next scan takes it at its word, once.
    pub accepts_deletes: bool,
}

/// A scan of a type: first its collection, then its entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeScan {
    /// The part under way.
    pub phase: ScanPhase,
    /// Where it stands in that part. Everything before is stamped.
    pub after: Option<WalkPosition>,
    /// How many documents and entries it has looked at.
    pub done: u64,
    /// About how many there are.
    pub total: u64,
}

/// The part of a scan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ScanPhase {
    /// From the collection to the feed.
    #[default]
    Documents,
    /// From the feed to the collection, without deleting: counts what is missing.
    Count,
    /// The same, and deletes it.
    Entries,
}

/// Why a type is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldType {
    /// How many documents are missing.
    pub missing: u64,
    /// How many entries expect one.
    pub expected: u64,
}

/// Writes of others, in their order, and the position after them.
#[derive(Debug, Clone)]
pub struct ForeignBatch {
    /// The writes. An id that the type cannot spell is none of them; the store records it as withheld.
    pub writes: Vec<ForeignChange>,
    /// The place behind them. It advances in idle times too.
    pub position: ImportPosition,
}

/// Something that others did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForeignChange {
    /// They wrote or deleted a document.
    Document(DocumentKey),
    /// They dropped, made or renamed the collection of a type.
    Collection(TypeName),
}

/// Part of a walk over a collection.
#[derive(Debug, Clone, Default)]
pub struct DocumentWalk {
    /// The documents whose ids the type can spell.
    pub keys: Vec<DocumentKey>,
    /// How many were passed, those with other ids too.
    pub passed: u64,
    /// Where the next part begins; `None` at the end.
    pub next: Option<WalkPosition>,
}

/// Part of the documents that are recorded as withheld.
#[derive(Debug, Clone, Default)]
pub struct WithheldPage {
    /// The documents.
    pub documents: Vec<WithheldDocument>,
    /// Where the next part begins; `None` at the end.
    pub next: Option<WalkPosition>,
}

/// A document that does not fit the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithheldDocument {
    /// Its type.
    pub type_name: TypeName,
    /// Its id as clients spell it, or as BSON prints it if its type cannot spell it.
    pub id: String,
    /// Why it does not fit.
    pub misfit: Misfit,
}

/// A document that is not shown whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfitDocument {
    /// Its type.
    pub type_name: TypeName,
    /// Its id.
    pub id: String,
    /// The first value that does not fit.
    pub misfit: Misfit,
    /// Whether the whole document is withheld, and not only a field shown as null.
    pub is_withheld: bool,
}

/// Why a position cannot be followed.
#[derive(Debug, Clone, Error)]
pub enum FollowError {
    /// What was written since then is lost. Only a scan finds it.
    #[error("the history since the last position is lost: {0}")]
    Lost(String),
    /// The position belongs to another store: this one was restored or replaced.
    #[error("the position belongs to another store: {0}")]
    Replaced(String),
    /// The store's failure. Trying again helps.
    #[error(transparent)]
    Store(#[from] StoreError),
}
