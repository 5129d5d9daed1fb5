//! Chooses few short traces of many recordings: of each broken rule, and of each turn that a client takes, the shortest
//! that show it.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::{
    form::{Head, Trace},
    player::Player,
    recording::{Recording, head, slips},
    state::{equal, state},
    turns::turns,
};

/// How many traces show each broken rule, if there are so many.
const OF_EACH_SLIP: usize = 10;

/// How many show each turn.
const OF_EACH_TURN: usize = 2;

/// What a trace is chosen for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// A client that makes this slip fails it.
    Slip(usize),
    /// The client does this.
    Turn(String),
}

impl Reason {
    fn wanted(&self) -> usize {
        match self {
            Self::Slip(_) => OF_EACH_SLIP,
            Self::Turn(_) => OF_EACH_TURN,
        }
    }
}

/// What a recording shows, and in how many of its first steps.
#[derive(Debug)]
pub struct Findings {
    name: String,
    recording: Recording,
    shows: BTreeMap<Reason, usize>,
    /// For so many first steps: what the client does in them. Of two traces in which it does the same, one is enough.
    shapes: Vec<u64>,
}

impl Findings {
    /// Plays a recording with a client that keeps the rules, and beside it with clients that each break one.
    ///
    /// # Errors
    /// Why a step cannot have happened.
    pub fn of(name: String, recording: Recording) -> Result<Self, String> {
        let recording = recording.renumbered();
        let head = head(&recording, Vec::new());
        let mut shows = BTreeMap::new();
        let mut shapes = Vec::with_capacity(recording.steps.len());
        let mut shape = DefaultHasher::new();
        let mut keeps = Player::new(&head, None);
        let mut breaking = breaking(&head);
        for (nth, step) in recording.steps.iter().enumerate() {
            let follows = keeps
                .step(step)
                .map_err(|error| format!("{name}: {error}"))?;
            let turns = turns(step, &follows);
            turns.hash(&mut shape);
            shapes.push(shape.finish());
            for turn in turns {
                shows.entry(Reason::Turn(turn)).or_insert(nth + 1);
            }
            breaking.retain_mut(|(slip, player)| {
                let mut made = player.make(step);
                if let Ok(made) = &mut made {
                    made.is.clone_from(&follows.is);
                }
                let goes_on = made.as_ref() == Ok(&follows) && is_same(&keeps, player);
                if !goes_on {
                    shows.insert(Reason::Slip(*slip), nth + 1);
                }
                goes_on
            });
        }
        Ok(Self {
            name,
            recording,
            shows,
            shapes,
        })
    }
}

/// Clients that each break a rule.
fn breaking(head: &Head) -> Vec<(usize, Player)> {
    let players = slips().map(|(_, slip)| Player::new(head, Some(slip)));
    players.enumerate().collect()
}

/// Whether two clients show the same state. What a document lacks may be null in it.
fn is_same(one: &Player, other: &Player) -> bool {
    equal(one, other) || state(one) == state(other)
}

/// The first steps of a recording.
#[derive(Debug, Clone)]
struct Candidate {
    of: Arc<Findings>,
    length: usize,
}

impl Candidate {
    fn shape(&self) -> u64 {
        self.of.shapes[self.length - 1]
    }

    fn reasons(&self) -> impl Iterator<Item = &Reason> {
        let shows = self.of.shows.iter();
        shows
            .filter(|(_, length)| **length <= self.length)
            .map(|(reason, _)| reason)
    }
}

/// The shortest traces so far, for each reason.
#[derive(Debug, Default)]
pub struct Choice(BTreeMap<Reason, Vec<Candidate>>);

impl Choice {
    /// Takes in what another recording shows.
    pub fn add(&mut self, findings: Findings) {
        let of = Arc::new(findings);
        for (reason, length) in &of.shows {
            let candidate = Candidate {
                of: Arc::clone(&of),
                length: *length,
            };
            let kept = self.0.entry(reason.clone()).or_default();
            let shape = candidate.shape();
            if kept
                .iter()
                .any(|it| it.shape() == shape && it.length <= *length)
            {
                continue;
            }
            let place = kept.partition_point(|it| it.length <= *length);
            kept.insert(place, candidate);
            kept.truncate(reason.wanted());
        }
    }

    /// How many reasons there are, and how many of them are shown as often as wanted.
    pub fn reached(&self) -> (usize, usize) {
        let full = self
            .0
            .iter()
            .filter(|(reason, kept)| kept.len() == reason.wanted());
        (self.0.len(), full.count())
    }

    /// The fewest and shortest traces that together show everything as often as wanted, with their names.
    ///
    /// # Errors
    /// Why a step cannot have happened.
    pub fn traces(&self) -> Result<Vec<(String, Trace)>, String> {
        let chosen = self.chosen();
        chosen.iter().map(Candidate::trace).collect()
    }

    fn chosen(&self) -> Vec<Candidate> {
        let mut candidates: Vec<&Candidate> = self.0.values().flatten().collect();
        candidates.sort_by(|a, b| (a.length, &a.of.name).cmp(&(b.length, &b.of.name)));
        let (mut shown, mut shapes) = (Shown::default(), BTreeSet::new());
        let mut chosen = Vec::new();
        for candidate in candidates {
            let is_missing = |reason| shown.how_often(reason) < self.0[reason].len();
            if candidate.reasons().any(is_missing) && shapes.insert(candidate.shape()) {
                shown.add(candidate);
                chosen.push(candidate.clone());
            }
        }
        // What others came to show as often is left out, the longest first.
        for nth in (0..chosen.len()).rev() {
            let is_needless = |reason| shown.how_often(reason) > self.0[reason].len();
            if chosen[nth].reasons().all(is_needless) {
                shown.remove(&chosen.remove(nth));
            }
        }
        chosen
    }
}

/// How many of the chosen traces show something.
#[derive(Default)]
struct Shown(BTreeMap<Reason, usize>);

impl Shown {
    fn how_often(&self, reason: &Reason) -> usize {
        self.0.get(reason).copied().unwrap_or_default()
    }

    fn add(&mut self, candidate: &Candidate) {
        for reason in candidate.reasons() {
            *self.0.entry(reason.clone()).or_default() += 1;
        }
    }

    fn remove(&mut self, candidate: &Candidate) {
        for reason in candidate.reasons() {
            if let Some(count) = self.0.get_mut(reason) {
                *count -= 1;
            }
        }
    }
}

impl Candidate {
    fn trace(&self) -> Result<(String, Trace), String> {
        let rules: Vec<&str> = slips().map(|(rule, _)| rule).collect();
        let rule_of = |reason: &Reason| match reason {
            Reason::Slip(slip) => Some(rules[*slip]),
            Reason::Turn(_) => None,
        };
        let shown: BTreeSet<_> = self.reasons().filter_map(rule_of).map(by_number).collect();
        let shown = shown.into_iter().map(|(_, rule)| rule.to_owned()).collect();
        let mut shows = self.of.shows.iter();
        let in_the_end =
            shows.find_map(|(reason, length)| rule_of(reason).filter(|_| *length == self.length));
        let recording = Recording {
            folds: self.of.recording.folds,
            steps: self.of.recording.steps[..self.length].to_vec(),
        };
        // Turns alone are those of section 1.
        let rule = in_the_end.unwrap_or("1");
        let name = format!("{rule}-{}-{}", self.of.name, self.length);
        Ok((name, recording.trace(shown)?))
    }
}

/// A rule after its number: 1.2 comes before 1.12.
fn by_number(rule: &str) -> (Vec<u32>, &str) {
    (
        rule.split('.')
            .filter_map(|part| part.parse().ok())
            .collect(),
        rule,
    )
}
