//! Taking in pages: rules 1.1 to 1.4, and the part of 1.6, 1.7, 1.17 and 1.18 that pages play.

use std::collections::BTreeSet;

use tidegate_core::{
    change::BaseVersion,
    checkpoint::RequestedTypes,
    entry::Record,
    id::{DocumentKey, Epoch, Scope, TypeName, Version},
    value::Document,
};

use super::{Arrival, Client, Held, Page, Slip};

impl Client {
    /// The types that a pull begins again (1.17).
    pub fn refreshes(&mut self) -> BTreeSet<TypeName> {
        match self.slips(Slip::RefreshForgotten) {
            true => std::mem::take(&mut self.refresh),
            false => self.refresh.clone(),
        }
    }

    /// The scopes that a pull reads again (1.18).
    pub fn rereads(&mut self) -> BTreeSet<Scope> {
        match self.slips(Slip::RereadForgotten) {
            true => std::mem::take(&mut self.reread),
            false => self.reread.clone(),
        }
    }

    /// The app starts again. Its disk may have lost something meanwhile, so it begins to compare as if it never had
    /// (1.18).
    pub fn start(&mut self) {
        self.differing.clear();
        if !self.slips(Slip::DoubtKept) {
            self.doubted.clear();
        }
        self.must_compare = true;
    }

    /// Takes in a page, in one local transaction. A page that does not continue from the client's position is dropped:
    /// another reader was faster, and what lies between is in neither. Returns whether it was taken.
    pub fn apply(&mut self, arrival: Arrival) -> bool {
        if arrival.from != self.place && !self.slips(Slip::AnyPage) {
            return false;
        }
        let page = &arrival.page;
        self.turn_to(arrival.types);
        self.refresh
            .retain(|name| !arrival.refreshed.contains(name));
        self.reread.retain(|name| !arrival.reread.contains(name));
        // What is read again may come to its end by a subscription, whose pages are not compared.
        self.must_compare |= !arrival.reread.is_empty();
        if page.reset {
            self.begin_reset(page);
        }
        self.epoch = Some(page.epoch().clone());
        self.page_epoch = self.epoch.clone();
        for scope in &page.revoked {
            self.revoke(scope);
        }
        for item in &page.changes {
            self.take(&item.record);
        }
        self.place = Some(page.place.clone());
        self.note_begun(page);
        if !page.has_more {
            self.end(arrival.requested);
        }
        self.compare(page, arrival.requested);
        true
    }

    /// A page that begins a scope reads no further than to its head, so `start` is that head. A late snapshot lowers it.
    fn note_begun(&mut self, page: &Page) {
        let mut before = std::mem::take(&mut self.begun);
        if page.reset {
            before.clear();
        }
        for track in &page.place.checkpoint.tracks {
            for (scope, position) in &track.positions {
                for number in &track.types {
                    let place = (*number, scope.clone());
                    let begun = before.get(&place).copied().unwrap_or(position.start);
                    self.begun.insert(place, begun.min(position.start));
                }
            }
        }
    }

    /// From this page on it gets nothing of the types that it no longer asks for, so their documents go. Before, it
    /// could ask for them again with a checkpoint that has passed them.
    fn turn_to(&mut self, types: RequestedTypes) {
        self.held.retain(|key, _| types.contain(&key.type_name));
        self.page_types = types;
    }

    /// 1.4: all documents are unseen, and those still unseen in the end go.
    fn begin_reset(&mut self, page: &Page) {
        let other_epoch = self.page_epoch.as_ref() != Some(page.epoch());
        for held in self.held.values_mut() {
            held.seen = false;
            if other_epoch && !self.slip.is_some_and(|slip| slip == Slip::VersionsKept) {
                held.version = Version::NONE;
                held.base = BaseVersion::OTHER_EPOCH;
            }
        }
        self.resetting = true;
        if let Some(flight) = &mut self.flight {
            flight.crossed_reset = true;
        }
        if other_epoch && self.page_epoch.is_some() {
            self.begin_client();
        }
    }

    fn revoke(&mut self, scope: &Scope) {
        self.held.retain(|_, held| held.scope != *scope);
        if let Some(flight) = &mut self.flight {
            flight.revoked.insert(scope.clone());
        }
    }

    fn take(&mut self, record: &Record) {
        self.remember_removal(record);
        let (key, version) = (record.key(), record.version());
        if let Some(held) = self.held.get_mut(key) {
            if version <= held.version && !record.is_collectable() {
                held.seen = true;
                if version == held.version {
                    held.unconfirmed_since = None;
                    if let Record::Entry(entry) = record
                        && let Some(body) = &entry.body
                        && self.slip != Some(Slip::EqualIgnored)
                    {
                        held.body.clone_from(body);
                    }
                }
            }
            let anywhere =
                matches!(record, Record::Marker(_)) && self.slip == Some(Slip::RevokeAnywhere);
            if version <= held.version && self.slip != Some(Slip::VersionIgnored) && !anywhere {
                return;
            }
        }
        match record {
            Record::Entry(entry) if !entry.withheld => match &entry.body {
                Some(body) => self.hold(key, Held::new(version, &entry.scope, body)),
                None => drop(self.held.remove(key)),
            },
            revoke => {
                let leaves = |held: &Held| held.scope == *revoke.scope();
                if self.slips(Slip::RevokeAnywhere) || self.held.get(key).is_some_and(leaves) {
                    self.held.remove(key);
                }
            }
        }
    }

    /// 1.6: an answer under way may bring back a removed document.
    fn remember_removal(&mut self, record: &Record) {
        let Some(flight) = self.flight.as_mut().filter(|_| record.is_collectable()) else {
            return;
        };
        let key = record.key().clone();
        let removed = match record {
            Record::Entry(entry) if !entry.withheld => flight.deleted.entry(key).or_default(),
            revoke => flight
                .left
                .entry((key, revoke.scope().clone()))
                .or_default(),
        };
        *removed = record.version().max(*removed);
    }

    pub(super) fn hold(&mut self, key: &DocumentKey, held: Held) {
        self.held.insert(key.clone(), held);
    }

    /// There is nothing more to read. Documents that a reset left unseen go, and those that only outcomes brought and
    /// no pull confirmed.
    fn end(&mut self, requested: Option<u32>) {
        if self.resetting {
            self.differing.clear();
            self.doubted.clear();
        }
        let resetting = std::mem::take(&mut self.resetting) && !self.slips(Slip::UnseenStay);
        let confirms = |since: u32| requested.is_some_and(|requested| requested >= since);
        let keeps_unconfirmed = self.slips(Slip::UnconfirmedStay);
        self.held.retain(|_, held| {
            let unseen = resetting && !held.seen;
            let disproved = held.unconfirmed_since.is_some_and(confirms) && !keeps_unconfirmed;
            !unseen && !disproved
        });
        self.lingering
            .retain(|lingering| !confirms(lingering.heard));
    }

    /// 1.18: what differs is reported, and read again once. An answer that came after the request may be ahead of the
    /// page; then a later pull is compared.
    fn compare(&mut self, page: &Page, requested: Option<u32>) {
        self.equals = false;
        if page.has_more {
            return;
        }
        let is_behind = requested.is_none_or(|requested| requested < self.answered);
        if requested.is_some() {
            self.must_compare = is_behind && !self.slips(Slip::ComparisonForgotten);
        }
        if is_behind && !self.slips(Slip::DigestAtOnce) {
            return;
        }
        let kept: BTreeSet<Scope> = self.held.values().map(|held| held.scope.clone()).collect();
        let is_known = |scope: &Scope| kept.contains(scope) || page.digests.contains_key(scope);
        self.differing.retain(is_known);
        self.doubted.retain(is_known);
        for (scope, digest) in &page.digests {
            if self.digest(scope) == *digest {
                self.differing.remove(scope);
                self.doubted.remove(scope);
            } else {
                self.doubt(scope);
            }
        }
        let is_named = |scope: &Scope| page.digests.contains_key(scope);
        self.equals = self.differing.is_empty()
            && (kept.iter().all(is_named) || self.slips(Slip::UnnamedEqual));
    }

    fn doubt(&mut self, scope: &Scope) {
        if !self.slips(Slip::DifferenceUnsaid) {
            self.differing.insert(scope.clone());
        }
        let asks = self.doubted.insert(scope.clone()) || self.slips(Slip::RereadForEver);
        if asks && !self.slips(Slip::NeverReread) {
            self.reread.insert(scope.clone());
        }
    }

    /// Another history may have begun: it sends nothing before a pull.
    pub(super) fn forget_epoch(&mut self) {
        self.epoch = None;
    }

    /// The epoch in which it may push; none before its first page, and while it has to pull.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }
}

impl Held {
    pub(super) fn new(version: Version, scope: &Scope, body: &Document) -> Self {
        Self {
            version,
            scope: scope.clone(),
            body: body.clone(),
            base: BaseVersion(version.0),
            seen: true,
            unconfirmed_since: None,
        }
    }

    pub(super) fn by_outcome(self, heard: u32) -> Self {
        Self {
            unconfirmed_since: Some(heard),
            ..self
        }
    }

    /// Whether a pull requested then has named it, or should have removed it.
    pub fn should_be_confirmed(&self, requested: u32) -> bool {
        self.unconfirmed_since
            .is_none_or(|since| requested >= since)
    }

    /// Whether it goes when a pull ends, unless pages name it: a reset has left it unseen, or only an answer brought
    /// it.
    pub fn is_provisional(&self) -> bool {
        !self.seen || self.unconfirmed_since.is_some()
    }

    /// Whether the feed has named it.
    pub fn is_confirmed(&self) -> bool {
        self.unconfirmed_since.is_none()
    }
}
