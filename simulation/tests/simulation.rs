//! Some of the histories that `make soak` tells by the hundred thousand, and each broken rule once.

use std::thread;

use tidegate_simulation::{CATALOGUE, Op, Story, Tally, catch, shrink, tell};

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

/// The last page of a subscriber's reset was empty, so it was not sent: the reset never ended, and what had gone meanwhile
/// stayed in sight.
#[test]
fn a_reset_ends_for_who_only_listens() {
    let story = Story {
        rule: "MERGE/LAST_WRITE_WINS",
        devices: 4,
        page_records: 1_000,
        ops: vec![
            Op::PullAll {
                device: 74,
                gateway: 191,
                limit: 147,
            },
            Op::Member {
                user: 19,
                team: 75,
                what: 118,
            },
            Op::Subscribe {
                device: 93,
                gateway: 236,
                limit: 39,
            },
            Op::Listen { device: 77 },
            Op::Stranger {
                document: 38,
                what: 84,
                value: 252,
            },
            Op::Edit {
                device: 134,
                document: 245,
                what: 29,
                value: 243,
            },
            Op::Send {
                device: 150,
                gateway: 82,
                count: 1,
                atomic: false,
                policy: 47,
                lost: false,
            },
            Op::Arrive { device: 168 },
            Op::Send {
                device: 236,
                gateway: 62,
                count: 1,
                atomic: false,
                policy: 125,
                lost: false,
            },
            Op::Stranger {
                document: 163,
                what: 53,
                value: 122,
            },
            Op::Member {
                user: 169,
                team: 186,
                what: 177,
            },
            Op::Listen { device: 144 },
            Op::Collect { ticks: 5 },
            Op::Member {
                user: 66,
                team: 55,
                what: 99,
            },
        ],
        ..Story::of(21_088)
    };
    tell(&story).unwrap_or_else(|violation| panic!("{violation}"));
}
