//! What a commit replaces, as far as it was read, and what is looked up besides.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use mongodb::bson::RawDocumentBuf;
use tidegate_core::{
    digest::KeptSums,
    entry::{Entry, ScopeState},
    id::{DocumentKey, Scope, ScopeNumber},
    inbox::InboxRecord,
    transaction::{Reads, Writes},
};

use crate::store::mongo::{
    MongoContext,
    error::MongoError,
    grant_order::GrantCounters,
    reader::{ApplicationDocuments, ReadBudget, SessionReader},
};

/// The present state of what a commit writes. What was read and is not in it does not exist.
#[derive(Default)]
pub(in crate::store::mongo) struct CurrentRecords {
    pub(in crate::store::mongo) entries: HashMap<DocumentKey, Arc<Entry>>,
    pub(in crate::store::mongo) documents: HashMap<DocumentKey, RawDocumentBuf>,
    /// Documents that may exist or not. Writes to them are refused.
    pub(in crate::store::mongo) unread: HashSet<DocumentKey>,
    pub(in crate::store::mongo) scopes: HashMap<Scope, ScopeState>,
    pub(in crate::store::mongo) sums: HashMap<Scope, KeptSums>,
    /// Numbers for the scopes that have none.
    pub(in crate::store::mongo) numbers: HashMap<Scope, ScopeNumber>,
    /// Whether a conflict was ever opened.
    pub(in crate::store::mongo) has_inbox: bool,
    pub(in crate::store::mongo) grants: GrantCounters,
}

impl CurrentRecords {
    pub(in crate::store::mongo) fn add_documents(&mut self, documents: ApplicationDocuments) {
        self.documents.extend(documents.found);
        self.unread.extend(documents.unread);
    }

    /// Looks up what is written, or affected by a write, without having been read.
    pub(super) async fn look_up(
        &mut self,
        reader: &mut SessionReader<'_>,
        writes: &Writes,
        reads: &Reads,
    ) -> Result<(), MongoError> {
        let keys = writes.entries.iter().map(|entry| &entry.key);
        let keys = keys.chain(writes.markers_removed.iter().map(|(_, key)| key));
        let unread = keys.filter(|key| !reads.keys.contains(*key)).cloned();
        let unread: BTreeSet<DocumentKey> = unread.collect();
        if !unread.is_empty() {
            let budget = &mut ReadBudget::unlimited();
            let entries = reader.entries(&unread, budget).await?;
            self.entries.extend(entries.unwrap_or_default());
            let documents = reader.documents(&unread, budget).await?;
            self.add_documents(documents.unwrap_or_default());
        }
        let mut scopes = scopes_of(writes);
        scopes.retain(|scope| !reads.scopes.contains(scope));
        let (states, sums) = reader.scopes_with_sums(&scopes).await?;
        self.scopes.extend(states);
        self.sums.extend(sums);
        Ok(())
    }

    /// The sums of a scope as they were, if they are kept. A scope that was never written has complete ones.
    pub(super) fn sums_before(&self, scope: &Scope, keeps_sums: bool) -> Option<KeptSums> {
        match self.scopes.contains_key(scope) {
            _ if !keeps_sums => None,
            true => self.sums.get(scope).cloned(),
            false => Some(KeptSums::default()),
        }
    }

    /// A commit that is repeated takes others: numbers need not be dense.
    pub(super) async fn number_scopes(
        &mut self,
        context: &MongoContext,
        writes: &Writes,
    ) -> Result<(), MongoError> {
        let number = |scope: &Scope| self.scopes.get(scope).and_then(|state| state.number);
        let mut unnumbered = scopes_of(writes);
        unnumbered.retain(|scope| number(scope).is_none());
        let numbers = context.scope_numbers(unnumbered.len()).await?;
        self.numbers = unnumbered.into_iter().zip(numbers).collect();
        Ok(())
    }
}

/// The scopes whose states are written.
pub(super) fn scopes_of(writes: &Writes) -> BTreeSet<Scope> {
    let mut scopes = writes.scopes();
    scopes.extend(writes.floors.keys().cloned());
    scopes.extend(opened_in(writes));
    scopes
}

/// The scopes in which conflicts are opened. Each gets a new value, because a conflict stands in the scope in which its
/// document was read. A commit that moves the document at the same time writes the scope too, and only one of both
/// succeeds.
pub(super) fn opened_in(writes: &Writes) -> impl Iterator<Item = Scope> {
    writes.inbox.iter().filter_map(|record| match record {
        InboxRecord::Open(open) => Some(open.scope.clone()),
        InboxRecord::Resolved(_) => None,
    })
}
