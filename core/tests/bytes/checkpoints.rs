//! Checkpoints as tokens: each can be read back, and no other text is one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use proptest::{
    collection::{btree_map, btree_set, vec},
    option,
    prelude::*,
    sample::Index,
};
use tidegate_core::{
    checkpoint::{Checkpoint, CheckpointError, Position, RequestedTypes, Track},
    id::{Epoch, Scope, Seq, TypeName},
};

fn names() -> impl Strategy<Value = String> {
    let longest = Just("ü".repeat(128));
    let any = "[^\\x00]{1,20}";
    prop_oneof![8 => any.prop_map(String::from), 1 => longest]
}

fn scopes() -> impl Strategy<Value = Scope> {
    names().prop_map(|name| Scope::new(&name).unwrap())
}

fn types() -> impl Strategy<Value = RequestedTypes> {
    let some = btree_set(names().prop_map(|name| TypeName::new(&name).unwrap()), 0..4);
    prop_oneof![
        Just(RequestedTypes::All),
        some.prop_map(RequestedTypes::Only)
    ]
}

fn positions() -> impl Strategy<Value = Position> {
    (any::<i64>(), any::<i64>()).prop_map(|(seq, start)| Position {
        seq: Seq(seq),
        start: Seq(start),
    })
}

fn checkpoints() -> impl Strategy<Value = Checkpoint> {
    let track = (types(), btree_map(scopes(), positions(), 0..5))
        .prop_map(|(types, positions)| Track { types, positions });
    (names(), types(), vec(track, 0..4), option::of(scopes())).prop_map(
        |(epoch, types, tracks, turn)| Checkpoint {
            epoch: Epoch::new(&epoch).unwrap(),
            types,
            tracks,
            turn,
        },
    )
}

/// A token with a correct checksum, as any client can make one.
fn forged(fields: &[u8]) -> String {
    let mut bytes = vec![1];
    bytes.extend(fields);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    BASE64.encode(bytes)
}

fn fields(token: &str) -> Vec<u8> {
    let bytes = BASE64.decode(token).unwrap();
    bytes[1..bytes.len() - 4].to_vec()
}

proptest! {
    #[test]
    fn any_checkpoint_comes_back(checkpoint in checkpoints()) {
        prop_assert_eq!(Checkpoint::decode(&checkpoint.encode()), Ok(checkpoint));
    }

    #[test]
    fn a_token_that_was_cut_or_mangled_is_refused(
        checkpoint in checkpoints(),
        at in any::<Index>(),
        other in "[A-Za-z0-9_=+/ é-]",
    ) {
        let token = checkpoint.encode();
        let at = at.index(token.len());
        let (before, rest) = token.split_at(at);
        let cut = before.to_owned();
        let replaced = format!("{before}{other}{}", &rest[1..]);
        let inserted = format!("{before}{other}{rest}");
        let removed = format!("{before}{}", &rest[1..]);
        for mangled in [cut, replaced, inserted, removed] {
            if mangled != token {
                prop_assert_eq!(Checkpoint::decode(&mangled), Err(CheckpointError));
            }
        }
    }

    #[test]
    fn fields_forged_under_a_right_checksum_are_refused_or_one_checkpoints_own(
        checkpoint in checkpoints(),
        at in any::<Index>(),
        other in any::<u8>(),
    ) {
        let mut fields = fields(&checkpoint.encode());
        let at = at.index(fields.len());
        fields[at] = other;
        let token = forged(&fields);
        if let Ok(read) = Checkpoint::decode(&token) {
            prop_assert_eq!(read.encode(), token);
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(read) = Checkpoint::decode(&forged(&bytes)) {
            prop_assert_eq!(read.encode(), forged(&bytes));
        }
    }
}

/// A checkpoint had many tokens: postcard reads 0x80 0x00 as the number 0, a scope that comes twice, and trailing
/// bytes.
#[test]
fn a_checkpoint_has_one_token() {
    let smallest = [1, b'e', 0, 0, 0];
    assert!(Checkpoint::decode(&forged(&smallest)).is_ok());
    let padded = [1, b'e', 0, 0x80, 0, 0];
    assert_eq!(Checkpoint::decode(&forged(&padded)), Err(CheckpointError));
    let repeated = [1, b'e', 0, 1, 0, 2, 1, b's', 0, 0, 1, b's', 2, 2, 0];
    assert_eq!(Checkpoint::decode(&forged(&repeated)), Err(CheckpointError));
    let followed = [1, b'e', 0, 0, 0, 0];
    assert_eq!(Checkpoint::decode(&forged(&followed)), Err(CheckpointError));
}

/// A forged token could bring names into the gateway that no other input may: empty, with U+0000, of any length.
#[test]
fn a_checkpoint_holds_only_names() {
    let empty = [0, 0, 0, 0];
    let nul = [1, 0, 0, 0, 0];
    let mut long = vec![0x81, 0x02];
    long.extend([b'e'; 257]);
    long.extend([0, 0, 0]);
    for fields in [&empty[..], &nul, &long] {
        assert_eq!(Checkpoint::decode(&forged(fields)), Err(CheckpointError));
    }
}
