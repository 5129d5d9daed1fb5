//! Some of the histories that `make soak` tells by the hundred thousand, and each broken rule once.

use std::thread;

use tidegate_simulation::{CATALOGUE, Story, Tally, catch, shrink, tell};

const HISTORIES: u64 = 2_000;
const WORKERS: u64 = 2;

#[test]
fn no_history_breaks_a_promise() {
    let told = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| scope.spawn(move || tell_every(worker)))
            .collect();
        let mut told = Tally::default();
        for worker in workers {
            told.add(worker.join().expect("what broke is told above"));
        }
        told
    });
    let enough = HISTORIES as usize;
    assert!(told.applied > enough && told.resets > enough, "{told:?}");
}

fn tell_every(worker: u64) -> Tally {
    let mut told = Tally::default();
    for seed in (worker..HISTORIES).step_by(WORKERS as usize) {
        let story = Story::of(seed);
        match tell(&story) {
            Ok(tally) => told.add(tally),
            Err(violation) => {
                let (short, shown) = shrink(&story, violation);
                panic!("seed {seed}, cut down to {short:#?}\n{shown}");
            }
        }
    }
    told
}

/// All but the rare ones, which take thousands of histories or are not noticed yet (docs/testing.md).
#[test]
fn broken_rules_are_noticed() {
    let histories = 400;
    let unnoticed: Vec<String> = CATALOGUE
        .iter()
        .filter(|broken| !RARE.iter().any(|rare| broken.name().contains(rare)))
        .filter(|broken| catch(broken.fault, 0..histories).is_none())
        .map(|broken| broken.says.to_owned())
        .collect();
    assert!(
        unnoticed.is_empty(),
        "unnoticed in {histories} histories: {unnoticed:#?}"
    );
}

const RARE: [&str; 10] = [
    "TwoSnapshots",
    "FloorReadFirst",
    "RegisteredLate",
    "VersionIgnored",
    "RevokeAnywhere",
    "UnconfirmedStay",
    "QueueKept",
    "Absolute",
    "GrantsOnce",
    "RemovalsForgotten",
];
