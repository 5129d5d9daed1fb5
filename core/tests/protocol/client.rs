//! A client by the protocol's first section, as small as it can be: what every client library has to do.
//!
//! It talks to nobody: requests are taken from it, answers and pages are handed to it, late, twice or never.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    entry::Record,
    id::{Epoch, Scope, Version},
    outcome::Status,
    push::{Outcome, PushAnswer, PushRefusal},
    value::Document,
};

use crate::{
    drafts::Draft,
    senders::{Sender, by},
    store::Page,
};

/// An edit in the outbox, with a number by which the test knows it again.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub(crate) number: u32,
    pub(crate) draft: Draft,
}

/// A document as the client holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    pub(crate) version: i32,
    pub(crate) scope: Scope,
    pub(crate) body: Document,
    /// What an edit of it is based on: the version, or -1 once the epoch changed.
    base: i32,
    seen: bool,
    /// When an outcome brought it, until the feed names it.
    unconfirmed_since: Option<u32>,
}

/// A push that was sent and not answered, and what happened meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    pub(crate) sender: Sender,
    pub(crate) edits: Vec<Edit>,
    crossed_reset: bool,
    deleted: BTreeMap<String, Version>,
    left: BTreeMap<(String, Scope), Version>,
    revoked: BTreeSet<String>,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) user: &'static str,
    pub(crate) held: BTreeMap<String, Held>,
    pub(crate) token: Option<String>,
    pub(crate) flight: Option<Flight>,
    pub(crate) outbox: Vec<Edit>,
    /// The epoch of the last page; none before the first, and while another one is known to have begun.
    pub(crate) epoch: Option<Epoch>,
    page_epoch: Option<Epoch>,
    generation: u32,
    next: i32,
    resetting: bool,
}

impl Client {
    pub(crate) fn new(user: &'static str) -> Self {
        Self {
            user,
            held: BTreeMap::new(),
            token: None,
            flight: None,
            outbox: Vec::new(),
            epoch: None,
            page_epoch: None,
            generation: 0,
            next: 1,
            resetting: false,
        }
    }

    /// Whether the document is there as its user sees it, unanswered edits included.
    pub(crate) fn shows(&self, id: &str) -> bool {
        let queued = self
            .unanswered()
            .rfind(|edit| edit.draft.key().id.as_str() == id);
        queued.map_or(self.held.contains_key(id), |edit| !edit.draft.is_delete())
    }

    /// The base of an edit made now (protocol 4.5: 0 while the own create is unanswered).
    pub(crate) fn base(&self, id: &str) -> i32 {
        let created = self
            .unanswered()
            .any(|edit| edit.draft.is_create() && edit.draft.key().id.as_str() == id);
        self.held
            .get(id)
            .filter(|_| !created)
            .map_or(0, |held| held.base)
    }

    fn unanswered(&self) -> impl DoubleEndedIterator<Item = &Edit> {
        self.flight
            .iter()
            .flat_map(|flight| &flight.edits)
            .chain(&self.outbox)
    }

    /// Takes the next push out of the outbox, if the client may send one.
    pub(crate) fn send(&mut self, count: usize, atomic: bool) -> Option<&Flight> {
        let epoch = self.epoch.as_ref()?;
        if self.flight.is_some() || self.outbox.is_empty() {
            return None;
        }
        let count = count.min(self.outbox.len());
        let mut sender = by(self.user, &format!("{}-{}", self.user, self.generation))
            .from(self.next)
            .in_epoch(epoch.as_str());
        sender.atomic = atomic;
        self.next += i32::try_from(count).expect("few edits");
        self.flight = Some(Flight {
            sender,
            edits: self.outbox.drain(..count).collect(),
            crossed_reset: false,
            deleted: BTreeMap::new(),
            left: BTreeMap::new(),
            revoked: BTreeSet::new(),
        });
        self.flight.as_ref()
    }

    /// Takes in a page that was requested at `requested`.
    pub(crate) fn apply(&mut self, page: Page, requested: u32) {
        if page.reset {
            self.begin_reset(&page);
        }
        self.epoch = Some(page.epoch.clone());
        self.page_epoch = Some(page.epoch);
        for scope in page.revoked {
            self.held.retain(|_, held| held.scope.as_str() != scope);
            if let Some(flight) = &mut self.flight {
                flight.revoked.insert(scope);
            }
        }
        for item in &page.changes {
            self.take(&item.record);
        }
        self.token = Some(page.token);
        if page.has_more {
            return;
        }
        let resetting = std::mem::take(&mut self.resetting);
        self.held.retain(|_, held| {
            (held.seen || !resetting)
                && held.unconfirmed_since.is_none_or(|since| since > requested)
        });
    }

    fn begin_reset(&mut self, page: &Page) {
        let same_epoch = self.page_epoch.as_ref() == Some(&page.epoch);
        for held in self.held.values_mut() {
            held.seen = false;
            if !same_epoch {
                (held.version, held.base) = (0, -1);
            }
        }
        self.resetting = true;
        if let Some(flight) = &mut self.flight {
            flight.crossed_reset = true;
        }
        if !same_epoch && self.page_epoch.is_some() {
            self.begin_client();
        }
    }

    /// A new client id for what was not sent yet (protocol 4.4).
    fn begin_client(&mut self) {
        self.generation += 1;
        self.next = 1;
        let mut created = BTreeSet::new();
        for Edit { draft, .. } in &mut self.outbox {
            if draft.is_create() {
                created.insert(draft.key());
            } else if !created.contains(&draft.key()) {
                draft.rebase(-1);
            }
        }
    }

    fn take(&mut self, record: &Record) {
        let (id, version, scope) = (
            record.key().id.to_string(),
            record.version(),
            record.scope(),
        );
        if let (Some(flight), true) = (&mut self.flight, record.is_collectable()) {
            let known = match record {
                Record::Entry(_) => flight.deleted.entry(id.clone()).or_default(),
                Record::Marker(_) => flight.left.entry((id.clone(), scope.clone())).or_default(),
            };
            *known = version.max(*known);
        }
        if let (Some(held), false) = (self.held.get_mut(&id), record.is_collectable())
            && version.0 <= held.version
        {
            held.seen = true;
            held.unconfirmed_since = held.unconfirmed_since.filter(|_| version.0 < held.version);
        }
        if self
            .held
            .get(&id)
            .is_some_and(|held| held.version >= version.0)
        {
            return;
        }
        match record {
            Record::Entry(entry) => match &entry.body {
                Some(body) => drop(self.held.insert(id, holding(version, scope, body, None))),
                None => drop(self.held.remove(&id)),
            },
            Record::Marker(_) => self
                .held
                .retain(|held_id, held| *held_id != id || held.scope != *scope),
        }
    }

    /// Takes in the answer to the push under way, heard at `heard`.
    pub(crate) fn hear(&mut self, answer: PushAnswer, heard: u32) {
        let Some(flight) = self.flight.take() else {
            return;
        };
        let outcomes = match answer {
            Ok(answer) => answer.outcomes,
            Err(PushRefusal::EpochChanged { .. } | PushRefusal::MutationIdGap { .. }) => {
                return self.send_anew(flight);
            }
            Err(refusal) => panic!("a client that keeps the rules is never told {refusal:?}"),
        };
        for (edit, outcome) in flight.edits.iter().zip(&outcomes) {
            let failed = matches!(outcome.status, Status::Conflict | Status::Rejected);
            if edit.draft.is_create() && failed {
                self.drop_queue_of(edit);
            }
            if !flight.crossed_reset {
                self.settle(&flight, edit, outcome, heard);
            }
        }
    }

    /// It is proven that the push had no effect: its edits go under another client id.
    fn send_anew(&mut self, flight: Flight) {
        self.outbox.splice(..0, flight.edits);
        self.begin_client();
        self.epoch = None;
    }

    fn drop_queue_of(&mut self, create: &Edit) {
        let key = create.draft.key();
        let until = self
            .outbox
            .iter()
            .position(|edit| edit.draft.key() == key && edit.draft.is_create());
        let mut i = 0;
        self.outbox.retain(|edit| {
            i += 1;
            edit.draft.key() != key
                || edit.draft.base() != Some(0)
                || until.is_some_and(|until| i > until)
        });
    }

    fn settle(&mut self, flight: &Flight, edit: &Edit, outcome: &Outcome, heard: u32) {
        let id = outcome.id.clone();
        let held = self.held.get(&id).map_or(0, |held| held.version);
        let Some(entry) = &outcome.document else {
            let version = outcome.version.map_or(0, |version| version.0);
            if edit.draft.is_delete() && outcome.status == Status::Applied && held < version {
                self.held.remove(&id);
            }
            return;
        };
        let deleted = flight
            .deleted
            .get(&id)
            .is_some_and(|version| *version >= entry.version);
        let left = flight
            .left
            .get(&(id.clone(), entry.scope.clone()))
            .is_some_and(|version| *version > entry.version);
        if deleted
            || left
            || flight.revoked.contains(entry.scope.as_str())
            || held >= entry.version.0
        {
            return;
        }
        if let Some(body) = &entry.body {
            self.held
                .insert(id, holding(entry.version, &entry.scope, body, Some(heard)));
        }
    }
}

fn holding(
    version: Version,
    scope: &Scope,
    body: &Document,
    unconfirmed_since: Option<u32>,
) -> Held {
    Held {
        version: version.0,
        scope: scope.clone(),
        body: body.clone(),
        base: version.0,
        seen: true,
        unconfirmed_since,
    }
}
