//! Which edits took effect, and whether each was right to, judged by what its user knew when it was made.
//!
//! The answers report a version of a document as one edit. The store's own account must agree.

mod document;
mod items;
mod policies;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    change::{Action, BaseVersion, Change, Rejection},
    id::{ClientKey, DocumentKey, MutationId, Version},
    model::{Model, Policy},
    outcome::{FieldOutcome, Status},
    push::Outcome,
};
use tidegate_testkit::store::State;

use self::document::Account;
use super::{Judged, Property, expect, imports::Import};
use crate::people::Edition;

/// What was known when an edit was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// The device it was made on; it knows all edits made on it before.
    pub(crate) device: Option<usize>,
    /// The version of the document that the device held: it knows all up to it.
    pub(crate) synced: Version,
    /// The unanswered create of its own device that it is an edit of.
    pub(crate) of_create: Option<u32>,
}

impl Known {
    /// For an edit by a user who has seen nothing.
    pub(crate) const NOTHING: Self = Self {
        device: None,
        synced: Version::NONE,
        of_create: None,
    };
}

/// How an edit was sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) number: u32,
    pub(crate) change: Change,
    pub(crate) known: Known,
    pub(crate) by: Option<ClientKey>,
    pub(crate) mutation: Option<MutationId>,
    pub(crate) policy: Option<Policy>,
    /// The model of the gateway that answers.
    pub(crate) gateway: Edition,
    /// Whether its conflict has nothing to do with the document: its push was atomic, or the create that it was queued
    /// on failed (4.3 and 4.5).
    pub(crate) excused: bool,
    /// Whether it ends a document that was withheld, and so shown to nobody.
    pub(crate) is_of_withheld: bool,
}

/// An edit and its outcome.
#[derive(Debug, Clone)]
struct Line {
    sent: Sent,
    status: Status,
    version: Version,
    /// Only the first answer has it.
    fields: Option<Vec<FieldOutcome>>,
    first_answer: bool,
}

impl Line {
    /// Whether it may be a create that found the document exactly as it would have made it.
    fn kept(&self) -> bool {
        self.sent.is_create() && self.status == Status::Applied
    }
}

/// The edits of the store's present history.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    applied: BTreeMap<DocumentKey, Vec<Line>>,
    conflicts: Vec<Line>,
    /// Creates without effect.
    failed: BTreeSet<u32>,
    /// Tombstones that were collected. A create after that knows everything.
    collected: BTreeSet<(DocumentKey, Version)>,
}

impl Ledger {
    /// Enters the outcome of an edit.
    pub(crate) fn enter(&mut self, sent: Sent, outcome: &Outcome, duplicate: bool) -> Judged {
        if sent.is_create() && took(outcome) {
            self.failed.remove(&sent.number);
        } else if sent.is_create() {
            self.failed.insert(sent.number);
        }
        let meant = sent
            .known
            .of_create
            .is_none_or(|create| !self.failed.contains(&create));
        let edits = took(outcome) && !sent.is_create();
        expect(meant || !edits, Property::Meant, || {
            format!("{sent:?} edited another document: {outcome:?}")
        })?;
        let Some(version) = outcome.version else {
            let text = || format!("no version with {outcome:?}");
            return expect(!took(outcome), Property::ExactlyOnce, text);
        };
        let line = Line {
            sent,
            status: outcome.status,
            version,
            fields: outcome.conflict.clone(),
            first_answer: !duplicate,
        };
        match outcome.status {
            Status::Applied | Status::Merged => self.apply(line),
            Status::Conflict => {
                if line.first_answer && !line.sent.excused {
                    self.conflicts.push(line);
                }
                Ok(())
            }
            Status::Rejected => judge_rejection(&line.sent, outcome.error.as_ref()),
        }
    }

    /// Enters another service's edit, which no answer reports.
    pub(crate) fn enter_import(&mut self, number: u32, import: Import) -> Judged {
        self.apply(Line {
            sent: Sent {
                number,
                change: Change {
                    key: import.key,
                    action: import.action,
                    changed_at: None,
                },
                known: Known {
                    synced: import.synced,
                    ..Known::NOTHING
                },
                by: None,
                mutation: None,
                policy: None,
                gateway: import.gateway,
                excused: false,
                is_of_withheld: import.is_of_withheld,
            },
            status: Status::Applied,
            version: import.version,
            fields: None,
            first_answer: true,
        })
    }

    fn apply(&mut self, line: Line) -> Judged {
        let lines = self
            .applied
            .entry(line.sent.change.key.clone())
            .or_default();
        let known = lines
            .iter_mut()
            .find(|other| other.sent.number == line.sent.number);
        let Some(known) = known else {
            lines.push(line);
            return Ok(());
        };
        let once = known.version == line.version && !(known.first_answer && line.first_answer);
        expect(once, Property::ExactlyOnce, || {
            format!(
                "{:?} was applied as {} and as {}",
                line.sent, known.version, line.version
            )
        })?;
        if line.first_answer {
            *known = line;
        }
        Ok(())
    }

    /// The version that an edit of a document has made.
    pub(crate) fn version_of(&self, key: &DocumentKey, number: u32) -> Option<Version> {
        let mut lines = self.applied.get(key)?.iter();
        let line = lines.find(|line| line.sent.number == number)?;
        Some(line.version)
    }

    /// Of each transaction all edits took effect or none.
    pub(crate) fn judge_transactions(&self, transactions: &[Vec<u32>]) -> Judged {
        let lines = self.applied.values().flatten();
        let applied: BTreeSet<u32> = lines.map(|line| line.sent.number).collect();
        for edits in transactions {
            let in_force = edits.iter().filter(|it| applied.contains(it)).count();
            expect(
                in_force == 0 || in_force == edits.len(),
                Property::Whole,
                || format!("{in_force} of the transaction of {edits:?} are in force"),
            )?;
        }
        Ok(())
    }

    /// Remembers which tombstones were collected.
    pub(crate) fn collect(&mut self, before: &State, after: &State) {
        for entry in before
            .entries()
            .filter(|entry| after.entry(&entry.key).is_none())
        {
            self.collected.insert((entry.key.clone(), entry.version));
        }
    }

    /// The ledger of a restored state: edits of this ledger that the state holds stay, even if they were reported
    /// later.
    pub(crate) fn restored(self, earlier: Self, state: &State) -> Self {
        let mut ledger = earlier;
        let lines = self.applied.into_values().flatten();
        for line in lines.filter(|line| line.sent.is_in(state)) {
            let known = ledger
                .applied
                .entry(line.sent.change.key.clone())
                .or_default();
            if known
                .iter()
                .all(|other| other.sent.number != line.sent.number)
            {
                known.push(line);
            }
        }
        ledger
    }

    /// Judges all edits, and compares them with the store, now that all of them are answered.
    pub(crate) fn judge(&self, model: &Model, state: &State) -> Judged {
        for (key, lines) in &self.applied {
            let mut account = Account::new(model, key, &self.collected);
            let mut conflicts: Vec<&Line> = self
                .conflicts
                .iter()
                .filter(|line| line.sent.change.key == *key)
                .collect();
            conflicts.sort_by_key(|line| line.version);
            let mut conflicts = conflicts.into_iter().peekable();
            for line in in_order(lines) {
                while let Some(met) = conflicts.next_if(|met| met.version < line.version) {
                    account.meet(met)?;
                }
                account.enter(line)?;
            }
            for met in conflicts {
                account.meet(met)?;
            }
            account.compare(state)?;
        }
        let accounted = |key: &DocumentKey| self.applied.contains_key(key);
        let unknown = state.entries().find(|entry| !accounted(&entry.key));
        expect(unknown.is_none(), Property::ExactlyOnce, || {
            format!("nobody made {unknown:?}")
        })
    }
}

/// The edits by the versions they made; creates that made none come after the one that did.
fn in_order(lines: &[Line]) -> Vec<&Line> {
    let mut lines: Vec<&Line> = lines.iter().collect();
    lines.sort_by_key(|line| (line.version, line.kept(), line.sent.number));
    lines
}

/// Whether the change is applied.
pub(crate) fn took(outcome: &Outcome) -> bool {
    matches!(outcome.status, Status::Applied | Status::Merged)
}

/// A client that follows the rules never names a version that did not exist.
fn judge_rejection(sent: &Sent, error: Option<&Rejection>) -> Judged {
    let name = error.map(|error| error.code.name());
    let honest = sent.by.is_none() || name != Some("VERSION_UNKNOWN");
    expect(honest, Property::NoFalseConflict, || {
        format!("{sent:?}: {error:?}")
    })
}

impl Sent {
    pub(crate) fn is_create(&self) -> bool {
        matches!(self.change.action, Action::Create { .. })
    }

    /// Whether the state holds it for its client.
    fn is_in(&self, state: &State) -> bool {
        let client = self.by.as_ref().and_then(|by| state.client(by));
        client.is_some_and(|client| {
            self.mutation
                .is_some_and(|mutation| mutation <= client.last)
        })
    }

    fn base(&self) -> Option<BaseVersion> {
        match self.change.action {
            Action::Create { .. } => None,
            Action::Update { base, .. } | Action::Delete { base } => Some(base),
        }
    }

    /// Whether its user knew of that edit.
    fn knows(&self, line: &Line) -> bool {
        line.version <= self.known.synced || self.follows(&line.sent)
    }

    /// Whether it was made after that edit, on the same device.
    fn follows(&self, other: &Sent) -> bool {
        let device = self.known.device;
        device.is_some() && device == other.known.device && other.number < self.number
    }
}
