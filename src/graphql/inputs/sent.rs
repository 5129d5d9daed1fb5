//! The fingerprints of pushes and resolutions as they were sent, which identify their retries (rules.md 4.2, 4.11): before
//! defaults are filled in, and by the names that the client used. So a retry is recognised after the model has changed.
//!
//! A number counts as its digits, in whatever type: a field may have been an `Int` when the request was first sent, and be
//! a `Float` or an `ID` now.

use async_graphql::{Name, Number, Value, indexmap::IndexMap};
use sha2::{Digest, Sha256};
use tidegate_core::push::{PushHash, ResolutionHash};

/// The fingerprint of the input of `pushChanges`, over its changes, `atomic` and `policy`.
pub(super) fn push_hash(input: &IndexMap<Name, Value>) -> PushHash {
    PushHash(hash(input, &["changes", "atomic", "policy"]))
}

/// The fingerprint of the input of `resolveConflict`, over what becomes of which version.
pub(super) fn resolution_hash(input: &IndexMap<Name, Value>) -> ResolutionHash {
    ResolutionHash(hash(input, &["baseVersion", "resolution"]))
}

fn hash(input: &IndexMap<Name, Value>, parts: &[&str]) -> [u8; 32] {
    let mut sha = Sha256::new();
    for part in parts {
        write(&mut sha, input.get(*part).unwrap_or(&Value::Null));
    }
    sha.finalize().into()
}

/// Writes a value so that no two have the same bytes, save numbers and texts of the same digits. The order of an
/// object's fields does not count.
fn write(sha: &mut Sha256, value: &Value) {
    match value {
        Value::Null => sha.update(b"n"),
        Value::Boolean(value) => sha.update(if *value { b"t" } else { b"f" }),
        Value::Number(number) => write_text(sha, &digits(number)),
        Value::String(text) => write_text(sha, text),
        Value::Enum(name) => write_text(sha, name),
        // Validation accepts none.
        Value::Binary(_) => sha.update(b"b"),
        Value::List(items) => {
            write_head(sha, b"l", items.len());
            items.iter().for_each(|item| write(sha, item));
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| name.as_str());
            write_head(sha, b"o", fields.len());
            for (name, value) in fields {
                write_text(sha, name);
                write(sha, value);
            }
        }
    }
}

fn write_text(sha: &mut Sha256, text: &str) {
    write_head(sha, b"s", text.len());
    sha.update(text);
}

fn write_head(sha: &mut Sha256, kind: &[u8; 1], length: usize) {
    sha.update(kind);
    sha.update((length as u64).to_le_bytes());
}

/// The shortest spelling of a number: a whole float has that of the integer.
fn digits(number: &Number) -> String {
    /// Up to this number a float holds every integer.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let float = number.as_f64().filter(|_| number.is_f64());
    match float.filter(|float| float.fract() == 0.0 && float.abs() <= EXACT_MAX) {
        Some(whole) => (whole as i64).to_string(),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn hash_of(input: Json) -> PushHash {
        match Value::from_json(input).unwrap() {
            Value::Object(input) => push_hash(&input),
            _ => unreachable!("an input is an object"),
        }
    }

    fn of_set(set: Json) -> PushHash {
        hash_of(json!({"changes": [{"task": {"update": {"id": "a", "set": set}}}]}))
    }

    #[test]
    fn a_number_counts_as_its_digits_and_the_order_of_fields_does_not_count() {
        for [a, b] in [
            [json!({"a": 1}), json!({"a": 1.0})],
            [json!({"a": 1}), json!({"a": "1"})],
            [json!({"a": -0.0}), json!({"a": 0})],
            [
                json!({"a": 1, "b": {"c": 2, "d": 3}}),
                json!({"b": {"d": 3, "c": 2}, "a": 1}),
            ],
        ] {
            assert_eq!(of_set(a.clone()), of_set(b.clone()), "{a} {b}");
        }
    }

    #[test]
    fn whatever_else_differs_gives_another_hash() {
        let sets = [
            json!({}),
            json!({"a": null}),
            json!({"a": "null"}),
            json!({"a": ""}),
            json!({"a": "n"}),
            json!({"a": []}),
            json!({"a": {}}),
            json!({"a": [[]]}),
            json!({"a": [null]}),
            json!({"a": ["b", "c"]}),
            json!({"a": ["bc"]}),
            json!({"a": [["b"], "c"]}),
            json!({"a": [["b", "c"]]}),
            json!({"a": {"b": "c"}}),
            json!({"a": "b", "c": null}),
            json!({"ab": null}),
            json!({"a": true}),
            json!({"a": false}),
            json!({"a": 0}),
            json!({"a": 0.5}),
            json!({"a": 9_007_199_254_740_993_i64}),
            json!({"a": 9_007_199_254_740_992_i64}),
        ];
        for (i, a) in sets.iter().enumerate() {
            for b in &sets[..i] {
                assert_ne!(of_set(a.clone()), of_set(b.clone()), "{a} {b}");
            }
        }
        let rest = json!({"changes": [], "atomic": false, "policy": "MERGE"});
        for other in [
            json!({"changes": [], "atomic": true, "policy": "MERGE"}),
            json!({"changes": [], "atomic": false, "policy": "MANUAL"}),
            json!({"changes": [], "atomic": false}),
        ] {
            assert_ne!(hash_of(rest.clone()), hash_of(other.clone()), "{other}");
        }
        let with_client = json!({"changes": [], "atomic": false, "policy": "MERGE", "epoch": "e", "client": {"id": "c"}});
        assert_eq!(hash_of(rest), hash_of(with_client));
    }
}
