//! What must be true of every history, in the words of the promises (rules.md, section 7).
//!
//! Pages, answers and clients are checked here. [`ledger`] judges the causes of each applied change, once a history has
//! come to rest.

mod checkpoints;
mod comparisons;
mod holdings;
mod imports;
mod ledger;
mod sight;
mod uniques;
mod unnamed;

use std::fmt;

pub(crate) use self::{
    checkpoints::{is_continuous, judge_monotone, judge_no_past},
    comparisons::Compared,
    holdings::{Reader, judge_end, judge_no_gap, judge_no_regress, judge_own_writes, judge_placed},
    imports::{entry_of, imports},
    ledger::{Known, Ledger, Sent, took},
    sight::Sight,
    uniques::{holder_of, judge_not_unique, judge_unique},
};
use crate::store::Moment;

/// A promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// All clients of a scope equal the store in the end, and a first sync gives the same.
    Convergence,
    /// No edit takes effect twice, and none that was acknowledged is missing.
    ExactlyOnce,
    /// No acknowledged change is undone by one that did not know of it, except by the policy.
    NothingLost,
    /// No client conflicts with an edit that it knew of, least of all with its own queue.
    NoFalseConflict,
    /// Counters are exact, sets hold each token once, and documents hold what outcomes reported.
    Exact,
    /// No edit brings a deleted document back.
    NoRevival,
    /// No page or answer shows an ungranted scope, and no write enters one.
    Isolation,
    /// No user changes what its roles do not allow.
    Allowed,
    /// Seqs are unique, gap-free, and in the order of commits.
    Order,
    /// No silent gap: the client knows what its checkpoint has passed.
    NoGap,
    /// A client that begins a scope gets nothing that was removed there before.
    NoPast,
    /// Checkpoints never go back.
    Monotone,
    /// Every sync ends, and every push is settled.
    Ends,
    /// `reset` where continuity is broken, and nowhere else.
    Reset,
    /// A user's own acknowledged writes stay in view, and nothing that a client holds gets older.
    OwnWrites,
    /// When a pull ends, the client holds what its user could see at one moment since the last page was asked for.
    Snapshot,
    /// No edit lands on another document than the one that it was made on.
    Meant,
    /// A store's file holds what was committed, and nothing else.
    Stored,
    /// The gateway with the lease, and no other, stamps what others wrote, as it is and as nobody's. In the end nothing
    /// differs from the feed.
    Stamped,
    /// No document is deleted because its collection may have lost it.
    Kept,
    /// What one user causes stays within its bounds, and takes no room of another user.
    Bounded,
    /// No gateway changes what its model does not name, and in lists it stays with its item.
    Unnamed,
    /// No two documents that are shown have a value that is unique. A change is refused for a value, and another service's
    /// document is withheld for one, only if another document has it.
    Unique,
    /// A document is in the scope that the model in force gives it. One that is not yet is not shown by a gateway of that
    /// model.
    Placed,
    /// A model takes the lead only when no later one was served for a minute.
    Led,
    /// Each edit waits, or has one outcome, and that is true.
    Accounted,
    /// A transaction takes effect whole or not at all.
    Whole,
    /// The digests of a page are those of what its reader then holds, unless its disk has failed.
    Equal,
    /// A device whose disk has lost something reports it, and equals the server within a few pulls after its next start.
    Mended,
    /// Nothing panics.
    NoPanic,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// How it showed.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.property, self.text)
    }
}

pub(crate) type Judged = Result<(), Violation>;

/// Judges one thing.
pub(crate) fn expect(holds: bool, property: Property, text: impl FnOnce() -> String) -> Judged {
    if holds {
        return Ok(());
    }
    let text = text();
    Err(Violation { property, text })
}

/// Each scope's seqs, over all feed writes between two moments.
pub(crate) fn judge_order(moments: &[Moment]) -> Judged {
    for pair in moments.windows(2) {
        let (before, after) = (&pair[0].state, &pair[1]);
        let mut heads = before.scopes.clone();
        for item in &after.written {
            let state = heads.entry(item.record.scope().clone()).or_default();
            expect(item.seq == state.head.next(), Property::Order, || {
                format!("{item:?} follows {:?}", state.head)
            })?;
            state.head = item.seq;
        }
        let right = heads
            .iter()
            .all(|(scope, state)| after.state.scope(scope).head == state.head);
        expect(right || after.written.is_empty(), Property::Order, || {
            format!("heads are not those of {:?}", after.written)
        })?;
    }
    Ok(())
}
