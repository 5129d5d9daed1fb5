//! Joining two edits of one field's value: sums, sets, words, and which of two values is larger.
//!
//! Pure functions of values; whether they are asked at all is decided in [`super::update`].

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
};

use crate::{model::MergeStrategy, value::Value};

/// The most words, of both texts together, between the first and the last at which they differ. Beyond it a text is
/// not merged: the time a difference takes grows with the square of it, and all other pushes wait for that long.
const CHANGED_WORDS_MAX: usize = 4_000;

/// A sum that the field's type cannot hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

/// Whether a strategy adds the client's difference to whatever stands there.
pub(super) fn is_difference(strategy: MergeStrategy) -> bool {
    matches!(
        strategy,
        MergeStrategy::Counter | MergeStrategy::Set | MergeStrategy::Text
    )
}

/// `theirs` with the difference between `seen` and `mine` added; `None` if there is no such thing (the client cleared
/// the field, or both changed the same words). A null counter, set or text counts as 0, empty, "".
pub(super) fn join(
    strategy: MergeStrategy,
    seen: &Value,
    mine: &Value,
    theirs: &Value,
) -> Result<Option<Value>, Overflow> {
    if mine.is_null() {
        return Ok(None);
    }
    match strategy {
        MergeStrategy::Counter => sum(seen, mine, theirs),
        MergeStrategy::Set => Ok(join_sets(seen, mine, theirs)),
        MergeStrategy::Text => Ok(join_texts(seen, mine, theirs)),
        _ => Ok(None),
    }
}

fn sum(seen: &Value, mine: &Value, theirs: &Value) -> Result<Option<Value>, Overflow> {
    let (Some(seen), Some(added), Some(theirs)) = (integer(seen), integer(mine), integer(theirs))
    else {
        return Ok(None);
    };
    let total = theirs + added - seen;
    let value = match mine {
        Value::Int(_) => i32::try_from(total).map(Value::Int),
        _ => i64::try_from(total).map(Value::Long),
    };
    value.map(Some).map_err(|_| Overflow)
}

fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Null => Some(0),
        Value::Int(number) => Some(i128::from(*number)),
        Value::Long(number) => Some(i128::from(*number)),
        _ => None,
    }
}

/// Their order is kept, what the client took away is gone, what it added comes last; nothing stands twice.
fn join_sets(seen: &Value, mine: &Value, theirs: &Value) -> Option<Value> {
    let (seen, mine, theirs) = (items(seen)?, items(mine)?, items(theirs)?);
    let (before, after) = (keys(seen), keys(mine));
    let mut joined = Vec::new();
    let mut taken = HashSet::new();
    for item in theirs {
        let key = key(item);
        let removed = before.contains(&key) && !after.contains(&key);
        if !removed && taken.insert(key) {
            joined.push(item.clone());
        }
    }
    for item in mine {
        let key = key(item);
        if !before.contains(&key) && taken.insert(key) {
            joined.push(item.clone());
        }
    }
    Some(Value::List(joined))
}

fn keys(items: &[Value]) -> HashSet<String> {
    items.iter().map(key).collect()
}

/// What tells an item from others: values have no hash of their own, and comparing each with each takes minutes for
/// the largest sets a push can carry.
fn key(item: &Value) -> String {
    serde_json::to_string(item).expect("values hold string keys, which JSON can write")
}

fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Null => Some(&[]),
        Value::List(items) => Some(items),
        _ => None,
    }
}

fn join_texts(seen: &Value, mine: &Value, theirs: &Value) -> Option<Value> {
    let (seen, mine, theirs) = (text(seen)?, text(mine)?, text(theirs)?);
    let mut words = Words::default();
    let [base, ours, others] = [seen, mine, theirs].map(|text| words.numbers_of(text));
    if changed_words(&base, &ours).max(changed_words(&base, &others)) > CHANGED_WORDS_MAX {
        return None;
    }
    let [base, ours, others] = [base, ours, others].map(|numbers| lines(&numbers));
    let merged = diffy::merge(&base, &others, &ours).ok()?;
    words.text_of(&merged).map(Value::String)
}

/// How many words of both lie between the first and the last difference.
fn changed_words(a: &[usize], b: &[usize]) -> usize {
    let common = |(a, b): &(&usize, &usize)| a == b;
    let first = a.iter().zip(b).take_while(common).count();
    let (a, b) = (&a[first..], &b[first..]);
    let last = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(common)
        .count();
    a.len() + b.len() - 2 * last
}

fn lines(numbers: &[usize]) -> String {
    numbers.iter().map(|number| format!("{number}\n")).collect()
}

fn text(value: &Value) -> Option<&str> {
    if value.is_null() {
        Some("")
    } else {
        value.as_str()
    }
}

/// Words as lines: the merge library works on lines, and a numbered word on each makes it work on words.
#[derive(Default)]
struct Words<'a> {
    numbers: HashMap<&'a str, usize>,
    words: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn numbers_of(&mut self, text: &'a str) -> Vec<usize> {
        text.split_inclusive(char::is_whitespace)
            .map(|word| {
                *self.numbers.entry(word).or_insert_with(|| {
                    self.words.push(word);
                    self.words.len() - 1
                })
            })
            .collect()
    }

    fn text_of(&self, lines: &str) -> Option<String> {
        lines
            .lines()
            .map(|line| self.words.get(line.parse::<usize>().ok()?).copied())
            .collect()
    }
}

/// Whether `mine` is larger than `theirs`; a value is larger than none.
pub(super) fn is_above(mine: &Value, theirs: Option<&Value>) -> bool {
    extreme(mine, theirs, Ordering::Greater)
}

/// Whether `mine` is smaller than `theirs`; a value takes the place of none.
pub(super) fn is_below(mine: &Value, theirs: Option<&Value>) -> bool {
    extreme(mine, theirs, Ordering::Less)
}

fn extreme(mine: &Value, theirs: Option<&Value>, wanted: Ordering) -> bool {
    match theirs {
        None | Some(Value::Null) => true,
        Some(theirs) => compare(mine, theirs) == Some(wanted),
    }
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Long(a), Value::Long(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::DateTime(a), Value::DateTime(b)) => Some(a.cmp(b)),
        (Value::Decimal(a), Value::Decimal(b)) => Some(a.compare(b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|number| format!("{number} ")).collect()
    }

    fn text_of(parts: &[&[String]]) -> Value {
        Value::String(parts.iter().flat_map(|part| part.iter()).cloned().collect())
    }

    #[test]
    fn the_largest_sets_of_a_push_are_joined_at_once() {
        let set = |range: std::ops::Range<i32>| Value::List(range.map(Value::Int).collect());
        let (seen, mine, theirs) = (set(0..60_000), set(30_000..90_000), set(0..60_000));
        assert_eq!(join_sets(&seen, &mine, &theirs), Some(set(30_000..90_000)));
    }

    #[test]
    fn a_set_keeps_nothing_twice_and_tells_values_of_different_types_apart() {
        let (one, long) = (Value::Int(1), Value::Long(1));
        let list = |items: &[&Value]| Value::List(items.iter().copied().cloned().collect());
        let joined = join_sets(
            &list(&[]),
            &list(&[&one, &one, &long]),
            &list(&[&one, &one]),
        );
        assert_eq!(joined, Some(list(&[&one, &long])));
    }

    #[test]
    fn a_small_change_is_merged_into_a_text_of_any_length() {
        let (start, end) = (words(0..20_000), words(20_000..40_000));
        let (mine, theirs) = (["mine ".to_owned()], ["theirs ".to_owned()]);
        let seen = text_of(&[&start, &end]);
        let merged = join_texts(
            &seen,
            &text_of(&[&start, &end, &mine]),
            &text_of(&[&theirs, &start, &end]),
        );
        assert_eq!(merged, Some(text_of(&[&theirs, &start, &end, &mine])));
    }

    #[test]
    fn texts_with_too_many_changed_words_are_not_merged() {
        let (start, end) = (words(0..2_001), words(3_000..5_001));
        let (mine, theirs) = (words(10_000..12_001), words(13_000..15_001));
        let merged = join_texts(
            &text_of(&[&start, &end]),
            &text_of(&[&mine, &end]),
            &text_of(&[&start, &theirs]),
        );
        assert_eq!(merged, None);
    }
}
