//! How often each thing happens in a history.

use tidegate_testkit::Random;

use super::{Op, PUSH_CHANGES_MAX};
use crate::people::Edition;

/// What can happen, how often it does in an ordinary history, and whether histories without it are useful.
const KINDS: [Kind; 48] = [
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
        lost: draw.happens(40),
    }),
    kind(3, true, |draw| Op::Transact {
        device: draw.byte(),
        document: draw.byte(),
        what: draw.byte(),
        value: draw.byte(),
    }),
    kind(2, false, |draw| Op::Block {
        device: draw.byte(),
    }),
    kind(2, false, |draw| Op::Split {
        device: draw.byte(),
        document: draw.byte(),
        what: draw.byte(),
        value: draw.byte(),
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
    kind(2, false, |_| Op::Backup),
    kind(2, false, |_| Op::Restore),
    kind(1, false, |draw| Op::Crash {
        gateway: draw.byte(),
    }),
    kind(6, false, |draw| Op::Hold {
        calls: draw.below(12),
    }),
    kind(5, false, |draw| Op::Stall {
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
    kind(3, false, |draw| {
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
    kind(4, false, |draw| Op::Update {
        device: draw.byte(),
    }),
    kind(2, false, |draw| Op::Visit {
        device: draw.byte(),
        gateway: draw.byte(),
        edition: draw.edition(),
        limit: draw.byte(),
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
const OF_TWO_MODELS: usize = 4;

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
pub(super) struct Draw<'r>(pub(super) &'r mut Random);

impl Draw<'_> {
    pub(super) fn byte(&mut self) -> u8 {
        self.below(256)
    }

    pub(super) fn below(&mut self, bound: usize) -> u8 {
        u8::try_from(self.0.below(bound)).expect("bounds are at most 256")
    }

    fn edition(&mut self) -> Edition {
        self.one_of(&[Edition::A, Edition::B])
    }

    pub(super) fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        self.0.one_of(items)
    }

    /// So many times in 256.
    fn happens(&mut self, times: u8) -> bool {
        self.byte() < times
    }
}
