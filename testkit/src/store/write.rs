//! What a commit writes.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_core::{
    digest::SumChanges,
    entry::{FeedItem, Record},
    id::{Scope, ScopeNumber, Seq},
    inbox::InboxRecord,
    transaction::Writes,
};

use super::State;

impl State {
    /// Writes what was decided; returns the feed writes.
    pub fn write(&mut self, writes: &Writes) -> Vec<FeedItem> {
        let items = self.write_feed(writes);
        self.clients.extend(writes.clients.iter().cloned());
        for key in &writes.clients_removed {
            self.clients.remove(key);
        }
        for (user, change) in &writes.users {
            let state = self.users.entry(user.clone()).or_default();
            state.stamp += 1;
            if let Some(declined) = &change.declined {
                state.declined.clone_from(declined);
            }
        }
        self.write_inbox(writes);
        for (key, misfit) in &writes.misfits {
            match misfit {
                Some(_) => drop(self.misfits.insert(key.clone())),
                None => drop(self.misfits.remove(key)),
            }
        }
        for item in &writes.collected {
            self.remove(item);
        }
        for (scope, floor) in &writes.floors {
            let state = self.scopes.entry(scope.clone()).or_default();
            state.floor = state.floor.max(*floor);
            self.number(scope.clone());
        }
        self.version_floor = writes.version_floor.unwrap_or(self.version_floor);
        if let Some(epoch) = &writes.epoch {
            self.epoch = epoch.clone();
        }
        items
    }

    fn number(&mut self, scope: Scope) {
        let last = self.scopes.values().filter_map(|state| state.number).max();
        let next = last.map_or(1, |ScopeNumber(last)| last + 1);
        let state = self.scopes.entry(scope).or_default();
        state.number.get_or_insert(ScopeNumber(next));
    }

    fn write_feed(&mut self, writes: &Writes) -> Vec<FeedItem> {
        let head = |scope: Scope| {
            let head = self.scope(&scope).head;
            (scope, head)
        };
        let mut heads: BTreeMap<Scope, Seq> = writes.scopes().into_iter().map(head).collect();
        let items = writes.assign_seqs(&mut heads);
        let changes = SumChanges::of(writes, |key| self.entry(key).map(Arc::as_ref));
        for (scope, head) in heads {
            self.scopes.entry(scope.clone()).or_default().head = head;
            let sums = self.sums.entry(scope.clone()).or_default();
            changes.apply(&scope, sums);
            self.number(scope);
        }
        for key in &writes.markers_removed {
            self.markers.remove(key);
        }
        for FeedItem { seq, record } in items.iter().cloned() {
            match record {
                Record::Entry(entry) => {
                    // A withheld document stays as others made it.
                    if !entry.withheld {
                        self.foreign.remove(&entry.key);
                    }
                    self.entries.insert(entry.key.clone(), (seq, entry));
                }
                Record::Marker(marker) => {
                    let place = (marker.scope.clone(), marker.key.clone());
                    self.markers.insert(place, (seq, marker));
                }
            }
        }
        items
    }

    /// Open conflicts move with their document.
    fn write_inbox(&mut self, writes: &Writes) {
        for (key, scope) in writes.moves() {
            for record in self.inbox.values_mut() {
                if let InboxRecord::Open(open) = record
                    && open.key == *key
                {
                    Arc::make_mut(open).scope = scope.clone();
                }
            }
        }
        for record in &writes.inbox {
            self.inbox.insert(record.id().clone(), record.clone());
        }
        let removed = writes.resolutions_removed.iter();
        for id in removed.chain(&writes.conflicts_removed) {
            self.inbox.remove(id);
        }
    }

    /// Removes exactly this record. A newer one stays.
    fn remove(&mut self, item: &FeedItem) {
        let key = item.record.key().clone();
        match &item.record {
            Record::Entry(_) => {
                if self.entries.get(&key).is_some_and(|it| it.0 == item.seq) {
                    self.entries.remove(&key);
                }
            }
            Record::Marker(marker) => {
                let place = (marker.scope.clone(), key);
                if self.markers.get(&place).is_some_and(|it| it.0 == item.seq) {
                    self.markers.remove(&place);
                }
            }
        }
    }
}
