//! Sequences of operations that a mixture hardly ever puts in this order, though each of them is common. What happens
//! before and after them is random.

mod uniques;

use tidegate_testkit::Random;

use super::{Op, mix::Draw};
use crate::people::Edition;

type Scene = fn(&mut Draw<'_>) -> Vec<Op>;

/// Those of histories with one model, and of histories with two. The first one matters under few conflict rules.
const OF_ONE_MODEL: [Scene; 4] = [twice, twice, a_membership_begins, a_backup_is_put_back];
const OF_TWO_MODELS: [Scene; 1] = [an_app_is_updated];

/// Those of histories whose scenes are about lists.
const OF_LISTS: [Scene; 3] = [
    orders_are_edited,
    two_edit_a_list,
    an_item_holds_what_nobody_names,
];

/// Those of histories in which disks fail.
const OF_HARM: [Scene; 4] = [
    a_disk_fails,
    a_disk_fails_while_the_app_runs,
    a_disk_fails_while_a_scope_is_read_again,
    an_app_starts_and_sends,
];

/// What a user makes of a document (`world/hand.rs`): a new title, or another field of it.
const TITLE: u8 = 3;
const DONE: u8 = 6;
const DELETED: u8 = 0;

/// One of them.
pub(crate) fn scene(random: &mut Random, of_two_models: bool) -> Vec<Op> {
    let draw = &mut Draw(random);
    let scene = match of_two_models {
        true => draw.one_of(&OF_TWO_MODELS),
        false => draw.one_of(&OF_ONE_MODEL),
    };
    scene(draw)
}

/// One in which lists are edited.
pub(crate) fn scene_of_lists(random: &mut Random) -> Vec<Op> {
    let draw = &mut Draw(random);
    let scene = draw.one_of(&OF_LISTS);
    scene(draw)
}

/// One in which a disk fails.
pub(crate) fn scene_of_harm(random: &mut Random) -> Vec<Op> {
    let draw = &mut Draw(random);
    let scene = draw.one_of(&OF_HARM);
    scene(draw)
}

/// A device finds at its start that a document is not there, or is an earlier one.
fn a_disk_fails(draw: &mut Draw<'_>) -> Vec<Op> {
    let device = draw.byte();
    let mut ops = settled(draw, device).to_vec();
    ops.push(harm(draw, device, true));
    ops.push(pull(draw, device));
    // The page may get lost.
    if draw.below(2) == 0 {
        ops.push(Op::LosePages { device });
    }
    ops.extend(settled(draw, device));
    ops.extend([pull(draw, device), Op::LosePages { device }]);
    ops
}

/// It hears of it with its next pull, or after its next start.
fn a_disk_fails_while_the_app_runs(draw: &mut Draw<'_>) -> Vec<Op> {
    let device = draw.byte();
    let mut ops = settled(draw, device).to_vec();
    ops.push(harm(draw, device, false));
    if draw.below(2) == 0 {
        ops.extend(settled(draw, device));
    }
    ops
}

/// What it has just read again is lost once more, so the scope still differs.
fn a_disk_fails_while_a_scope_is_read_again(draw: &mut Draw<'_>) -> Vec<Op> {
    let device = draw.byte();
    let mut ops = settled(draw, device).to_vec();
    ops.push(harm(draw, device, true));
    ops.extend(settled(draw, device));
    ops.extend([
        Op::Pull {
            device,
            gateway: draw.byte(),
            limit: 0,
        },
        arrive(device),
        harm(draw, device, false),
    ]);
    ops.extend(settled(draw, device));
    ops.extend(settled(draw, device));
    ops
}

/// An app sends whenever it pulls: an answer comes before the first page.
fn an_app_starts_and_sends(draw: &mut Draw<'_>) -> Vec<Op> {
    let (device, gateway) = (draw.byte(), draw.byte());
    let mut ops = settled(draw, device).to_vec();
    ops.push(Op::Edit {
        device,
        document: draw.byte(),
        what: draw.one_of(&[TITLE, DONE]),
        value: draw.below(30),
    });
    ops.extend([harm(draw, device, true), pull(draw, device)]);
    ops.extend(sent(draw, device));
    ops.extend([
        arrive(device),
        Op::Subscribe {
            device,
            gateway,
            limit: 3,
        },
        Op::Listen { device },
    ]);
    ops
}

fn harm(draw: &mut Draw<'_>, device: u8, starts: bool) -> Op {
    Op::Harm {
        device,
        nth: draw.byte(),
        goes_back: draw.below(2) == 0,
        starts,
    }
}

fn pull(draw: &mut Draw<'_>, device: u8) -> Op {
    Op::Pull {
        device,
        gateway: draw.byte(),
        limit: 3,
    }
}

fn arrive(device: u8) -> Op {
    Op::Arrive {
        device,
        nth: 0,
        again: false,
    }
}

/// One in which documents come to values that no two may have.
pub(crate) fn scene_of_uniques(random: &mut Random) -> Vec<Op> {
    let draw = &mut Draw(random);
    let scene = draw.one_of(&uniques::SCENES);
    scene(draw)
}

/// Users and a service edit the lists of the order, and hear of each other now and then.
fn orders_are_edited(draw: &mut Draw<'_>) -> Vec<Op> {
    const EDITS: usize = 12;
    let mut ops = Vec::new();
    for _ in 0..EDITS {
        let device = draw.byte();
        match draw.below(6) {
            0 => ops.push(Op::ForeignOrder {
                what: list_edit(draw),
                value: draw.byte(),
            }),
            1 => ops.push(Op::Pause { seconds: 2 }),
            2 => ops.extend(settled(draw, device)),
            _ => {
                ops.push(order_edit(draw, device));
                if draw.below(3) > 0 {
                    ops.extend(sent(draw, device));
                }
            }
        }
    }
    ops
}

/// Two users edit the order as both have seen it.
fn two_edit_a_list(draw: &mut Draw<'_>) -> Vec<Op> {
    let (alice, bob) = (0, 1);
    let mut ops = vec![order_edit(draw, alice)];
    ops.extend(sent(draw, alice));
    ops.extend(settled(draw, alice));
    ops.extend(settled(draw, bob));
    ops.extend([alice, bob, alice].map(|device| order_edit(draw, device)));
    ops.extend(sent(draw, alice));
    ops.extend(sent(draw, bob));
    ops.extend(sent(draw, alice));
    ops
}

/// Another service puts into the items of the order what no model names. Then a user edits them.
fn an_item_holds_what_nobody_names(draw: &mut Draw<'_>) -> Vec<Op> {
    let device = draw.byte();
    let mut ops = settled(draw, device).to_vec();
    ops.push(order_edit(draw, device));
    ops.extend(sent(draw, device));
    for _ in 0..2 {
        ops.push(Op::ForeignOrder {
            what: list_edit(draw),
            value: 2 * draw.below(16),
        });
    }
    ops.push(Op::Pause { seconds: 3 });
    for _ in 0..3 {
        ops.extend(settled(draw, device));
        ops.push(order_edit(draw, device));
        ops.extend(sent(draw, device));
    }
    ops
}

fn order_edit(draw: &mut Draw<'_>, device: u8) -> Op {
    Op::EditOrder {
        device,
        what: match draw.below(16) {
            0 => DELETED,
            _ => list_edit(draw),
        },
        value: draw.byte(),
    }
}

/// What becomes of an order that is no delete (`world/hand/orders.rs`).
fn list_edit(draw: &mut Draw<'_>) -> u8 {
    let list = draw.below(2);
    8 * list + 1 + draw.below(7)
}

/// A user edits a field of a task twice, and sends each edit alone. Between the two another user edits another field.
fn twice(draw: &mut Draw<'_>) -> Vec<Op> {
    const TASKS: usize = 2;
    let (device, document) = (draw.byte(), draw.below(TASKS));
    let title = Op::Edit {
        device,
        document,
        what: TITLE,
        value: draw.below(30),
    };
    let done = Op::Stranger {
        document,
        what: DONE,
        value: draw.below(30),
    };
    let mut ops = settled(draw, device).to_vec();
    // If there is no such task, this creates it.
    ops.push(title);
    ops.extend(sent(draw, device));
    ops.extend(settled(draw, device));
    ops.extend([title, title]);
    ops.extend(sent(draw, device));
    ops.push(done);
    ops.extend(sent(draw, device));
    ops
}

/// A subscriber becomes a member of a team that has a document.
fn a_membership_begins(draw: &mut Draw<'_>) -> Vec<Op> {
    const BLUE: u8 = 1;
    const IN_BLUE: u8 = 2;
    let (alice, bob, gateway) = (0, 1, draw.byte());
    let mut ops = settled(draw, alice).to_vec();
    ops.push(Op::Edit {
        device: alice,
        document: draw.byte(),
        what: draw.one_of(&[1, TITLE]),
        value: IN_BLUE,
    });
    ops.extend(sent(draw, alice));
    ops.extend(settled(draw, bob));
    ops.extend([
        Op::Subscribe {
            device: bob,
            gateway,
            limit: 0,
        },
        Op::Listen { device: bob },
        Op::Member {
            user: bob,
            team: BLUE,
            what: draw.byte(),
        },
        Op::Listen { device: bob },
    ]);
    ops
}

/// A user edits a document as it was after the backup, which is then put back.
fn a_backup_is_put_back(draw: &mut Draw<'_>) -> Vec<Op> {
    let (device, document) = (draw.byte(), draw.byte());
    let edit = Op::Edit {
        device,
        document,
        what: draw.one_of(&[TITLE, DONE]),
        value: draw.below(30),
    };
    let mut ops = vec![Op::Backup];
    ops.extend(settled(draw, device));
    ops.push(edit);
    ops.extend(sent(draw, device));
    ops.extend(settled(draw, device));
    ops.extend([edit, Op::Restore]);
    ops.extend(settled(draw, device));
    ops.extend(sent(draw, device));
    ops
}

/// An app is updated, and asks for what it selects since. The page gets lost.
fn an_app_is_updated(draw: &mut Draw<'_>) -> Vec<Op> {
    let (device, document) = (draw.byte(), draw.byte());
    const EVERY_GATEWAY: u8 = 3;
    let mut ops = vec![
        Op::Deploy {
            gateway: EVERY_GATEWAY,
            edition: Edition::B,
        },
        Op::Foreign {
            document,
            what: TITLE,
            value: 3 * draw.below(10),
        },
        Op::Pause { seconds: 4 },
    ];
    ops.extend(settled(draw, device));
    ops.extend([
        Op::Update { device },
        Op::Pull {
            device,
            gateway: draw.byte(),
            limit: 3,
        },
        Op::LosePages { device },
    ]);
    ops.extend(settled(draw, device));
    ops
}

/// The device pushes one edit and gets the answer.
fn sent(draw: &mut Draw<'_>, device: u8) -> [Op; 2] {
    sent_together(draw, device, 1)
}

/// The device pushes so many edits and gets the answer.
fn sent_together(draw: &mut Draw<'_>, device: u8, count: u8) -> [Op; 2] {
    let send = Op::Send {
        device,
        gateway: draw.byte(),
        count,
        lost: false,
    };
    [send, hear(device)]
}

/// The device has the answer that is on its way, and all that there is to read.
fn settled(draw: &mut Draw<'_>, device: u8) -> [Op; 2] {
    let pull = Op::PullAll {
        device,
        gateway: draw.byte(),
        limit: 3,
    };
    [hear(device), pull]
}

fn hear(device: u8) -> Op {
    Op::Hear {
        device,
        nth: 0,
        again: false,
    }
}
