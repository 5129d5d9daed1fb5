//! A history as data: made from a seed, run again, shortened.

use std::iter;

use tidegate_testkit::Random;

use crate::{
    mutants::Fault,
    op::{Mix, Op, scene, scene_of_harm, scene_of_lists, scene_of_uniques},
    oracle::Violation,
    people::{Edition, RULES},
    world::tell,
};

/// The fewest and the most things that happen before a history comes to rest.
const OPS: std::ops::Range<usize> = 20..140;

/// The same for short ones.
const OPS_OF_CLIENTS: std::ops::Range<usize> = 8..30;

/// One history in this number runs on a file.
const ON_FILE: u64 = 32;

/// One history in this number has gateways of two models.
const OF_TWO_MODELS: u64 = 4;

/// Of each eight histories, those of these numbers have scenes.
const WITH_SCENES: [u64; 2] = [1, 2];

/// And those with scenes of lists.
const WITH_LISTS: [u64; 2] = [3, 5];

/// And those in which disks fail, if they have one model.
const WITH_HARM: [u64; 2] = [6, 7];

/// And those with scenes of values that no two documents may have.
const WITH_UNIQUES: [u64; 3] = [0, 1, 4];

/// How many scenes they have.
const SCENES: usize = 2;

/// The models of all gateways at the end of a history, one after the other.
const ENDS: [&[Edition]; 5] = [
    &[Edition::B],
    &[Edition::A],
    &[Edition::A, Edition::B],
    &[Edition::B, Edition::A],
    &[Edition::B, Edition::A, Edition::B],
];

/// Everything that a history depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// The seed it came from. The store's own random choices follow from it.
    pub seed: u64,
    /// The conflict rule of tasks.
    pub rule: &'static str,
    /// How many clients, who belong to two users in turn.
    pub devices: usize,
    /// The most records of a page, whatever its limit.
    pub page_records: usize,
    /// Whether the store is an embedded store's file. Few are, since that takes longer.
    pub on_file: bool,
    /// The models of all gateways at the end, one after the other, if they may have two models before. It is empty if
    /// they have one.
    pub ends: &'static [Edition],
    /// What happens.
    pub ops: Vec<Op>,
    /// The rule that is broken, if one is.
    pub fault: Option<Fault>,
}

impl Story {
    /// The history of a seed.
    pub fn of(seed: u64) -> Self {
        Self::made(seed, seed % OF_TWO_MODELS == 1)
    }

    /// The history of a seed with gateways of two models.
    pub fn of_two_models(seed: u64) -> Self {
        Self::made(seed, true)
    }

    fn made(seed: u64, of_two_models: bool) -> Self {
        let mut random = Random::new(seed);
        let (rule, devices) = (random.one_of(&RULES), 2 + random.below(4));
        let page_records = if random.once_in(4) { 2 } else { 1_000 };
        let count = OPS.start + random.below(OPS.len());
        let mix = Mix::random(&mut random, of_two_models);
        let ends: &[Edition] = match of_two_models {
            true => random.one_of(&ENDS),
            false => &[],
        };
        let mut ops: Vec<Op> = (0..count).map(|_| mix.next(&mut random)).collect();
        if WITH_SCENES.contains(&(seed % 8)) {
            for _ in 0..SCENES {
                let place = random.below(ops.len());
                ops.splice(place..place, scene(&mut random, of_two_models));
            }
        }
        if WITH_LISTS.contains(&(seed % 8)) {
            for _ in 0..SCENES {
                let place = random.below(ops.len());
                ops.splice(place..place, scene_of_lists(&mut random));
            }
        }
        if WITH_HARM.contains(&(seed % 8)) && !of_two_models {
            for _ in 0..SCENES {
                let place = random.below(ops.len());
                ops.splice(place..place, scene_of_harm(&mut random));
            }
        }
        if WITH_UNIQUES.contains(&(seed % 8)) {
            for _ in 0..SCENES {
                let place = random.below(ops.len());
                ops.splice(place..place, scene_of_uniques(&mut random));
            }
        }
        Self {
            seed,
            rule,
            devices,
            page_records,
            on_file: !of_two_models && seed.is_multiple_of(ON_FILE),
            ends,
            ops,
            fault: None,
        }
    }

    /// A short history of few devices, in which little happens that clients do not notice.
    pub fn of_clients(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (rule, devices) = (random.one_of(&RULES), 1 + random.below(3));
        let count = OPS_OF_CLIENTS.start + random.below(OPS_OF_CLIENTS.len());
        let mix = Mix::random(&mut random, false);
        let begins = (0..3).map(|device| Op::PullAll {
            device,
            gateway: 0,
            limit: 3,
        });
        let mut ops: Vec<Op> = begins
            .take(if random.once_in(4) { 0 } else { devices })
            .collect();
        let drawn = iter::repeat_with(|| mix.next(&mut random));
        ops.extend(drawn.filter(Op::concerns_clients).take(count));
        Self {
            seed,
            rule,
            devices,
            page_records: 1_000,
            on_file: false,
            ends: &[],
            ops,
            fault: None,
        }
    }

    /// The same with a rule broken, in memory, where stores can be broken too.
    #[must_use]
    pub fn with(self, fault: Fault) -> Self {
        Self {
            fault: Some(fault),
            on_file: false,
            ..self
        }
    }
}

/// The shortest history found, by leaving things out of `story`, that breaks the same promise; and how.
pub fn shrink(story: &Story, violation: Violation) -> (Story, Violation) {
    let (mut shortest, mut shown) = (story.clone(), violation);
    let mut piece = story.ops.len().div_ceil(2);
    while piece > 0 {
        let mut from = 0;
        let mut smaller = false;
        while from < shortest.ops.len() {
            let mut cut = shortest.clone();
            cut.ops.drain(from..(from + piece).min(cut.ops.len()));
            match tell(&cut) {
                Err(violation) if violation.property == shown.property => {
                    (shortest, shown, smaller) = (cut, violation, true);
                }
                _ => from += piece,
            }
        }
        piece = if piece == 1 && smaller { 1 } else { piece / 2 };
    }
    (shortest, shown)
}
