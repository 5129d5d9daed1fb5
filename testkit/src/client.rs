//! The reference client: section 1 of rules.md in code, which every client library has to do (numbers in comments are
//! the rules').
//!
//! It does no IO and knows no test: a test takes requests from it and passes answers and pages to it, late, twice or
//! never.

mod edits;
mod outbox;
mod pages;
mod refusals;
mod slip;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    change::{Action, BaseVersion, Change},
    checkpoint::{Checkpoint, RequestedTypes},
    digest::{ScopeDigest, ScopeSums},
    entry::FeedItem,
    generation::TypeNumber,
    id::{ClientId, DocumentKey, Epoch, MutationId, Scope, Seq, TypeName, Version},
    model::{Model, Policy},
    outcome::Status,
    push::Push,
    value::Document,
};

use self::view::Known;
pub use self::{
    edits::{Act, Draft, Intent, Made, NotMade, action},
    refusals::{Question, Refusal},
    slip::Slip,
};

/// An edit, with a number by which the test recognises it.
#[derive(Debug, Clone)]
pub struct Edit {
    pub number: u32,
    pub change: Change,
    pub policy: Option<Policy>,
    /// Edits of one transaction are pushed together, all or nothing.
    pub transaction: Option<u32>,
    /// 1.8: its counters as the view had them when it was first sent; none before.
    sent: Option<Document>,
}

/// What became of an edit (1.16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The gateway's answer.
    Answered(Status),
    /// No gateway takes it (1.12).
    Refused,
    /// It was queued on this create, which failed (1.15).
    Dropped { cause: u32 },
    /// It was answered, and the answer is lost for good (1.13).
    Unknown,
    /// It is part of this edit (1.10).
    Folded { into: u32 },
}

/// A document as the client holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub version: Version,
    pub scope: Scope,
    pub body: Document,
    /// What an edit of it is based on: its version, or -1 once the epoch changed.
    base: BaseVersion,
    /// Whether pages named it since the last reset.
    pub seen: bool,
    /// 1.7: when an outcome brought it, until the feed names it.
    unconfirmed_since: Option<u32>,
}

/// A push that was sent and not answered, and what happened meanwhile.
#[derive(Debug, Clone)]
pub struct Flight {
    pub push: Push,
    pub edits: Vec<Edit>,
    pub crossed_reset: bool,
    /// 1.6: the removals that pages named.
    deleted: BTreeMap<DocumentKey, Version>,
    left: BTreeMap<(DocumentKey, Scope), Version>,
    pub revoked: BTreeSet<Scope>,
    /// 1.12: it was refused, and the client asks for its last id before anything else.
    asks: Option<(Refusal, u32)>,
}

/// An edit that stays in view until a pull ends: its outcome crossed a reset (1.7), or is unknown (1.13).
#[derive(Debug, Clone)]
struct Lingering {
    edit: Edit,
    /// The client id under which it was sent.
    by: ClientId,
    /// When its outcome arrived.
    heard: u32,
    is_unknown: bool,
}

/// Where a client stands: the token that it keeps and, for the test, what the token says.
#[derive(Debug, Clone)]
pub struct Place {
    pub token: String,
    pub checkpoint: Checkpoint,
}

impl Place {
    /// Of a page. The token leaves out scopes in which nothing was written yet.
    pub fn new(token: String, mut checkpoint: Checkpoint) -> Self {
        for track in &mut checkpoint.tracks {
            let positions = &mut track.positions;
            positions.retain(|_, it| it.number.is_some() || it.start > Seq::START);
        }
        Self { token, checkpoint }
    }
}

/// A client sees only the token.
impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.token == other.token
    }
}

/// A page as a gateway answers it.
#[derive(Debug, Clone)]
pub struct Page {
    pub changes: Vec<FeedItem>,
    /// The client's position after the page.
    pub place: Place,
    pub has_more: bool,
    pub reset: bool,
    pub revoked: Vec<Scope>,
    /// The digests of the scopes that the client then has whole.
    pub digests: BTreeMap<Scope, ScopeDigest>,
}

/// A page on its way to the client.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub page: Page,
    /// The position from which it continues.
    pub from: Option<Place>,
    /// The types that were asked for.
    pub types: RequestedTypes,
    /// When it was requested, if it was pulled. Pages of a subscription may come from a ring (1.7).
    pub requested: Option<u32>,
    /// The types that its request began again.
    pub refreshed: BTreeSet<TypeName>,
    /// The scopes that its request asked to read again.
    pub reread: BTreeSet<Scope>,
}

/// All that a client keeps.
#[derive(Debug, Clone)]
pub struct Client {
    name: String,
    known: Known,
    /// 1.10: whether it folds updates that wait.
    pub folds: bool,
    /// The types that it asks for, and those of the last page.
    pub types: RequestedTypes,
    pub page_types: RequestedTypes,
    /// 1.17: the types that its pulls begin again, until a page has answered that.
    pub refresh: BTreeSet<TypeName>,
    pub held: BTreeMap<DocumentKey, Held>,
    pub place: Option<Place>,
    /// For the test: the head of each scope when the client began it, by type. A position's `start` rises with its seq.
    pub begun: BTreeMap<(TypeNumber, Scope), Seq>,
    /// The epoch of the last page; none before the first, and while another one is known to have begun.
    epoch: Option<Epoch>,
    pub page_epoch: Option<Epoch>,
    resetting: bool,
    /// Raised to begin another client id.
    generation: u32,
    next_mutation: i32,
    pub outbox: Vec<Edit>,
    pub flight: Option<Flight>,
    lingering: Vec<Lingering>,
    /// 1.14: the documents whose last create left as UNKNOWN.
    unknown_creates: BTreeSet<DocumentKey>,
    /// What became of each edit that is no longer in the outbox or in flight.
    pub outcomes: BTreeMap<u32, Fate>,
    /// How often it has asked for its last id.
    questions: u32,
    /// When the last answer came.
    pub answered: u32,
    /// 1.18: the scopes of which it reports that the server has something else.
    pub differing: BTreeSet<Scope>,
    /// 1.18: whether the last page has shown that it equals the server.
    pub equals: bool,
    /// 1.18: whether it makes another pull to compare: the last one was not compared, or it has just started.
    pub must_compare: bool,
    /// 1.18: the scopes that its pulls read again, until a page has answered that.
    pub reread: BTreeSet<Scope>,
    /// 1.18: the scopes that it has asked for, and that were not equal since.
    doubted: BTreeSet<Scope>,
    slip: Option<Slip>,
}

impl Client {
    /// A device of that name, which makes the slip, if one is given.
    pub fn new(name: &str, model: &Model, types: RequestedTypes, slip: Option<Slip>) -> Self {
        Self {
            name: name.to_owned(),
            known: Known::of(model),
            folds: false,
            page_types: types.clone(),
            types,
            refresh: BTreeSet::new(),
            held: BTreeMap::new(),
            place: None,
            begun: BTreeMap::new(),
            epoch: None,
            page_epoch: None,
            resetting: false,
            generation: 0,
            next_mutation: 1,
            outbox: Vec::new(),
            flight: None,
            lingering: Vec::new(),
            unknown_creates: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            questions: 0,
            answered: 0,
            differing: BTreeSet::new(),
            equals: false,
            must_compare: true,
            reread: BTreeSet::new(),
            doubted: BTreeSet::new(),
            slip,
        }
    }

    /// The version of each document that it holds outside of those scopes.
    pub fn versions_but_of(&self, scopes: &[Scope]) -> BTreeMap<DocumentKey, Version> {
        let versions = self.held.iter();
        versions
            .filter(|(_, held)| !scopes.contains(&held.scope))
            .map(|(key, held)| (key.clone(), held.version))
            .collect()
    }

    /// Its disk gives an earlier version of a document.
    pub fn go_back(&mut self, key: &DocumentKey, version: Version, body: Document) {
        if let Some(held) = self.held.get_mut(key) {
            (held.version, held.body) = (version, body);
        }
    }

    /// What it holds of a scope, as one number.
    pub fn digest(&self, scope: &Scope) -> ScopeDigest {
        let mut sums = ScopeSums::default();
        for (key, held) in self.held.iter().filter(|(_, held)| held.scope == *scope) {
            sums.add(key, held.version);
        }
        sums.digest(TypeName::to_string)
    }

    /// Whether all its edits are settled.
    pub fn is_quiet(&self) -> bool {
        self.flight.is_none() && self.outbox.is_empty()
    }

    /// The mutation id of its next change.
    pub fn next_mutation(&self) -> MutationId {
        MutationId(self.next_mutation)
    }

    /// Edits without an answer, in the order in which they were made.
    pub fn unanswered(&self) -> impl Iterator<Item = &Edit> {
        let flying = self.flight.iter().flat_map(|flight| &flight.edits);
        flying.chain(&self.outbox)
    }

    /// Edits that stay in view though they left.
    pub fn lingering(&self) -> impl Iterator<Item = &Edit> {
        self.lingering.iter().map(|lingering| &lingering.edit)
    }

    fn slips(&self, slip: Slip) -> bool {
        self.slip == Some(slip)
    }
}

impl Page {
    /// The epoch of its versions.
    pub fn epoch(&self) -> &Epoch {
        &self.place.checkpoint.epoch
    }

    /// Its checkpoint as a client keeps it.
    pub fn token(&self) -> String {
        self.place.token.clone()
    }
}

impl Edit {
    pub fn is_create(&self) -> bool {
        matches!(self.change.action, Action::Create { .. })
    }

    pub fn is_delete(&self) -> bool {
        matches!(self.change.action, Action::Delete { .. })
    }

    /// The version it was made on. A create has none.
    pub fn base(&self) -> Option<BaseVersion> {
        match self.change.action {
            Action::Create { .. } => None,
            Action::Update { base, .. } | Action::Delete { base } => Some(base),
        }
    }

    /// Whether a push has carried it, and no answer has ended its earlier copies.
    pub fn is_sent(&self) -> bool {
        self.sent.is_some()
    }

    /// 1.8: whether it shows a field as it is kept, since the document was out of view when it was sent.
    pub fn hides(&self, name: &str) -> bool {
        let sent = self.sent.as_ref();
        sent.is_some_and(|sent| !sent.contains_key(name))
    }

    fn rebase(&mut self, to: BaseVersion) {
        if let Action::Update { base, .. } | Action::Delete { base } = &mut self.change.action {
            *base = to;
        }
    }
}
