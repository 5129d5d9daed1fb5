//! Histories in which a fault was found, each run again in as few steps as show it.
//!
//! Devices 0, 2, … are alice's, the others bob's. Documents 0, 1 and 2 are two tasks and a note. The numbers `what` and
//! `value` select the edits (`src/world/edits.rs`).

use tidegate_simulation::{Op, Story, tell};

const NOTE: u8 = 2;
const TASK: u8 = 0;

/// Creates a document that does not exist, in the scope that the value gives. An existing one gets a new title.
const TITLE: u8 = 3;
const DELETE: u8 = 8;

const RED: u8 = 4;
/// The user's own scope.
const OWN: u8 = 3;
/// In the red team, or a new title, and made twenty seconds ago.
const RED_LONG_AGO: u8 = 28;
/// A new title, made later than anything else by a clock that is wrong.
const TOMORROW: u8 = 9;

fn keeps_all_promises(rule: &'static str, devices: usize, ops: Vec<Op>) {
    keeps_all_promises_of(1, rule, devices, ops);
}

/// The store's own chances follow from the seed.
fn keeps_all_promises_of(seed: u64, rule: &'static str, devices: usize, ops: Vec<Op>) {
    let story = Story {
        seed,
        rule,
        devices,
        page_records: 1_000,
        on_file: false,
        ends: &[],
        ops,
        fault: None,
    };
    tell(&story).unwrap_or_else(|violation| panic!("{violation}"));
}

fn edit(device: u8, document: u8, what: u8, value: u8) -> Op {
    Op::Edit {
        device,
        document,
        what,
        value,
    }
}

fn send(device: u8) -> Op {
    Op::Send {
        device,
        gateway: 0,
        count: 1,
        lost: false,
    }
}

fn hear(device: u8) -> Op {
    Op::Hear {
        device,
        nth: 0,
        again: false,
    }
}

fn pull(device: u8) -> Op {
    Op::Pull {
        device,
        gateway: 0,
        limit: 0,
    }
}

fn arrive(device: u8) -> Op {
    Op::Arrive {
        device,
        nth: 0,
        again: false,
    }
}

fn pull_all(device: u8) -> Op {
    Op::PullAll {
        device,
        gateway: 0,
        limit: 0,
    }
}

/// A ring began while the writes of one transaction arrived, later ones before earlier ones. It waited for a write that
/// had arrived before it began, and its subscribers got nothing more of that scope until another user wrote to it.
#[test]
fn a_subscription_that_begins_within_a_transaction_hears_what_follows() {
    let (alice, bob) = (0, 1);
    for seed in 0..8 {
        keeps_all_promises_of(
            seed,
            "CLIENT_WINS",
            2,
            vec![
                pull_all(alice),
                edit(alice, TASK, TITLE, RED),
                edit(alice, NOTE, TITLE, RED),
                Op::Lag { gateway: 1 },
                Op::Send {
                    device: alice,
                    gateway: 0,
                    count: 2,
                    lost: false,
                },
                hear(alice),
                Op::CatchUp {
                    gateway: 1,
                    events: 1,
                },
                Op::Subscribe {
                    device: bob,
                    gateway: 1,
                    limit: 3,
                },
                Op::Listen { device: bob },
                Op::CatchUp {
                    gateway: 1,
                    events: 0,
                },
                edit(alice, TASK, TITLE, RED),
                send(alice),
            ],
        );
    }
}

/// The answer to a create crossed a reset, so that the page before it was still held. An edit made then was based on
/// that page's version, of an earlier incarnation, and conflicted with its own document.
#[test]
fn an_edit_of_a_create_that_crossed_a_reset_is_based_on_it() {
    let (alice, bob) = (0, 1);
    keeps_all_promises(
        "LAST_WRITE_WINS",
        2,
        vec![
            pull_all(alice),
            pull_all(bob),
            edit(bob, NOTE, TITLE, RED),
            send(bob),
            hear(bob),
            pull(alice),
            edit(alice, NOTE, TITLE, OWN),
            edit(bob, NOTE, DELETE, RED),
            send(bob),
            hear(bob),
            edit(bob, TASK, TITLE, RED),
            send(bob),
            hear(bob),
            Op::Collect { ticks: 0 },
            send(alice),
            arrive(alice),
            pull(alice),
            arrive(alice),
            hear(alice),
            edit(alice, NOTE, TITLE, RED),
        ],
    );
}

/// A client that learned of another epoch while its create was unanswered gave -1 to what was queued on it. When the
/// create then failed, that edit landed on another user's document.
#[test]
fn what_is_queued_on_a_create_under_way_never_meets_a_stranger() {
    let bob = 1;
    keeps_all_promises(
        "MERGE/CLIENT_WINS",
        2,
        vec![
            pull_all(bob),
            Op::Stranger {
                document: NOTE,
                what: TITLE,
                value: RED,
            },
            edit(bob, NOTE, TITLE, RED_LONG_AGO),
            Op::Rotate,
            edit(bob, NOTE, TITLE, TOMORROW),
            send(bob),
        ],
    );
}

/// The last page of a subscriber's reset was empty, so it was not sent: the reset never ended, and removed documents
/// stayed in view.
#[test]
fn a_reset_ends_for_who_only_listens() {
    let story = Story {
        rule: "MERGE/LAST_WRITE_WINS",
        devices: 4,
        page_records: 1_000,
        ends: &[],
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
                lost: false,
            },
            arrive(168),
            Op::Send {
                device: 236,
                gateway: 62,
                count: 1,
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

/// A client dropped the documents of a type when it stopped asking for it. It asked for it again before a page had
/// answered, with a checkpoint that had passed them, and never got them again.
#[test]
fn documents_go_with_the_page_that_no_longer_has_their_type() {
    let (alice, bob) = (0, 1);
    let types = |what| Op::Types { device: bob, what };
    let (tasks, all) = (0, 2);
    keeps_all_promises(
        "CLIENT_WINS",
        2,
        vec![
            pull_all(alice),
            edit(alice, NOTE, TITLE, RED),
            send(alice),
            hear(alice),
            pull_all(bob),
            types(tasks),
            types(all),
            pull_all(bob),
        ],
    );
}

/// A count was sent while its document was out of view. The document came back with the count in it, before the answer,
/// and the client showed it twice.
#[test]
fn an_increment_that_was_sent_out_of_view_is_shown_once() {
    let edit = |device, document, what, value| Op::Edit {
        device,
        document,
        what,
        value,
    };
    let overtake = |device, gateway, document, what, value| Op::Overtake {
        device,
        gateway,
        document,
        what,
        value,
    };
    let ops = vec![
        edit(34, 144, 77, 136),
        Op::PullAll {
            device: 88,
            gateway: 115,
            limit: 110,
        },
        overtake(43, 59, 149, 50, 215),
        edit(139, 21, 138, 210),
        overtake(19, 226, 149, 20, 96),
    ];
    keeps_all_promises_of(1_795, "MERGE/SERVER_WINS", 3, ops);
}
