//! Some of the histories that `make soak` runs by the hundred thousand, and each broken rule once.

use std::{
    iter,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

use tidegate_core::mutant::Mutant;
use tidegate_simulation::{
    CATALOGUE, Edition, Fault, Op, Property, StoreFault, Story, Tally, catch, shrink, tell,
};
use tidegate_testkit::client::Slip;

const HISTORIES: u64 = 1_000;
const WORKERS: u64 = 2;

#[test]
fn no_history_breaks_a_promise() {
    let next = AtomicU64::new(0);
    let mut reported = Tally::default();
    for tally in by_workers(|| tell_all(&next)) {
        reported.add(tally);
    }
    let enough = HISTORIES as usize;
    assert!(
        reported.applied > enough && reported.resets > enough,
        "{reported:?}"
    );
}

fn by_workers<T: Send>(work: impl Fn() -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(&work)).collect();
        let ended = workers.into_iter().map(|worker| worker.join());
        ended
            .map(|made| made.expect("the message above says what broke"))
            .collect()
    })
}

fn tell_all(next: &AtomicU64) -> Tally {
    let mut reported = Tally::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= HISTORIES {
            return reported;
        }
        let story = Story::of(seed);
        match tell(&story) {
            Ok(tally) => reported.add(tally),
            Err(violation) => {
                let (short, shown) = shrink(&story, violation);
                panic!("seed {seed}, cut down to {short:#?}\n{shown}");
            }
        }
    }
}

/// One of a number of histories shows each broken rule. (When histories change, `mutants` prints which.)
#[test]
fn broken_rules_are_noticed() {
    let next = AtomicUsize::new(0);
    let unnoticed = by_workers(|| {
        let broken = iter::from_fn(|| CATALOGUE.get(next.fetch_add(1, Ordering::Relaxed)));
        let unnoticed = broken.filter(|broken| catch(broken.fault, 0..1_000).is_none());
        unnoticed.map(|broken| broken.says).collect::<Vec<_>>()
    })
    .concat();
    assert!(unnoticed.is_empty(), "unnoticed: {unnoticed:#?}");
}

/// Random histories show this once in 20,000. A user declines a giver through one gateway. Another gateway, whose tail
/// lags behind, writes to the scope that the giver gave, while the user subscribes there.
#[test]
fn a_gateways_own_commits_never_overtake_withdrawn_grants() {
    let ops = vec![
        Op::Token {
            user: 190,
            team: 162,
        },
        Op::Member {
            user: 214,
            team: 20,
            what: 3,
        },
        Op::Edit {
            device: 31,
            document: 47,
            what: 100,
            value: 112,
        },
        Op::Stall {
            device: 239,
            gateway: 116,
            calls: 1,
            live: true,
            meanwhile: 1,
            value: 112,
        },
        Op::CatchUp {
            gateway: 178,
            events: 2,
        },
        Op::Subscribe {
            device: 46,
            gateway: 0,
            limit: 131,
        },
        Op::Listen { device: 186 },
        Op::Listen { device: 109 },
        Op::Decline {
            user: 52,
            decline: true,
        },
        Op::Send {
            device: 176,
            gateway: 144,
            count: 2,
            lost: false,
        },
    ];
    let story = Story {
        seed: 5_012_636,
        rule: "MERGE/SERVER_WINS",
        devices: 5,
        page_records: 1_000,
        on_file: false,
        ends: &[],
        ops,
        fault: None,
    };
    shows(
        &story,
        Fault::Store(StoreFault::GrantsOvertaken),
        Property::Isolation,
    );
}

/// Random histories show this once in 1,000. An importer ends between two parts of a scan.
#[test]
fn a_scan_goes_on_after_what_it_has_stamped() {
    let interrupt = |calls, document, what, value| Op::Interrupt {
        calls,
        loses: true,
        document,
        what,
        value,
    };
    let story = Story {
        seed: 1_085,
        rule: "MERGE/SERVER_WINS",
        devices: 5,
        page_records: 2,
        on_file: false,
        ends: &[Edition::B, Edition::A, Edition::B],
        ops: vec![
            Op::Deploy {
                gateway: 120,
                edition: Edition::B,
            },
            interrupt(1, 180, 184, 174),
            interrupt(22, 154, 13, 34),
        ],
        fault: None,
    };
    shows(
        &story,
        Fault::Gateway(Mutant::CursorBeforeStamps),
        Property::Stamped,
    );
}

/// Of 1,000 random histories none shows this. A user counts three times. Before the third time the first count, which is
/// on its way, is refused: the second one shows otherwise than it was made.
#[test]
fn an_update_is_folded_only_into_what_the_view_shows() {
    // The first device that folds.
    let device = 2;
    let edit = |what, value| Op::Edit {
        device,
        document: 0,
        what,
        value,
    };
    let send = Op::Send {
        device,
        gateway: 0,
        count: 1,
        lost: false,
    };
    let hear = Op::Hear {
        device,
        nth: 0,
        again: false,
    };
    let (creates, counts) = (edit(3, 4), edit(9, 5));
    let pull = Op::PullAll {
        device,
        gateway: 0,
        limit: 0,
    };
    let ask = Op::Retry { device, gateway: 0 };
    let block = Op::Block { device };
    let story = Story {
        seed: 1,
        rule: "MERGE/SERVER_WINS",
        devices: 3,
        page_records: 1_000,
        on_file: false,
        ends: &[],
        ops: vec![
            pull, creates, send, hear, counts, block, send, counts, hear, ask, hear, counts, send,
        ],
        fault: None,
    };
    shows(&story, Fault::Client(Slip::FoldedUnshown), Property::Exact);
}

/// The history keeps all promises, and the broken rule breaks this one.
fn shows(story: &Story, fault: Fault, property: Property) {
    tell(story).expect("the history keeps all promises");
    let violation = tell(&story.clone().with(fault)).expect_err("the broken rule shows");
    assert_eq!(violation.property, property, "{violation}");
}
