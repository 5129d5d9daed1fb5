//! A page: what its client gets, and what could not be shown of it. [`super::pull`] and [`super::live`] read pages.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_core::{
    checkpoint::{Checkpoint, KnownTypes, TokenKey},
    digest::{ScopeDigest, ScopeSums},
    entry::FeedItem,
    generation::Standing,
    id::{Epoch, Scope, Seq, TypeName, UserId},
    mutant::{Mutant, is_active},
    view::RecordHead,
};

use super::{Caller, StoredChange, SyncError};
use crate::{lock::Mutex, quota::Lease};

/// The bytes of a digest beside the name of its scope.
const DIGEST_BYTES: usize = 128;

/// The bytes of the sum of a type.
const SUM_BYTES: usize = 96;

/// The answer to a client.
#[derive(Debug, Clone)]
pub struct Page {
    /// The changes in order, only the last of each document in its scope.
    pub changes: Vec<StoredChange>,
    /// The client's position after the page.
    pub checkpoint: Arc<Checkpoint>,
    /// Whether there is more to read now.
    pub has_more: bool,
    /// Whether the client must drop what it held.
    pub reset: bool,
    /// Scopes that the client held and may no longer see.
    pub revoked: Vec<Scope>,
    /// The sums of the scopes of which the client then has everything, if it asked for digests.
    pub(super) sums: Option<BTreeMap<Scope, ScopeSums>>,
    pub(super) reader: Arc<PageReader>,
    pub(super) unshown: Arc<Unshown>,
    /// Counts what was read for it, until the last copy is dropped.
    pub(super) _lease: Option<Arc<Lease>>,
}

/// For whom a page is, and what its gateway was at that time.
#[derive(Debug)]
pub(super) struct PageReader {
    pub(super) key: TokenKey,
    pub(super) user: UserId,
    /// The types of the gateway's model.
    pub(super) known: Arc<KnownTypes>,
    /// Its model beside the lead.
    pub(super) standing: Standing,
}

/// What could not be shown of a page, noted while its text is written. Its token names it (rules.md 2.5a).
#[derive(Debug, Default)]
pub(super) struct Unshown(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    /// The lowest seq in each scope.
    lowest: BTreeMap<Scope, Seq>,
    /// Whether something was written that depends on the notes.
    is_read: bool,
    /// Whether there was a note after that.
    is_stale: bool,
}

impl Unshown {
    fn note(&self, scope: Scope, seq: Seq) {
        let mut notes = self.0.lock();
        let lowest = notes.lowest.get(&scope);
        if lowest.is_none_or(|lowest| seq < *lowest) {
            notes.lowest.insert(scope, seq);
            notes.is_stale = notes.is_read;
        }
    }

    /// Adds the notes to the checkpoint of their page.
    pub(super) fn add_to(&self, checkpoint: &mut Arc<Checkpoint>, standing: Standing) {
        let mut notes = self.0.lock();
        notes.is_read = true;
        if notes.lowest.is_empty() {
            return;
        }
        let checkpoint = Arc::make_mut(checkpoint);
        for (scope, seq) in &notes.lowest {
            checkpoint.skip(scope, *seq, standing);
        }
    }

    fn has(&self, scope: &Scope) -> bool {
        let mut notes = self.0.lock();
        notes.is_read = true;
        notes.lowest.contains_key(scope) && !is_active(Mutant::DigestOfHidden)
    }

    /// Whether something was noted after the token or digests were written. Forgets it.
    fn take_stale(&self) -> bool {
        std::mem::take(&mut self.0.lock().is_stale)
    }
}

impl Page {
    /// The client's position after the page, as a token. It names what was not shown so far.
    pub fn token(&self) -> String {
        self.withhold_hidden();
        let PageReader {
            key,
            user,
            standing,
            ..
        } = &*self.reader;
        let mut checkpoint = Arc::clone(&self.checkpoint);
        self.unshown.add_to(&mut checkpoint, *standing);
        checkpoint.seal(key, user)
    }

    /// The digests of the scopes of which the client then has everything, as far as they are kept. `name` says what the
    /// answer calls a type. None if the client did not ask for them, or if there is more.
    pub fn digests(
        &self,
        name: impl Fn(&TypeName) -> String,
    ) -> Option<Vec<(&Scope, ScopeDigest)>> {
        self.withhold_hidden();
        let shown = self
            .sums
            .as_ref()
            .filter(|_| !self.has_more || is_active(Mutant::DigestEarly))?
            .iter();
        let shown = shown.filter(|(scope, _)| !self.unshown.has(scope));
        Some(
            shown
                .map(|(scope, sums)| (scope, sums.digest(&name)))
                .collect(),
        )
    }

    fn withhold_hidden(&self) {
        let hidden = self.changes.iter().filter(|change| change.is_hidden());
        hidden.for_each(|change| self.withhold(change));
    }

    /// Notes that a change of the page cannot be shown.
    pub fn withhold(&self, change: &StoredChange) {
        let view = change.view();
        if let Some(scope) = view.and_then(|view| Scope::new(view.scope()).ok()) {
            self.unshown.note(scope, change.seq);
        }
    }

    /// Whether the gateway passes a document that one with the leading model may show (rules.md 9.6).
    pub fn passes(&self, change: &StoredChange) -> bool {
        let is_withheld = || change.view().is_some_and(|view| view.is_withheld());
        !self.reader.standing.leads && is_withheld()
    }

    /// Whether a change was withheld after the token or digests were made. Says so once.
    pub fn take_stale(&self) -> bool {
        self.unshown.take_stale()
    }

    /// The epoch its versions belong to.
    pub fn epoch(&self) -> &Epoch {
        &self.checkpoint.epoch
    }

    /// The decoded changes.
    ///
    /// # Errors
    /// [`SyncError::Internal`].
    pub fn decoded(&self) -> Result<Vec<FeedItem>, SyncError> {
        self.changes.iter().map(StoredChange::decode).collect()
    }

    /// An empty page, for a client at this position.
    pub(super) fn empty(checkpoint: Arc<Checkpoint>, reader: Arc<PageReader>) -> Self {
        Self {
            changes: Vec::new(),
            checkpoint,
            has_more: false,
            reset: false,
            revoked: Vec::new(),
            sums: None,
            reader,
            unshown: Arc::default(),
            _lease: None,
        }
    }

    pub(super) fn counted_for(self, caller: &Caller) -> Result<Self, SyncError> {
        let changes: usize = self.changes.iter().map(StoredChange::bytes).sum();
        let bytes = changes + self.digest_bytes();
        Ok(Self {
            _lease: caller.lease(bytes)?,
            ..self
        })
    }

    /// About how many bytes the digests have, in memory and as text.
    pub fn digest_bytes(&self) -> usize {
        let sums = self.sums.iter().flatten();
        let bytes = sums.map(|(scope, sums)| {
            scope.as_str().len() + DIGEST_BYTES + sums.iter().count() * SUM_BYTES
        });
        bytes.sum()
    }

    /// Whether the page changes anything for the client.
    pub(super) fn is_news(&self) -> bool {
        !self.changes.is_empty() || self.reset || !self.revoked.is_empty()
    }
}
