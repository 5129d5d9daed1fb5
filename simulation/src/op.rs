//! What can happen, one thing at a time, as data: so a history can be told again, and cut down to what matters.
//!
//! An operation that makes no sense where it stands does nothing, or histories could not be cut.

use crate::random::Random;

/// One thing that happens. `device` and `gateway` count from 0 and wrap around; other numbers are chosen freely.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    /// A user creates or edits a document.
    Edit {
        device: u8,
        document: u8,
        what: u8,
        value: u8,
    },
    /// The device sends its next push.
    Send {
        device: u8,
        gateway: u8,
        count: u8,
        atomic: bool,
        policy: u8,
        lost: bool,
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
    /// The page arrives.
    Arrive { device: u8 },
    /// The page gets lost.
    LosePage { device: u8 },
    /// The device pulls until there is no more.
    PullAll { device: u8, gateway: u8, limit: u8 },
    /// It subscribes.
    Subscribe { device: u8, gateway: u8, limit: u8 },
    /// It takes a page from its subscription.
    Listen { device: u8 },
    /// Its connection breaks.
    HangUp { device: u8 },
    /// It asks for other types from now on.
    Types { device: u8, what: u8 },
    /// The next token of a user names one team more or less.
    Token { user: u8, team: u8 },
    /// A membership begins or ends.
    Member { user: u8, team: u8, what: u8 },
    /// Somebody without a client id edits.
    Stranger { document: u8, what: u8, value: u8 },
    /// A client that waits for no answer sends two pushes.
    Hurry,
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
    /// It answers one of those calls, or fails it.
    Release { nth: u8, fails: bool },
    /// A gateway is not told what is committed,
    Lag { gateway: u8 },
    /// or is told some of it,
    CatchUp { gateway: u8, events: u8 },
    /// or loses what it was not told.
    Restart { gateway: u8 },
    /// The next transaction has to run twice.
    RunTwice,
    /// So long passes that requests are given up.
    Wait,
}

impl Op {
    /// Something that may well happen next.
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut number = || u8::try_from(random.below(256)).expect("it is below 256");
        let (device, gateway, limit) = (number(), number(), number());
        let (document, what, value, nth) = (number(), number(), number(), number());
        let (user, team, policy) = (number(), number(), number());
        let (count, calls, ticks, events) =
            (number() % 3 + 1, number() % 12, number() % 30, number() % 3);
        let (lost, again, fails, atomic) =
            (number() < 40, number() < 40, number() < 60, number() < 60);
        match random.below(140) {
            0..28 => Self::Edit {
                device,
                document,
                what,
                value,
            },
            28..44 => Self::Send {
                device,
                gateway,
                count,
                atomic,
                policy,
                lost,
            },
            44..49 => Self::Retry { device, gateway },
            49..51 => Self::Replay {
                device,
                gateway,
                nth,
            },
            51..65 => Self::Hear { device, nth, again },
            65 => Self::LoseAnswers { device },
            66..74 => Self::Pull {
                device,
                gateway,
                limit,
            },
            74..82 => Self::Arrive { device },
            82 => Self::LosePage { device },
            83..90 => Self::PullAll {
                device,
                gateway,
                limit,
            },
            90..94 => Self::Subscribe {
                device,
                gateway,
                limit,
            },
            94..105 => Self::Listen { device },
            105 => Self::HangUp { device },
            106 => Self::Types { device, what },
            107..109 => Self::Token { user, team },
            109..112 => Self::Member { user, team, what },
            112..114 => Self::Stranger {
                document,
                what,
                value,
            },
            114..118 => Self::Collect { ticks },
            118 => Self::Rotate,
            119 => Self::Backup,
            120 => Self::Restore,
            121 => Self::Crash { gateway },
            122..128 => Self::Hold { calls },
            128..133 => Self::Release { nth, fails },
            133 => Self::Lag { gateway },
            134..136 => Self::CatchUp { gateway, events },
            136 => Self::Restart { gateway },
            137 => Self::RunTwice,
            138 => Self::Hurry,
            _ => Self::Wait,
        }
    }
}
