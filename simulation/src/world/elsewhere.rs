//! Another service that writes past the gateways, and what they take over of it (rules.md 4.6).

use tidegate_core::{
    change::{Action, BaseVersion},
    transaction::ForeignState,
};

use super::{World, edits::Hand};
use crate::{
    oracle::{self, Judged, Known},
    people::{self, USERS},
};

impl World {
    /// The service edits the document as it last wrote it, or as the gateways did since.
    pub(super) fn write_elsewhere(&mut self, document: u8, what: u8, value: u8) {
        let (key, state) = (people::document(document), self.store.now());
        let stored = state.entry(&key).and_then(|entry| entry.body.clone());
        let standing = match state.foreign.get(&key) {
            Some(ForeignState::Document(body)) => Some(body.clone()),
            Some(_) => None,
            None => stored.clone(),
        };
        let hand = Hand {
            number: self.next_number(Known::NOTHING),
            user: USERS[usize::from(value) % USERS.len()],
            what,
            value,
        };
        let made = match hand.acts(&key, standing.as_ref(), BaseVersion(0)) {
            Action::Create { document, .. } => Some(document),
            Action::Delete { .. } => None,
            Action::Update { set, .. } => standing.map(|mut body| {
                body.extend(set);
                body
            }),
        };
        // A store reports only what differs from the entry.
        let differs = made != stored;
        let made = made.map_or(ForeignState::Gone, ForeignState::Document);
        self.store.write_elsewhere(&key, differs.then_some(made));
    }

    /// Enters what the commits have taken over since the last call.
    pub(super) fn note_imports(&mut self) -> Judged {
        let from = std::mem::replace(&mut self.noted, self.store.moment());
        let imports = self.store.look(|moments| {
            let pairs = moments[from..].windows(2);
            let imports = pairs.map(|pair| oracle::imports(&pair[0].state, &pair[1]));
            imports.collect::<Result<Vec<_>, _>>()
        })?;
        for import in imports.into_iter().flatten() {
            let number = self.next_number(Known::NOTHING);
            self.ledger.enter_import(number, import)?;
        }
        Ok(())
    }
}
