//! Scenes about values that no two documents may have: the numbers and slots of a few orders.

use super::{Draw, Op, Scene, sent, sent_together, settled};

pub(super) const SCENES: [Scene; 4] = [
    values_are_claimed,
    two_claim_one_value,
    a_value_passes_on,
    a_service_claims_what_is_taken,
];

/// What a user makes of an order (`world/hand/claims.rs`): it goes, moves, or gets another number or slot.
const DELETED: u8 = 16;
const MOVED: u8 = 17;
const NUMBER: u8 = 18;
const SLOT: u8 = 21;

/// So many values differ in their numbers, so many more in their slots, and so many each in their scopes.
const SCOPES: u8 = 4;
const NUMBERS: u8 = 3;
const SLOTS: u8 = 3;

/// Users and a service edit the orders, and hear of each other now and then.
fn values_are_claimed(draw: &mut Draw<'_>) -> Vec<Op> {
    const TURNS: usize = 14;
    let mut ops = Vec::new();
    for _ in 0..TURNS {
        let device = draw.byte();
        match draw.below(8) {
            0 => ops.push(Op::ForeignClaim {
                order: draw.byte(),
                what: claim(draw),
                value: draw.byte(),
            }),
            1 => ops.push(Op::Pause { seconds: 2 }),
            2 => ops.extend(settled(draw, device)),
            3 => {
                ops.push(Op::ClaimTogether {
                    device,
                    order: draw.byte(),
                    what: claim(draw),
                    value: draw.byte(),
                });
                ops.extend(sent(draw, device));
            }
            _ => {
                let count = 1 + draw.below(2);
                for _ in 0..count {
                    ops.push(Op::Claim {
                        device,
                        order: draw.byte(),
                        what: claim(draw),
                        value: draw.byte(),
                    });
                }
                if draw.below(3) > 0 {
                    ops.extend(sent_together(draw, device, count));
                }
            }
        }
    }
    ops
}

/// Two users create or edit two orders, which come to the same values. Neither has heard of the other.
fn two_claim_one_value(draw: &mut Draw<'_>) -> Vec<Op> {
    let (alice, bob) = (0, 1);
    let (order, what, value) = (draw.byte(), draw.one_of(&[NUMBER, SLOT]), plain(draw));
    let mut ops = settled(draw, alice).to_vec();
    ops.extend(settled(draw, bob));
    ops.extend(
        [(alice, order), (bob, order.wrapping_add(1))].map(|(device, order)| Op::Claim {
            device,
            order,
            what,
            value,
        }),
    );
    for device in [bob, alice] {
        ops.extend(sent(draw, device));
        ops.push(Op::Retry {
            device,
            gateway: draw.byte(),
        });
    }
    ops
}

/// A user takes a value from one order and gives it to the next one, in one push.
fn a_value_passes_on(draw: &mut Draw<'_>) -> Vec<Op> {
    let (device, order, value) = (draw.byte(), draw.below(3), plain(draw));
    let next = order + 1;
    let claim = claims_of(device);
    let mut ops = settled(draw, device).to_vec();
    // What is not there is created.
    ops.push(claim(next, NUMBER, value + SCOPES));
    ops.extend(sent(draw, device));
    ops.push(claim(order, NUMBER, value));
    ops.extend(sent(draw, device));
    ops.extend(settled(draw, device));
    ops.extend([
        claim(order, draw.one_of(&[NUMBER, DELETED]), value + 2 * SCOPES),
        claim(next, NUMBER, value),
    ]);
    ops.extend(sent_together(draw, device, 2));
    ops
}

/// A service gives an order what another one has. A user meets it, and then the other one leaves the value.
fn a_service_claims_what_is_taken(draw: &mut Draw<'_>) -> Vec<Op> {
    let (device, order, value) = (draw.byte(), draw.below(3), plain(draw));
    let next = order + 1;
    let claim = claims_of(device);
    let foreign = |order, what| Op::ForeignClaim { order, what, value };
    let mut ops = settled(draw, device).to_vec();
    ops.push(claim(order, NUMBER, value));
    ops.extend(sent(draw, device));
    ops.extend(settled(draw, device));
    ops.push(foreign(next, draw.one_of(&[NUMBER, SLOT])));
    ops.push(claim(next, SLOT, draw.byte()));
    ops.extend(sent(draw, device));
    ops.push(Op::Pause {
        seconds: draw.below(4),
    });
    ops.extend(settled(draw, device));
    ops.push(claim(
        order,
        draw.one_of(&[NUMBER, MOVED, DELETED]),
        value + SCOPES,
    ));
    ops.extend(sent(draw, device));
    ops
}

/// Claims that one device makes.
fn claims_of(device: u8) -> impl Fn(u8, u8, u8) -> Op {
    move |order, what, value| Op::Claim {
        device,
        order,
        what,
        value,
    }
}

/// What becomes of an order. One edit in twelve deletes it.
fn claim(draw: &mut Draw<'_>) -> u8 {
    draw.one_of(&[
        DELETED, MOVED, MOVED, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, SLOT, SLOT, SLOT, SLOT,
    ])
}

/// Any scope, number and slot, under the policy of the type.
fn plain(draw: &mut Draw<'_>) -> u8 {
    draw.below((SCOPES * NUMBERS * SLOTS).into())
}
