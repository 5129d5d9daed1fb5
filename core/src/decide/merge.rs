//! Joining two edits of one field's value: sums, sets, words, and which of two values is larger.
//!
//! Pure functions of values; whether they are asked at all is decided in [`super::update`].

use std::{cmp::Ordering, collections::HashMap};

use crate::{model::MergeStrategy, value::Value};

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
    let removed = |item: &Value| seen.contains(item) && !mine.contains(item);
    let kept = theirs.iter().filter(|item| !removed(item));
    let added = mine.iter().filter(|item| !seen.contains(item));
    let mut joined: Vec<Value> = Vec::new();
    for item in kept.chain(added) {
        if !joined.contains(item) {
            joined.push(item.clone());
        }
    }
    Some(Value::List(joined))
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
    let [base, ours, others] = [seen, mine, theirs].map(|text| words.lines_of(text));
    let merged = diffy::merge(&base, &others, &ours).ok()?;
    words.text_of(&merged).map(Value::String)
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
    fn lines_of(&mut self, text: &'a str) -> String {
        text.split_inclusive(char::is_whitespace)
            .map(|word| {
                let number = *self.numbers.entry(word).or_insert_with(|| {
                    self.words.push(word);
                    self.words.len() - 1
                });
                format!("{number}\n")
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
