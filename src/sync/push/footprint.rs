//! What a push will touch, as far as can be foreseen before its transaction reads.
//!
//! It only saves transactions from meeting: where it errs, the store's conflicts are the truth (rules.md 5.3).

use std::{
    collections::{BTreeSet, HashSet},
    num::NonZeroUsize,
};

use lru::LruCache;
use tidegate_core::{
    id::{ClientKey, DocumentKey, Scope},
    model::Model,
    push::{PushRequest, scope_foreseen},
    transaction::Writes,
};

/// So many documents' scopes are remembered.
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

/// Foresees by what changes say of themselves, and by where their documents were seen last.
pub(super) struct Foresight {
    scopes: LruCache<DocumentKey, Scope>,
}

impl Foresight {
    pub(super) fn new() -> Self {
        Self {
            scopes: LruCache::new(REMEMBERED_MAX),
        }
    }

    /// Where a commit left the documents it wrote.
    pub(super) fn learn(&mut self, places: impl IntoIterator<Item = Place>) {
        for (key, scope) in places {
            self.scopes.put(key, scope);
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
            somewhere |= before.is_none() && after.is_none();
            let scopes = before.into_iter().chain(after);
            footprint.touched.extend(scopes.map(Touch::Scope));
        }
        if somewhere {
            footprint.anywhere(request);
        }
        footprint
    }
}

/// A document and its scope.
pub(super) type Place = (DocumentKey, Scope);

/// What [`Foresight::learn`] wants to know of a commit.
pub(super) fn places(writes: &Writes) -> Vec<Place> {
    let entries = writes.entries.iter();
    entries
        .map(|entry| (entry.key.clone(), entry.scope.clone()))
        .collect()
}

impl Footprint {
    /// A change to a document nobody has seen here: it is in one of the scopes its user may write to.
    fn anywhere(&mut self, request: &PushRequest) {
        let scopes = || request.claim_grants.writable();
        if scopes().take(SCOPES_MAX + 1).count() > SCOPES_MAX {
            self.anything = true;
        } else {
            self.touched.extend(scopes().cloned().map(Touch::Scope));
        }
    }
}
