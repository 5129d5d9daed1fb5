//! What can happen, one thing at a time, as data, so that a history can be run again and shortened.
//!
//! An operation that makes no sense in its place does nothing. Otherwise histories could not be shortened.

use tidegate_testkit::Random;

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
    /// A user sends more stale changes of one document than the inbox keeps.
    Flood { user: u8 },
    /// A user unknown to all others pushes from more clients than the gateway remembers of one user.
    Crowd,
    /// A user declines what the administrator gives, or accepts it again.
    Decline { user: u8, decline: bool },
    /// Another service writes a document, past the gateways.
    Foreign { document: u8, what: u8, value: u8 },
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

/// What can happen, how often it does in an ordinary history, and whether histories without it are useful.
const KINDS: [Kind; 44] = [
    kind(28, true, |draw| Op::Edit {
        device: draw.byte(),
        document: draw.byte(),
        what: draw.byte(),
        value: draw.byte(),
    }),
    kind(16, true, |draw| Op::Send {
        device: draw.byte(),
        gateway: draw.byte(),
        count: 1 + draw.below(PUSH_CHANGES_MAX),
        atomic: draw.happens(60),
        policy: draw.byte(),
        lost: draw.happens(40),
    }),
    kind(5, true, |draw| Op::Retry {
        device: draw.byte(),
        gateway: draw.byte(),
    }),
    kind(2, false, |draw| Op::Replay {
        device: draw.byte(),
        gateway: draw.byte(),
        nth: draw.byte(),
    }),
    kind(14, true, |draw| Op::Hear {
        device: draw.byte(),
        nth: draw.byte(),
        again: draw.happens(40),
    }),
    kind(1, false, |draw| Op::LoseAnswers {
        device: draw.byte(),
    }),
    kind(8, true, |draw| Op::Pull {
        device: draw.byte(),
        gateway: draw.byte(),
        limit: draw.byte(),
    }),
    kind(8, true, |draw| Op::Arrive {
        device: draw.byte(),
        nth: if draw.happens(200) { 0 } else { draw.byte() },
        again: draw.happens(20),
    }),
    kind(1, false, |draw| Op::LosePages {
        device: draw.byte(),
    }),
    kind(7, true, |draw| Op::PullAll {
        device: draw.byte(),
        gateway: draw.byte(),
        limit: draw.byte(),
    }),
    kind(4, false, |draw| Op::Subscribe {
        device: draw.byte(),
        gateway: draw.byte(),
        limit: draw.byte(),
    }),
    kind(11, true, |draw| Op::Listen {
        device: draw.byte(),
    }),
    kind(1, false, |draw| Op::HangUp {
        device: draw.byte(),
    }),
    kind(1, false, |draw| Op::Types {
        device: draw.byte(),
        what: draw.byte(),
    }),
    kind(2, false, |draw| Op::Token {
        user: draw.byte(),
        team: draw.byte(),
    }),
    kind(3, false, |draw| Op::Member {
        user: draw.byte(),
        team: draw.byte(),
        what: draw.byte(),
    }),
    kind(2, false, |draw| Op::Stranger {
        document: draw.byte(),
        what: draw.byte(),
        value: draw.byte(),
    }),
    kind(4, false, |draw| Op::Collect {
        ticks: draw.below(30),
    }),
    kind(1, false, |_| Op::Rotate),
    kind(1, false, |_| Op::Backup),
    kind(1, false, |_| Op::Restore),
    kind(1, false, |draw| Op::Crash {
        gateway: draw.byte(),
    }),
    kind(6, false, |draw| Op::Hold {
        calls: draw.below(12),
    }),
    kind(3, false, |draw| Op::Stall {
        device: draw.byte(),
        gateway: draw.byte(),
        calls: draw.below(6),
        live: draw.happens(85),
        meanwhile: draw.below(4),
        value: draw.byte(),
    }),
    kind(5, true, |draw| Op::Release {
        nth: draw.byte(),
        fails: draw.happens(60),
    }),
    kind(1, false, |draw| Op::Lag {
        gateway: draw.byte(),
    }),
    kind(2, true, |draw| Op::CatchUp {
        gateway: draw.byte(),
        events: draw.below(3),
    }),
    kind(1, false, |draw| Op::Restart {
        gateway: draw.byte(),
        value: draw.byte(),
    }),
    kind(1, false, |_| Op::RunTwice),
    kind(1, false, |_| Op::Hurry),
    kind(1, false, |_| Op::Wait),
    kind(1, false, |draw| Op::Flood { user: draw.byte() }),
    kind(1, false, |_| Op::Crowd),
    kind(1, false, |draw| Op::Decline {
        user: draw.byte(),
        decline: draw.happens(160),
    }),
    kind(2, false, |draw| Op::Foreign {
        document: draw.byte(),
        what: draw.byte(),
        value: draw.byte(),
    }),
    kind(2, false, |draw| {
        let loses = draw.happens(160);
        // With its history an importer loses its term, and scans.
        let calls = if loses { 24 } else { 3 };
        Op::Interrupt {
            calls: draw.below(calls),
            loses,
            document: draw.byte(),
            what: draw.byte(),
            value: draw.byte(),
        }
    }),
    kind(1, false, |draw| Op::Drop {
        document: draw.byte(),
    }),
    kind(1, false, |_| Op::BringBack),
    kind(1, false, |_| Op::AcceptDeletes),
    kind(1, false, |draw| Op::Pause {
        seconds: 1 + draw.below(9),
    }),
    kind(2, false, |draw| Op::Overtake {
        device: draw.byte(),
        gateway: draw.byte(),
        document: draw.byte(),
        what: draw.byte(),
        value: draw.byte(),
    }),
    kind(4, true, |draw| Op::Deploy {
        gateway: draw.byte(),
        edition: draw.edition(),
    }),
    kind(2, false, |draw| Op::Update {
        device: draw.byte(),
    }),
    kind(2, false, |draw| Op::Supersede {
        calls: draw.below(12),
        gateway: draw.byte(),
        edition: draw.edition(),
        document: draw.byte(),
        what: draw.byte(),
        value: draw.byte(),
    }),
];

/// The last kinds happen only to gateways of two models.
const OF_TWO_MODELS: usize = 3;

struct Kind {
    weight: usize,
    essential: bool,
    make: fn(&mut Draw) -> Op,
}

const fn kind(weight: usize, essential: bool, make: fn(&mut Draw) -> Op) -> Kind {
    Kind {
        weight,
        essential,
        make,
    }
}

/// How often each kind of operation comes in one history. Histories that leave some out and prefer others reach what an
/// even mixture hides (Groce et al., Swarm Testing, 2012).
pub(crate) struct Mix(Vec<usize>);

impl Mix {
    pub(crate) fn random(random: &mut Random, of_two_models: bool) -> Self {
        let spared = if of_two_models { 0 } else { OF_TWO_MODELS };
        let kinds = KINDS.iter().take(KINDS.len() - spared);
        let weights = kinds.map(|kind| {
            let factors = if kind.essential {
                [1, 1, 2, 4]
            } else {
                [0, 1, 1, 6]
            };
            kind.weight * random.one_of(&factors)
        });
        Self(weights.collect())
    }

    /// An operation that is likely to be useful next.
    pub(crate) fn next(&self, random: &mut Random) -> Op {
        let mut left = random.below(self.0.iter().sum());
        let chosen = self.0.iter().position(|weight| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        });
        let chosen = chosen.expect("the number is below the sum of the weights");
        (KINDS[chosen].make)(&mut Draw(random))
    }
}

/// The numbers of one operation.
struct Draw<'r>(&'r mut Random);

impl Draw<'_> {
    fn byte(&mut self) -> u8 {
        self.below(256)
    }

    fn below(&mut self, bound: usize) -> u8 {
        u8::try_from(self.0.below(bound)).expect("bounds are at most 256")
    }

    fn edition(&mut self) -> Edition {
        self.0.one_of(&[Edition::A, Edition::B])
    }

    /// So many times in 256.
    fn happens(&mut self, times: u8) -> bool {
        self.byte() < times
    }
}
