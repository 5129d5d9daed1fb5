//! The reference client: what every client library has to do, by section 1 of rules.md (numbers in comments are its).
//!
//! It talks to nobody and knows no test: requests are taken from it, answers and pages are handed to it, late, twice or
//! never.

mod outbox;
mod pages;

use std::collections::{BTreeMap, BTreeSet};

use tidegate::sync::Page;
use tidegate_core::{
    change::{Action, BaseVersion, Change},
    checkpoint::Types,
    id::{ClientId, DocumentKey, Epoch, Scope, Version},
    model::Policy,
    push::Push,
    value::Document,
};

use crate::mutants::Slip;

/// An edit, with a number by which the simulation knows it again.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub(crate) number: u32,
    pub(crate) change: Change,
}

/// A document as the client holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    pub(crate) version: Version,
    pub(crate) scope: Scope,
    pub(crate) body: Document,
    /// What an edit of it is based on: its version, or -1 once the epoch changed.
    base: BaseVersion,
    /// Whether pages named it since the last reset.
    seen: bool,
    /// 1.7: when an outcome brought it, until the feed names it.
    unconfirmed_since: Option<u32>,
}

/// A push that was sent and not answered, and what happened meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    pub(crate) push: Push,
    pub(crate) edits: Vec<Edit>,
    pub(crate) crossed_reset: bool,
    /// 1.6: the removals that pages told of.
    deleted: BTreeMap<DocumentKey, Version>,
    left: BTreeMap<(DocumentKey, Scope), Version>,
    pub(crate) revoked: BTreeSet<Scope>,
}

/// 1.7: an edit whose outcome crossed a reset; it stays in view until a pull ends.
#[derive(Debug, Clone)]
struct Lingering {
    edit: Edit,
    /// The client id that it was sent under.
    by: ClientId,
    /// When its outcome was heard.
    heard: u32,
}

/// A page on its way to the client.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) page: Page,
    /// The checkpoint it goes on from.
    pub(crate) from: Option<String>,
    /// The types that were asked for.
    pub(crate) types: Types,
    /// When it was requested, if it was pulled; pages of a subscription may come from a ring (1.7).
    pub(crate) requested: Option<u32>,
}

/// How the next push is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sending {
    pub(crate) count: usize,
    pub(crate) atomic: bool,
    pub(crate) policy: Option<Policy>,
}

/// All that a client keeps.
#[derive(Debug)]
pub(crate) struct Client {
    name: String,
    /// The types that it asks for, and those of the last page.
    pub(crate) types: Types,
    pub(crate) page_types: Types,
    pub(crate) held: BTreeMap<DocumentKey, Held>,
    pub(crate) checkpoint: Option<String>,
    /// The epoch of the last page; none before the first, and while another one is known to have begun.
    epoch: Option<Epoch>,
    pub(crate) page_epoch: Option<Epoch>,
    resetting: bool,
    /// Raised to begin another client id.
    generation: u32,
    next_mutation: i32,
    pub(crate) outbox: Vec<Edit>,
    pub(crate) flight: Option<Flight>,
    lingering: Vec<Lingering>,
    slip: Option<Slip>,
}

impl Client {
    /// A device of that name, which makes the slip, if one is given.
    pub(crate) fn new(name: &str, types: Types, slip: Option<Slip>) -> Self {
        Self {
            name: name.to_owned(),
            page_types: types.clone(),
            types,
            held: BTreeMap::new(),
            checkpoint: None,
            epoch: None,
            page_epoch: None,
            resetting: false,
            generation: 0,
            next_mutation: 1,
            outbox: Vec::new(),
            flight: None,
            lingering: Vec::new(),
            slip,
        }
    }

    /// The document as its user sees it, edits included that have no answer yet.
    pub(crate) fn view(&self, key: &DocumentKey) -> Option<Document> {
        let held = self.held.get(key).map(|held| held.body.clone());
        let lingering = self.lingering.iter().map(|lingering| &lingering.edit);
        lingering
            .chain(self.unanswered())
            .filter(|edit| edit.change.key == *key)
            .fold(held, |shown, edit| match &edit.change.action {
                Action::Create { document, .. } => Some(document.clone()),
                Action::Delete { .. } => None,
                Action::Update { set, .. } => shown.map(|mut shown| {
                    shown.extend(set.clone());
                    shown
                }),
            })
    }

    /// What an edit made now is based on: 0 while the own create is unanswered or lingers, even if the feed has shown the
    /// document (4.5).
    pub(crate) fn base(&self, key: &DocumentKey) -> BaseVersion {
        if self.created_by(key).is_some() {
            return BaseVersion::OWN_CREATE;
        }
        let lingers = |lingering: &&Lingering| {
            lingering.edit.change.key == *key && lingering.edit.is_create()
        };
        match self.lingering.iter().rfind(lingers) {
            Some(created) if created.by == self.id() => BaseVersion::OWN_CREATE,
            Some(_) => BaseVersion::OTHER_EPOCH,
            None => self
                .held
                .get(key)
                .map_or(BaseVersion::OWN_CREATE, |held| held.base),
        }
    }

    /// The version of each document that it holds, but of those scopes.
    pub(crate) fn versions_but_of(&self, scopes: &[Scope]) -> BTreeMap<DocumentKey, Version> {
        let versions = self.held.iter();
        versions
            .filter(|(_, held)| !scopes.contains(&held.scope))
            .map(|(key, held)| (key.clone(), held.version))
            .collect()
    }

    /// Whether all it did is settled.
    pub(crate) fn is_quiet(&self) -> bool {
        self.flight.is_none() && self.outbox.is_empty()
    }

    /// The create under way that an edit made now is an edit of.
    pub(crate) fn created_by(&self, key: &DocumentKey) -> Option<u32> {
        let creates = self
            .unanswered()
            .filter(|edit| edit.change.key == *key && edit.is_create());
        creates.last().map(|edit| edit.number)
    }

    fn unanswered(&self) -> impl Iterator<Item = &Edit> {
        let flying = self.flight.iter().flat_map(|flight| &flight.edits);
        flying.chain(&self.outbox)
    }

    fn slips(&self, slip: Slip) -> bool {
        self.slip == Some(slip)
    }
}

impl Edit {
    pub(crate) fn is_create(&self) -> bool {
        matches!(self.change.action, Action::Create { .. })
    }

    pub(crate) fn is_delete(&self) -> bool {
        matches!(self.change.action, Action::Delete { .. })
    }

    /// The version it was made on; a create is made on none.
    pub(crate) fn base(&self) -> Option<BaseVersion> {
        match self.change.action {
            Action::Create { .. } => None,
            Action::Update { base, .. } | Action::Delete { base } => Some(base),
        }
    }

    fn rebase(&mut self, to: BaseVersion) {
        if let Action::Update { base, .. } | Action::Delete { base } = &mut self.change.action {
            *base = to;
        }
    }
}
