//! Random cases by their seeds, and what an environment asks of a run.

use std::sync::Mutex;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};

use super::tape::Tape;

/// A number of the environment.
pub(in crate::graphql) fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

/// The number `at` of the cases of a seed: so many choices, and random numbers for what follows.
pub(in crate::graphql) fn drawn(seed: u64, at: u64, choices: usize) -> (Tape, TestRng) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&at.to_le_bytes());
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let choices = (0..choices).map(|_| rng.random::<u16>()).collect();
    (Tape::new(choices), rng)
}

/// Compares so many cases, each of `choices_max` choices at most. Returns for how many `compare` returns true.
///
/// # Errors
/// The smallest case that differs, in words.
pub(in crate::graphql) fn compare_each(
    rng: TestRng,
    (cases, choices_max): (u32, usize),
    compare: impl FnMut(Tape) -> Result<bool, TestCaseError>,
) -> Result<u64, String> {
    let config = Config {
        cases,
        max_shrink_iters: 4_000,
        failure_persistence: None,
        ..Config::default()
    };
    let choices = vec(any::<u16>(), 0..choices_max);
    let counted = Mutex::new((compare, 0));
    let found = TestRunner::new_with_rng(config, rng).run(&choices, |choices| {
        let (compare, count) = &mut *counted.lock().unwrap();
        *count += u64::from(compare(Tape::new(choices))?);
        Ok(())
    });
    found.map_err(|found| found.to_string())?;
    Ok(counted.into_inner().unwrap().1)
}
