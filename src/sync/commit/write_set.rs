//! Write sets: the documents, clients and scopes that a request will write, predicted before its transaction reads.
//!
//! A prediction only avoids collisions. The store's conflicts are the truth (rules.md 5.3).

use std::{
    collections::{BTreeSet, HashSet},
    num::NonZeroUsize,
    sync::Arc,
};

use lru::LruCache;
use tidegate_core::{
    entry::Entry,
    id::{ClientKey, DocumentKey, Scope, TypeName, UserId},
    model::Model,
    push::{CommitRequest, predicted_scope},
};

/// The number of documents whose scopes are remembered, and of users whose last scopes are.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is above zero");

/// A request of a caller who may write to more scopes than this counts as one that may write anything.
const SCOPES_MAX: usize = 64;

/// What requests write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct WriteSet {
    targets: HashSet<WriteTarget>,
    /// Whether it may be anything.
    anything: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum WriteTarget {
    Client(ClientKey),
    Document(DocumentKey),
    Scope(Scope),
}

impl WriteSet {
    /// The write set of a request that may write anything.
    pub(super) fn anything() -> Self {
        Self {
            anything: true,
            ..Self::default()
        }
    }

    pub(super) fn of_scopes<'s>(scopes: impl Iterator<Item = &'s Scope>) -> Self {
        Self {
            targets: scopes.cloned().map(WriteTarget::Scope).collect(),
            anything: false,
        }
    }

    /// Whether both write the same.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let both = !self.is_empty() && !other.is_empty();
        both && (self.anything || other.anything || !self.targets.is_disjoint(&other.targets))
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.targets.extend(other.targets.iter().cloned());
        self.anything |= other.anything;
    }

    /// The scopes that are likely to be written.
    pub(super) fn scopes(&self) -> BTreeSet<Scope> {
        let scopes = self.targets.iter().filter_map(|target| match target {
            WriteTarget::Scope(scope) => Some(scope.clone()),
            WriteTarget::Client(_) | WriteTarget::Document(_) => None,
        });
        scopes.collect()
    }

    fn is_empty(&self) -> bool {
        !self.anything && self.targets.is_empty()
    }

    /// Adds the scopes that the sender may write to: a document is in one of them.
    fn widen_to_grants(&mut self, request: &CommitRequest) {
        let scopes = || request.claim_grants().writable();
        if scopes().take(SCOPES_MAX + 1).count() > SCOPES_MAX {
            self.anything = true;
        } else {
            self.targets
                .extend(scopes().cloned().map(WriteTarget::Scope));
        }
    }
}

/// Predicts from the changes themselves, from where their documents were last seen, and from where their users last
/// wrote.
pub(super) struct WriteSetPredictor {
    scopes: LruCache<DocumentKey, Scope>,
    last_scopes: LruCache<(UserId, TypeName), Scope>,
}

impl WriteSetPredictor {
    pub(super) fn new() -> Self {
        Self {
            scopes: LruCache::new(REMEMBERED_MAX),
            last_scopes: LruCache::new(REMEMBERED_MAX),
        }
    }

    /// Remembers what a commit wrote.
    pub(super) fn observe(&mut self, written: &[Arc<Entry>]) {
        for entry in written {
            let writer = entry.writers.get(&entry.version);
            if let Some(user) = writer.and_then(|writer| writer.user.clone()) {
                let of_user = (user, entry.key.type_name.clone());
                self.last_scopes.put(of_user, entry.scope.clone());
            }
            self.scopes.put(entry.key.clone(), entry.scope.clone());
        }
    }

    pub(super) fn predict(&mut self, model: &Model, request: &CommitRequest) -> WriteSet {
        let mut write_set = WriteSet::default();
        let user = &request.identity().user;
        let mut is_somewhere = false;
        let mut writes = |key: &DocumentKey, entered: Option<Scope>| {
            let target = WriteTarget::Document(key.clone());
            write_set.targets.insert(target);
            let before = self.scopes.get(key).cloned();
            let mut scopes: Vec<Scope> = before.into_iter().chain(entered).collect();
            if scopes.is_empty() {
                let of_user = (user.clone(), key.type_name.clone());
                scopes.extend(self.last_scopes.get(&of_user).cloned());
            }
            is_somewhere |= scopes.is_empty();
            let scopes = scopes.into_iter().map(WriteTarget::Scope);
            write_set.targets.extend(scopes);
        };
        match request {
            CommitRequest::Push(push) => {
                let items = push.push.changes.iter();
                for change in items.filter_map(|item| item.change.as_ref().ok()) {
                    let entered = predicted_scope(model, &push.identity, change);
                    writes(&change.key, entered);
                }
                let client = push.push.client.as_ref().map(|client| ClientKey {
                    user: user.clone(),
                    client: client.id.clone(),
                });
                write_set.targets.extend(client.map(WriteTarget::Client));
            }
            CommitRequest::Resolve(resolve) => writes(&resolve.key, None),
        }
        if is_somewhere {
            write_set.widen_to_grants(request);
        }
        write_set
    }
}
