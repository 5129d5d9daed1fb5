//! What a push will touch, as far as can be foreseen before its transaction reads.
//!
//! It only saves transactions from meeting: where it errs, the store's conflicts are the truth (rules.md 5.3).

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
    push::{PushRequest, scope_foreseen},
};

/// So many documents' scopes are remembered, and so many users' habits.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is above zero");

/// A caller who may write to more scopes than these may touch any.
const SCOPES_MAX: usize = 64;

/// What pushes touch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Footprint {
    touched: HashSet<Touch>,
    /// It may be anything.
    anything: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Touch {
    Client(ClientKey),
    Document(DocumentKey),
    Scope(Scope),
}

impl Footprint {
    /// Whether both touch the same.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let both = !self.is_empty() && !other.is_empty();
        both && (self.anything || other.anything || !self.touched.is_disjoint(&other.touched))
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.touched.extend(other.touched.iter().cloned());
        self.anything |= other.anything;
    }

    /// The scopes that are likely to be written.
    pub(super) fn scopes(&self) -> BTreeSet<Scope> {
        let scopes = self.touched.iter().filter_map(|touch| match touch {
            Touch::Scope(scope) => Some(scope.clone()),
            Touch::Client(_) | Touch::Document(_) => None,
        });
        scopes.collect()
    }

    fn is_empty(&self) -> bool {
        !self.anything && self.touched.is_empty()
    }
}

/// Foresees by what changes say of themselves, by where their documents were seen last, and by where their users wrote
/// last.
pub(super) struct Foresight {
    scopes: LruCache<DocumentKey, Scope>,
    habits: LruCache<(UserId, TypeName), Scope>,
}

impl Foresight {
    pub(super) fn new() -> Self {
        Self {
            scopes: LruCache::new(REMEMBERED_MAX),
            habits: LruCache::new(REMEMBERED_MAX),
        }
    }

    /// What a commit wrote.
    pub(super) fn learn(&mut self, written: &[Arc<Entry>]) {
        for entry in written {
            let writer = entry.writers.get(&entry.version);
            if let Some(user) = writer.and_then(|writer| writer.user.clone()) {
                let habit = (user, entry.key.type_name.clone());
                self.habits.put(habit, entry.scope.clone());
            }
            self.scopes.put(entry.key.clone(), entry.scope.clone());
        }
    }

    pub(super) fn footprint(&mut self, model: &Model, request: &PushRequest) -> Footprint {
        let mut footprint = Footprint::default();
        if let Some(client) = &request.push.client {
            let key = ClientKey {
                user: request.identity.user.clone(),
                client: client.id.clone(),
            };
            footprint.touched.insert(Touch::Client(key));
        }
        let mut somewhere = false;
        for item in &request.push.changes {
            let Ok(change) = &item.change else { continue };
            let key = change.key.clone();
            footprint.touched.insert(Touch::Document(key));
            let before = self.scopes.get(&change.key).cloned();
            let after = scope_foreseen(model, &request.identity, change);
            let mut scopes: Vec<Scope> = before.into_iter().chain(after).collect();
            if scopes.is_empty() {
                let habit = (request.identity.user.clone(), change.key.type_name.clone());
                scopes.extend(self.habits.get(&habit).cloned());
            }
            somewhere |= scopes.is_empty();
            footprint
                .touched
                .extend(scopes.into_iter().map(Touch::Scope));
        }
        if somewhere {
            footprint.anywhere(request);
        }
        footprint
    }
}

impl Footprint {
    /// A change to a document nobody has seen here, of a user who has written none: it is in one of the scopes that user
    /// may write to.
    fn anywhere(&mut self, request: &PushRequest) {
        let scopes = || request.claim_grants.writable();
        if scopes().take(SCOPES_MAX + 1).count() > SCOPES_MAX {
            self.anything = true;
        } else {
            self.touched.extend(scopes().cloned().map(Touch::Scope));
        }
    }
}
