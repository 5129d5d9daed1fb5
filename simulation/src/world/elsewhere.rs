//! Another service that writes past the gateways, and what they take over of it (rules.md 4.6).

use std::time::Duration;

use tidegate_core::{
    change::{Action, BaseVersion},
    id::DocumentKey,
};

use super::{GIVEN_UP, World, hand::Hand};
use crate::{
    oracle::{self, Judged, Known, Property, expect},
    people::{Edition, USERS},
};

/// Longer than the event of a write and an importer's pauses take.
const IMPORTED: Duration = Duration::from_secs(3);

/// Longer than a lease lasts.
const LEASE_PASSES: Duration = Duration::from_secs(9);

/// How often an operator waits for the importer at the end.
const ROUNDS_MAX: usize = 20;

/// How work of a gateway on a document is disturbed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disturbance {
    /// The calls of the store before the one that does not answer.
    pub(super) calls: u8,
    pub(super) document: u8,
    pub(super) what: u8,
    pub(super) value: u8,
}

impl World {
    /// The service edits the document as it last wrote it, or as the gateways did since.
    pub(super) fn write_elsewhere(&mut self, key: &DocumentKey, what: u8, value: u8) {
        let standing = self.store.document(key);
        let hand = Hand {
            number: self.next_number(Known::NOTHING),
            user: USERS[usize::from(value) % USERS.len()],
            // It knows the fields of both models.
            knows: self.knows(Edition::B),
            makes_cold: value.is_multiple_of(2),
            fills: true,
            what,
            value,
        };
        let made = match hand.acts(key, standing.as_ref(), BaseVersion(0)) {
            Action::Create { document, .. } => Some(document),
            Action::Delete { .. } => None,
            Action::Update { set, .. } => standing.map(|mut body| {
                body.extend(set);
                body
            }),
        };
        self.store.write_elsewhere(key, made);
    }

    /// The importer is disturbed in its work on another service's write, whose event may be lost: a call of the store
    /// does not answer, perhaps until another gateway has the lease. Meanwhile a document is written once more, and then
    /// the call answers, fails, or its gateway dies.
    pub(super) async fn interrupt(&mut self, disturbance: Disturbance, loses: bool) -> Judged {
        let Disturbance {
            calls,
            document,
            what,
            value,
        } = disturbance;
        let key = self.document(document);
        self.write_elsewhere(&key, what, value);
        if loses {
            self.store.lose_history();
        }
        self.store.hold_importer_after(calls);
        self.pass_time(IMPORTED).await?;
        let held = self.store.last_held();
        if what.is_multiple_of(3) {
            self.pass_time(LEASE_PASSES).await?;
        }
        match value % 4 {
            0 => {
                self.edit_as_stranger(document, what / 2, value / 4);
                self.settle().await?;
            }
            1 => {
                let other = self.document(value / 4);
                self.write_elsewhere(&other, what / 2, value);
            }
            _ => self.write_elsewhere(&key, what / 2, value),
        }
        match what % 4 {
            0 => self.store.release(usize::MAX, true),
            1 => held.into_iter().for_each(|gateway| self.crash(gateway)),
            _ => {}
        }
        self.store.release_all();
        self.settle().await
    }

    /// A type of documents that people edit.
    pub(super) fn drop_collection(&self, document: u8) {
        self.store
            .drop_collection(&self.document(document).type_name);
    }

    pub(super) async fn pass_time(&mut self, time: Duration) -> Judged {
        tokio::time::sleep(time).await;
        self.settle().await
    }

    /// Operators bring back what was dropped, or say that it is deleted, until the collections and the feed agree.
    pub(super) async fn import_all(&mut self) -> Judged {
        if self.tick.is_multiple_of(2) {
            self.store.bring_back();
        }
        for _ in 0..ROUNDS_MAX {
            if self.store.is_imported() {
                return Ok(());
            }
            self.pass_time(GIVEN_UP).await?;
            self.store.accept_deletes();
        }
        expect(false, Property::Stamped, || {
            format!("{:?} were never stamped", self.store.unstamped())
        })
    }

    /// Enters what the commits have taken over since the last call. After each of them values are unique.
    pub(super) fn note_imports(&mut self) -> Judged {
        let from = std::mem::replace(&mut self.noted, self.store.moment());
        let imports = self.store.look(|moments| {
            let pairs = moments[from..].windows(2);
            let imports = pairs.map(|pair| {
                oracle::judge_unique(&pair[1].state)?;
                oracle::imports(self.rule, &pair[0], &pair[1])
            });
            imports.collect::<Result<Vec<_>, _>>()
        })?;
        for import in imports.into_iter().flatten() {
            let number = self.next_number(Known::NOTHING);
            self.ledger.enter_import(number, import)?;
        }
        Ok(())
    }
}
