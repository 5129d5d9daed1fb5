//! Checkpoints as tokens: each can be read back by its store and user, and no other text is one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use proptest::{
    collection::{btree_map, btree_set, vec},
    option,
    prelude::*,
    sample::Index,
};
use tidegate_core::{
    checkpoint::{
        Checkpoint, CheckpointError, Position, Refreshed, Skipped, Token, TokenKey, Track,
    },
    generation::{ModelState, Term, TypeNumber},
    id::{Epoch, Scope, ScopeNumber, Seq, TypeName, UserId},
};

const KEY: TokenKey = TokenKey([7; 32]);

fn alice() -> UserId {
    UserId::new("alice").unwrap()
}

fn names() -> impl Strategy<Value = String> {
    let longest = Just("ü".repeat(128));
    let any = "[^\\x00]{1,20}";
    prop_oneof![8 => any.prop_map(String::from), 1 => longest]
}

/// Some scopes, each with a number or without one.
fn scopes() -> impl Strategy<Value = BTreeMap<Scope, Option<ScopeNumber>>> {
    let gaps = option::weighted(0.8, 1..1_000_u32);
    btree_map(names(), gaps, 0..6).prop_map(|named| {
        let mut last = 0;
        let numbered = named.into_iter().map(|(name, gap)| {
            let number = gap.map(|gap| {
                last += gap;
                ScopeNumber(last)
            });
            (Scope::new(&name).unwrap(), number)
        });
        numbered.collect()
    })
}

fn seqs() -> impl Strategy<Value = i64> {
    prop_oneof![0..200_i64, 0..1_i64 << 53]
}

type Place = Option<(i64, i64)>;

/// Some positions often are as in the track before.
fn places() -> impl Strategy<Value = Vec<Vec<Place>>> {
    let place = option::weighted(0.9, (seqs(), prop_oneof![Just(0), seqs()]));
    vec(vec(place, 6), 0..4)
}

fn types() -> impl Strategy<Value = Vec<BTreeSet<u32>>> {
    vec(btree_set(1..40_u32, 1..9), 4)
}

fn skips() -> impl Strategy<Value = Vec<Option<Skipped>>> {
    let led = (seqs(), any::<u64>()).prop_map(|(seq, term)| (Seq(seq), Term(term)));
    let skip = (option::of(seqs().prop_map(Seq)), option::of(led));
    let skip = skip.prop_map(|(old, led)| Skipped { old, led });
    vec(option::weighted(0.3, skip), 6)
}

fn checkpoints() -> impl Strategy<Value = Checkpoint> {
    let content = (
        names(),
        scopes(),
        places(),
        types(),
        skips(),
        option::of(0..6_usize),
        any::<u64>(),
    );
    content.prop_map(|(epoch, scopes, places, types, skips, turn, selection)| {
        let mut taken = BTreeSet::new();
        let tracks = places.iter().zip(types).map(|(places, types)| Track {
            types: types
                .into_iter()
                .filter(|it| taken.insert(*it))
                .map(TypeNumber)
                .collect(),
            positions: scopes
                .iter()
                .zip(places)
                .filter_map(|((scope, number), place)| {
                    let (seq, more) = (*place)?;
                    let position = Position {
                        seq: Seq(seq),
                        start: Seq(seq + more),
                        number: *number,
                    };
                    Some((scope.clone(), position))
                })
                .collect(),
        });
        let tracks: Vec<Track> = tracks.collect();
        let stands = |scope: &Scope| {
            let mut positions = tracks.iter().filter_map(|track| track.positions.get(scope));
            positions.any(|it| it.number.is_some() || it.start > Seq::START)
        };
        let kept = scopes.keys().filter(|scope| stands(scope));
        let skipped = kept.clone().zip(skips);
        let skipped = skipped.filter_map(|(scope, skip)| Some((scope.clone(), skip?)));
        Checkpoint {
            epoch: Epoch::new(&epoch).unwrap(),
            turn: turn.and_then(|turn| kept.clone().nth(turn).cloned()),
            skipped: skipped.collect(),
            refreshed: Refreshed {
                types: tracks
                    .first()
                    .map(|track| track.types.clone())
                    .unwrap_or_default(),
                selection,
            },
            tracks,
        }
    })
}

/// Without the scopes in which nothing was written yet.
fn as_kept(mut checkpoint: Checkpoint) -> Checkpoint {
    let positions = checkpoint.tracks.iter().flat_map(|track| &track.positions);
    let stands = positions.filter(|(_, it)| it.number.is_some() || it.start > Seq::START);
    let kept: BTreeSet<Scope> = stands.map(|(scope, _)| scope.clone()).collect();
    for track in &mut checkpoint.tracks {
        track.positions.retain(|scope, _| kept.contains(scope));
    }
    checkpoint
}

fn scope_names(checkpoint: &Checkpoint) -> HashMap<ScopeNumber, Scope> {
    let positions = checkpoint.tracks.iter().flat_map(|track| &track.positions);
    let named = positions.filter_map(|(scope, it)| Some((it.number?, scope.clone())));
    named.collect()
}

fn open(
    token: &str,
    of: &Checkpoint,
    user: &UserId,
) -> Result<Option<Checkpoint>, CheckpointError> {
    let unsealed = Token::parse(token)?.unseal(&of.epoch, &KEY, user)?;
    let names = scope_names(of);
    Ok(unsealed.and_then(|token| {
        assert_eq!(token.numbers(), names.keys().copied().collect());
        token.checkpoint(&names, &ModelState::default())
    }))
}

proptest! {
    #[test]
    fn any_checkpoint_comes_back(checkpoint in checkpoints()) {
        let token = checkpoint.seal(&KEY, &alice());
        prop_assert_eq!(open(&token, &checkpoint, &alice()), Ok(Some(as_kept(checkpoint))));
    }

    #[test]
    fn a_token_that_was_cut_or_mangled_is_refused_or_of_another_epoch(
        checkpoint in checkpoints(),
        at in any::<Index>(),
        other in "[A-Za-z0-9_=+/ é-]",
    ) {
        let token = checkpoint.seal(&KEY, &alice());
        let at = at.index(token.len());
        let (before, rest) = token.split_at(at);
        let cut = before.to_owned();
        let replaced = format!("{before}{other}{}", &rest[1..]);
        let inserted = format!("{before}{other}{rest}");
        let removed = format!("{before}{}", &rest[1..]);
        for mangled in [cut, replaced, inserted, removed] {
            if mangled != token {
                prop_assert!(matches!(open(&mangled, &checkpoint, &alice()), Err(CheckpointError) | Ok(None)));
            }
        }
    }

    /// Numbers that a client makes up would reveal the names of scopes.
    #[test]
    fn no_token_is_taken_from_another_user_or_store(
        checkpoint in checkpoints(),
        secret in any::<[u8; 32]>(),
        user in names(),
    ) {
        let token = checkpoint.seal(&KEY, &alice());
        let user = UserId::new(&user).unwrap();
        let of_another = Token::parse(&token).unwrap().unseal(&checkpoint.epoch, &KEY, &user);
        prop_assert!(user == alice() || of_another.is_err());
        let elsewhere = Token::parse(&token).unwrap().unseal(&checkpoint.epoch, &TokenKey(secret), &alice());
        prop_assert!(elsewhere.is_err());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..200), format in 1..=2_u8) {
        let mut bytes = [vec![format], bytes].concat();
        if format == 1 {
            bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        }
        let Ok(token) = Token::parse(&BASE64.encode(bytes)) else { return Ok(()) };
        if let Ok(Some(token)) = token.unseal(&Epoch::new("e").unwrap(), &KEY, &alice()) {
            token.checkpoint(&HashMap::new(), &ModelState::default());
        }
    }
}

/// A store that was made again has another secret. Its clients start again, as in each other epoch.
#[test]
fn a_token_of_another_epoch_is_a_reset_and_no_error() {
    let checkpoint = of_scopes(1, 1);
    let token = Token::parse(&checkpoint.seal(&KEY, &alice())).unwrap();
    let unsealed = token.unseal(&Epoch::new("e2").unwrap(), &TokenKey([8; 32]), &alice());
    assert!(unsealed.unwrap().is_none());
}

#[test]
fn a_scope_that_the_store_has_lost_makes_no_checkpoint() {
    let checkpoint = of_scopes(2, 1);
    let token = Token::parse(&checkpoint.seal(&KEY, &alice())).unwrap();
    let unsealed = token
        .unseal(&checkpoint.epoch, &KEY, &alice())
        .unwrap()
        .unwrap();
    let mut names = scope_names(&checkpoint);
    names.remove(&ScopeNumber(1));
    assert_eq!(unsealed.checkpoint(&names, &ModelState::default()), None);
}

/// A user's scopes, each some numbers behind the one before, at feeds of usual lengths.
fn of_scopes(count: u32, gap: u32) -> Checkpoint {
    let position = |n: u32| {
        let seq = i64::from(n) * 7_919 % 100_000;
        let position = Position {
            seq: Seq(seq),
            start: Seq(seq),
            number: Some(ScopeNumber(n * gap)),
        };
        let scope = format!("team:{:024x}", u64::from(n) * 0x9e37_79b9);
        (Scope::new(&scope).unwrap(), position)
    };
    Checkpoint {
        epoch: Epoch::new("0f8fad5b-d9cb-469f-a165-70867728950e").unwrap(),
        tracks: vec![Track {
            types: (1..=100).map(TypeNumber).collect(),
            positions: (0..count).map(position).collect(),
        }],
        skipped: BTreeMap::new(),
        turn: None,
        refreshed: Refreshed::default(),
    }
}

#[test]
fn a_checkpoint_of_ten_thousand_scopes_has_at_most_80_kilobytes() {
    let user = alice();
    for gap in [1, 100] {
        let mut checkpoint = of_scopes(10_000, gap);
        let token = checkpoint.seal(&KEY, &user);
        assert!(token.len() <= 80_000, "{}", token.len());
        // While a first sync is under way.
        for (place, position) in checkpoint.tracks[0].positions.values_mut().enumerate() {
            position.seq = if place < 5_000 {
                position.start
            } else {
                Seq::START
            };
        }
        let token = checkpoint.seal(&KEY, &user);
        assert!(token.len() <= 80_000, "{}", token.len());
        let few = of_scopes(1_000, gap).seal(&KEY, &user).len();
        assert!((5_000..8_000).contains(&few), "{few}");
    }
}

#[test]
fn what_was_passed_in_each_of_ten_thousand_scopes_has_at_most_160_kilobytes_more() {
    let mut checkpoint = of_scopes(10_000, 1);
    let positions = &checkpoint.tracks[0].positions;
    let skipped = positions.iter().map(|(scope, position)| {
        let led = Some((position.seq, Term(9)));
        let old = Some(position.seq);
        (scope.clone(), Skipped { old, led })
    });
    checkpoint.skipped = skipped.collect();
    let token = checkpoint.seal(&KEY, &alice());
    assert!(token.len() <= 80_000 + 160_000, "{}", token.len());
}

/// A gateway that does not know a type leaves its track behind. Where the tracks stand together it costs a byte.
#[test]
fn types_that_stay_behind_in_a_few_scopes_cost_little() {
    let mut checkpoint = of_scopes(1_000, 1);
    let one = checkpoint.seal(&KEY, &alice()).len();
    let mut behind = checkpoint.tracks[0].clone();
    behind.types = [TypeNumber(101)].into();
    for position in behind.positions.values_mut().take(10) {
        position.seq = Seq(0);
    }
    checkpoint.tracks.push(behind);
    let two = checkpoint.seal(&KEY, &alice()).len();
    assert!(two - one < 1_500, "{one} {two}");
}

/// A token of format 1 as earlier releases made it.
fn first_format(fields: &[u8]) -> String {
    let mut bytes = vec![1];
    bytes.extend(fields);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    BASE64.encode(bytes)
}

fn read_first(fields: &[u8]) -> Option<Checkpoint> {
    let names = ["A", "B", "C"].map(|name| TypeName::new(name).unwrap());
    let models = ModelState {
        numbers: names.into_iter().zip([1, 2, 3].map(TypeNumber)).collect(),
        first: TypeNumber(2),
        ..ModelState::default()
    };
    let token = Token::parse(&first_format(fields)).ok()?;
    let unsealed = token.unseal(&Epoch::new("e").unwrap(), &KEY, &alice());
    unsealed
        .unwrap()
        .unwrap()
        .checkpoint(&HashMap::new(), &models)
}

/// Epoch `e`; all types; a track of all types at 7 in `s`, begun at 9; the turn of `s`.
const ALL: [u8; 14] = [1, b'e', 0, 1, 0, 1, 1, b's', 14, 18, 1, 1, b's', 0];

#[test]
fn tokens_of_earlier_releases_are_read() {
    let read = read_first(&ALL[..13]).unwrap();
    let position = Position {
        seq: Seq(7),
        start: Seq(9),
        number: None,
    };
    let scope = Scope::new("s").unwrap();
    assert_eq!(read.tracks.len(), 1);
    assert_eq!(read.tracks[0].positions, [(scope.clone(), position)].into());
    assert_eq!(read.turn, Some(scope));
    // All types were those of the first model: a type that came later catches up.
    assert_eq!(read.tracks[0].types, [1, 2].map(TypeNumber).into());
    // Epoch `e`; the types B and C; a track of C, and one of B and C.
    let listed = [
        1, b'e', 1, 2, 1, b'B', 1, b'C', 2, 1, 1, 1, b'C', 0, 1, 2, 1, b'B', 1, b'C', 0, 0,
    ];
    let tracks = read_first(&listed).unwrap().tracks;
    let types: Vec<_> = tracks.into_iter().map(|track| track.types).collect();
    assert_eq!(types, [[TypeNumber(3)].into(), [TypeNumber(2)].into()]);
}

/// Such a token has no proof of its origin.
#[test]
fn a_forged_token_of_format_1_holds_only_names_and_seqs_that_can_be() {
    let mut negative = ALL;
    negative[8] = 13;
    let beyond = [&ALL[..8], &[0xfe; 8], &[1], &ALL[9..]].concat();
    let empty = [0, 0, 0, 0];
    let nul = [1, 0, 0, 0, 0];
    let mut long = vec![0x81, 0x02];
    long.extend([b'e'; 257]);
    long.extend([0, 0, 0]);
    for fields in [&negative[..], &beyond, &empty, &nul, &long] {
        assert_eq!(read_first(fields), None, "{fields:?}");
    }
    let mangled = first_format(&ALL).replace("AQ", "AR");
    assert!(Token::parse(&mangled).is_err());
    assert!(Token::parse(&"A".repeat(2_000_000)).is_err());
}
