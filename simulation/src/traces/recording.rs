//! A recording as a trace: what must follow from each step, by the reference client, and which broken rules it shows.

use std::collections::BTreeMap;

use tidegate_testkit::client::Slip;

use super::{
    form::{FORM, Head, Line, Step, Trace},
    player::Player,
};
use crate::mutants::{CATALOGUE, Fault};

/// What happened to a device.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Whether its client folds updates that wait.
    pub folds: bool,
    /// What happened.
    pub steps: Vec<Step>,
}

impl Recording {
    /// The trace of the whole recording.
    ///
    /// # Errors
    /// Why a step cannot have happened.
    pub fn trace(&self, shows: Vec<String>) -> Result<Trace, String> {
        let recording = self.renumbered();
        filled(head(&recording, shows), recording.steps)
    }

    /// The same with numbers from 1 and short names in their order.
    pub(super) fn renumbered(&self) -> Self {
        Self {
            folds: self.folds,
            steps: renumbered(&self.steps),
        }
    }
}

/// The head of its trace.
pub(super) fn head(recording: &Recording, shows: Vec<String>) -> Head {
    Head {
        trace: FORM,
        folds: recording.folds,
        // Nothing follows from those of a history: its clients keep the rules.
        digests: false,
        shows,
    }
}

/// A trace of steps, with what must follow from each.
///
/// # Errors
/// Why a step cannot have happened.
pub fn filled(head: Head, steps: Vec<Step>) -> Result<Trace, String> {
    let mut player = Player::new(&head, None);
    let lines = steps.into_iter().enumerate().map(|(nth, step)| {
        let follows = player
            .step(&step)
            .map_err(|reason| format!("line {}: {reason}", nth + 2))?;
        Ok(Line { step, follows })
    });
    let lines = lines.collect::<Result<_, String>>()?;
    Ok(Trace { head, lines })
}

/// The line at which a client that slips first differs from the trace.
pub fn differs(trace: &Trace, slip: Slip) -> Option<usize> {
    let mut player = Player::new(&trace.head, Some(slip));
    let mut lines = trace.lines.iter();
    lines.position(|line| player.step(&line.step).as_ref() != Ok(&line.follows))
}

/// The broken rules of clients: the number of each, and the switch.
pub fn slips() -> impl Iterator<Item = (&'static str, Slip)> {
    let shown_by_histories = CATALOGUE.iter().filter_map(|broken| match broken.fault {
        Fault::Client(slip) => Some((broken.rule, slip)),
        _ => None,
    });
    let others = [("1.10", Slip::FoldedUnshown), ("1.18", Slip::UnnamedEqual)];
    shown_by_histories.chain(others)
}

/// The steps with numbers from 1 and short names in their order.
fn renumbered(steps: &[Step]) -> Vec<Step> {
    let (mut edits, mut requests) = (BTreeMap::new(), BTreeMap::new());
    let (mut tokens, mut epochs) = (Names::of('p'), Names::of('e'));
    let number = |numbers: &mut BTreeMap<u32, u32>, old: &mut u32| {
        let next = u32::try_from(numbers.len() + 1).expect("traces are short");
        *old = *numbers.entry(*old).or_insert(next);
    };
    let mut steps = steps.to_vec();
    for step in &mut steps {
        match step {
            Step::Edit { edits: made, .. } => {
                made.iter_mut()
                    .for_each(|edit| number(&mut edits, &mut edit.edit));
            }
            Step::Page { from, page, .. } => {
                from.iter_mut().for_each(|from| tokens.shorten(from));
                tokens.shorten(&mut page.checkpoint);
                epochs.shorten(&mut page.epoch);
            }
            Step::Send { request, .. } => number(&mut requests, request),
            Step::Answer { to, .. } | Step::Refused { to, .. } | Step::Last { to, .. } => {
                number(&mut requests, to);
            }
            Step::Refresh { .. }
            | Step::Begin
            | Step::Unread { .. }
            | Step::Restart
            | Step::Start => {}
        }
    }
    steps
}

struct Names(char, BTreeMap<String, String>);

impl Names {
    fn of(letter: char) -> Self {
        Self(letter, BTreeMap::new())
    }

    fn shorten(&mut self, name: &mut String) {
        let next = format!("{}{}", self.0, self.1.len() + 1);
        *name = self.1.entry(name.clone()).or_insert(next).clone();
    }
}
