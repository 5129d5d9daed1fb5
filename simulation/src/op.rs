//! What can happen, one thing at a time, as data, so that a history can be run again and shortened.
//!
//! An operation that makes no sense in its place does nothing. Otherwise histories could not be shortened.

mod mix;
mod scenes;

pub(crate) use self::{
    mix::Mix,
    scenes::{scene, scene_of_harm, scene_of_lists, scene_of_uniques},
};
use crate::people::Edition;

/// The most changes of a push.
pub(crate) const PUSH_CHANGES_MAX: usize = 3;

/// One event. `device` and `gateway` count from 0 and wrap around. Other numbers are chosen freely.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    /// A user creates or edits a document.
    Edit {
        device: u8,
        document: u8,
        what: u8,
        value: u8,
    },
    /// A user creates the first order, edits one of its lists, or deletes it.
    EditOrder { device: u8, what: u8, value: u8 },
    /// A user creates one of the orders, gives it a number or a slot that another one may have, moves it, or deletes it.
    Claim {
        device: u8,
        order: u8,
        what: u8,
        value: u8,
    },
    /// A user does so to one of the orders and gives numbers to the next ones, in one transaction.
    ClaimTogether {
        device: u8,
        order: u8,
        what: u8,
        value: u8,
    },
    /// The device sends its next push.
    Send {
        device: u8,
        gateway: u8,
        count: u8,
        lost: bool,
    },
    /// A user edits some documents in one transaction.
    Transact {
        device: u8,
        document: u8,
        what: u8,
        value: u8,
    },
    /// The next copy of a push of the device is refused on its way, as too large.
    Block { device: u8 },
    /// A push does not fit, and goes in parts or is refused. Then its first copy arrives where it fits.
    Split {
        device: u8,
        document: u8,
        what: u8,
        value: u8,
    },
    /// It sends the push under way once more.
    Retry { device: u8, gateway: u8 },
    /// The network delivers some earlier push once more.
    Replay { device: u8, gateway: u8, nth: u8 },
    /// An answer arrives at the device, not necessarily the oldest.
    Hear { device: u8, nth: u8, again: bool },
    /// The answers on their way get lost.
    LoseAnswers { device: u8 },
    /// The device asks for a page.
    Pull { device: u8, gateway: u8, limit: u8 },
    /// A page arrives at the device, not necessarily the oldest.
    Arrive { device: u8, nth: u8, again: bool },
    /// The pages on their way get lost.
    LosePages { device: u8 },
    /// The device pulls until there is no more.
    PullAll { device: u8, gateway: u8, limit: u8 },
    /// It subscribes.
    Subscribe { device: u8, gateway: u8, limit: u8 },
    /// It takes a page from its subscription.
    Listen { device: u8 },
    /// The disk of a device loses a document, or gives an earlier version of it. The app may have ended before, and then
    /// starts again.
    Harm {
        device: u8,
        nth: u8,
        goes_back: bool,
        starts: bool,
    },
    /// Its connection breaks.
    HangUp { device: u8 },
    /// It asks for other types from now on.
    Types { device: u8, what: u8 },
    /// The next token of a user names one team more or less.
    Token { user: u8, team: u8 },
    /// A membership begins or ends.
    Member { user: u8, team: u8, what: u8 },
    /// A user without a client id edits.
    Stranger { document: u8, what: u8, value: u8 },
    /// A client that waits for no answer sends two pushes.
    Hurry,
    /// A user tries one change of a document that only its author may change, and sends more stale changes of another one
    /// than the inbox keeps.
    Flood { user: u8 },
    /// A user unknown to all others pushes from more clients than the gateway remembers of one user.
    Crowd,
    /// A user declines what the administrator gives, or accepts it again.
    Decline { user: u8, decline: bool },
    /// Another service writes a document, past the gateways.
    Foreign { document: u8, what: u8, value: u8 },
    /// Another service does to the first order what users do, and puts into items what no model names.
    ForeignOrder { what: u8, value: u8 },
    /// Another service gives one of the orders a number or a slot that another one may have, moves it, or deletes it.
    ForeignClaim { order: u8, what: u8, value: u8 },
    /// Another service writes a document, whose event may be lost. The importer's call after so many others does not
    /// answer. Meanwhile a document is written once more.
    Interrupt {
        calls: u8,
        loses: bool,
        document: u8,
        what: u8,
        value: u8,
    },
    /// The collection of a document is dropped.
    Drop { document: u8 },
    /// The collections that were dropped come back, with their documents.
    BringBack,
    /// An operator says that what is missing of held types is deleted.
    AcceptDeletes,
    /// Some seconds pass.
    Pause { seconds: u8 },
    /// A page arrives before the answer to a push, and so does another user's write to the document.
    Overtake {
        device: u8,
        gateway: u8,
        document: u8,
        what: u8,
        value: u8,
    },
    /// Tombstones and markers older than so many ticks are collected.
    Collect { ticks: u8 },
    /// A new epoch begins.
    Rotate,
    /// The store is backed up.
    Backup,
    /// The backup is put back.
    Restore,
    /// A gateway dies, and another takes its place.
    Crash { gateway: u8 },
    /// The store does not answer the call after so many others.
    Hold { calls: u8 },
    /// A page is asked for, or a subscription begins, and the store does not answer the call after so many others.
    /// Before it answers, a user may edit a document, or all that is deleted may be collected.
    Stall {
        device: u8,
        gateway: u8,
        calls: u8,
        live: bool,
        meanwhile: u8,
        value: u8,
    },
    /// It answers one of those calls, or fails it.
    Release { nth: u8, fails: bool },
    /// A gateway gets no reports of commits.
    Lag { gateway: u8 },
    /// It gets some of the missing reports.
    CatchUp { gateway: u8, events: u8 },
    /// It loses the missing reports, and one edit of a user.
    Restart { gateway: u8, value: u8 },
    /// The next transaction has to run twice.
    RunTwice,
    /// So much time passes that requests are given up.
    Wait,
    /// A gateway is stopped and started with one of the two models, or all are.
    Deploy { gateway: u8, edition: Edition },
    /// The app of a device is updated: it knows what only model B has, and asks for it.
    Update { device: u8 },
    /// A gateway with one of the two models leads for as long as a device reads from it. Importers stand still
    /// meanwhile. Then the gateway has its former model again.
    Visit {
        device: u8,
        gateway: u8,
        edition: Edition,
        limit: u8,
    },
    /// A gateway is started with one of the two models while the store does not answer a call of an importer, or of a
    /// push. Then it answers.
    Supersede {
        calls: u8,
        gateway: u8,
        edition: Edition,
        document: u8,
        what: u8,
        value: u8,
    },
}

impl Op {
    /// Whether traces can have it. They have no orders, and clients whose disks fail are in those written by hand.
    pub(crate) fn is_of_traces(&self) -> bool {
        !matches!(
            self,
            Self::EditOrder { .. }
                | Self::ForeignOrder { .. }
                | Self::Claim { .. }
                | Self::ClaimTogether { .. }
                | Self::ForeignClaim { .. }
                | Self::Harm { .. }
        )
    }

    /// Whether it matters to a client. Others matter to gateways, stores and importers.
    pub(crate) fn concerns_clients(&self) -> bool {
        matches!(
            self,
            Self::Edit { .. }
                | Self::Send { .. }
                | Self::Transact { .. }
                | Self::Block { .. }
                | Self::Split { .. }
                | Self::Retry { .. }
                | Self::Replay { .. }
                | Self::Hear { .. }
                | Self::LoseAnswers { .. }
                | Self::Pull { .. }
                | Self::Arrive { .. }
                | Self::LosePages { .. }
                | Self::PullAll { .. }
                | Self::Subscribe { .. }
                | Self::Listen { .. }
                | Self::HangUp { .. }
                | Self::Types { .. }
                | Self::Token { .. }
                | Self::Member { .. }
                | Self::Stranger { .. }
                | Self::Collect { .. }
                | Self::Rotate
                | Self::Backup
                | Self::Restore
                | Self::Overtake { .. }
        )
    }
}
