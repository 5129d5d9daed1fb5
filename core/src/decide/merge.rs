//! Joining two edits of one field's value: sums, sets, sentences, embedded documents, and which of two values is larger.
//!
//! Pure functions of values; whether they are asked at all is decided in [`super::update`].

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
};

use unicode_segmentation::UnicodeSegmentation;

use crate::{
    model::{Field, MergeStrategy, Model, Shape},
    outcome::Rule,
    value::{Document, Value},
};

/// The most sentences, of both texts together, between the first and the last at which they differ. Beyond it a text is
/// not merged: the time a difference takes grows with the square of it, and all other pushes wait for that long.
const CHANGED_SENTENCES_MAX: usize = 2_000;

/// A sum that the field's type cannot hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow {
    /// Where, from the field that was joined: empty, or `.minutes`.
    pub(super) path: String,
}

/// Whether a strategy adds the client's difference to whatever stands there.
pub(super) fn is_difference(strategy: MergeStrategy) -> bool {
    matches!(
        strategy,
        MergeStrategy::Counter | MergeStrategy::Set | MergeStrategy::Text
    )
}

/// By which rule the edits of a field are joined, if they are at all.
pub(super) fn joins(model: &Model, field: &Field) -> Option<Rule> {
    match field.merge {
        Some(strategy) => is_difference(strategy).then(|| strategy.into()),
        None => merges_inside(model, &field.ty.shape, &mut HashSet::new()).then_some(Rule::Nested),
    }
}

/// Whether an embedded type says `@merge` of any of its fields, however deep; a type may contain itself.
fn merges_inside<'m>(model: &'m Model, shape: &'m Shape, seen: &mut HashSet<&'m str>) -> bool {
    let Shape::Embedded(name) = shape else {
        return false;
    };
    let fields = embedded(model, shape).unwrap_or_default();
    seen.insert(name)
        && fields
            .iter()
            .any(|field| field.merge.is_some() || merges_inside(model, &field.ty.shape, seen))
}

fn embedded<'m>(model: &'m Model, shape: &Shape) -> Option<&'m [Field]> {
    match shape {
        Shape::Embedded(name) => Some(&model.embedded.get(name)?.fields),
        _ => None,
    }
}

/// The three sides of a value; an absent one is `None`.
pub(super) struct Three<'v> {
    pub(super) seen: Option<&'v Value>,
    pub(super) mine: Option<&'v Value>,
    pub(super) theirs: Option<&'v Value>,
}

/// How two edits are judged where they cannot both stand.
pub(super) struct Judge<'m> {
    pub(super) model: &'m Model,
    /// Whether the client's wins, by the rule for overlaps; `None` if somebody has to be asked.
    pub(super) overlap: Option<bool>,
    /// Whether the client's is the later one.
    pub(super) is_later: bool,
    /// Whether the strategies that choose a side are in force.
    pub(super) merges: bool,
}

impl Judge<'_> {
    /// `theirs` with the difference between `seen` and `mine` added; `None` if there is no such thing (the client cleared
    /// the field, or both changed the same sentence). A null counter, set or text counts as 0, empty, "".
    pub(super) fn join(&self, field: &Field, three: &Three<'_>) -> Result<Option<Value>, Overflow> {
        const NULL: Value = Value::Null;
        let or_null = |side: Option<&'_ Value>| side.cloned().unwrap_or(NULL);
        let (seen, mine, theirs) = (
            or_null(three.seen),
            or_null(three.mine),
            or_null(three.theirs),
        );
        if mine.is_null() {
            return Ok(None);
        }
        match field.merge {
            Some(MergeStrategy::Counter) => sum(&seen, &mine, &theirs),
            Some(MergeStrategy::Set) => Ok(join_sets(&seen, &mine, &theirs)),
            Some(MergeStrategy::Text) => Ok(join_texts(&seen, &mine, &theirs)),
            Some(_) => Ok(None),
            None => self.join_embedded(field, &seen, &mine, &theirs),
        }
    }

    /// Each field of an embedded document by itself: what one side changed is taken, what both did goes by its `@merge`.
    fn join_embedded(
        &self,
        field: &Field,
        seen: &Value,
        mine: &Value,
        theirs: &Value,
    ) -> Result<Option<Value>, Overflow> {
        let (Some(fields), Value::Object(seen), Value::Object(mine), Value::Object(theirs)) =
            (embedded(self.model, &field.ty.shape), seen, mine, theirs)
        else {
            return Ok(None);
        };
        let mut joined: Document = theirs.clone();
        for field in fields {
            let name = &field.name;
            let three = Three {
                seen: seen.get(name),
                mine: mine.get(name),
                theirs: theirs.get(name),
            };
            let settled = self.settle(field, &three).map_err(|overflow| Overflow {
                path: format!(".{name}{}", overflow.path),
            })?;
            match settled {
                None => return Ok(None),
                Some(None) => drop(joined.remove(name)),
                Some(Some(value)) => drop(joined.insert(name.clone(), value)),
            }
        }
        Ok(Some(Value::Object(joined)))
    }

    /// The value of one field of an embedded document, absent or not; `None` if somebody has to be asked.
    fn settle(&self, field: &Field, three: &Three<'_>) -> Result<Option<Option<Value>>, Overflow> {
        let Three { seen, mine, theirs } = *three;
        let taken = |mine_wins: bool| Some(if mine_wins { mine } else { theirs }.cloned());
        if same(mine, seen) {
            return Ok(taken(false));
        }
        // Also where both wrote the same: two who add one have added two.
        if let Some(joined) = self.join(field, three)? {
            return Ok(Some(Some(joined)));
        }
        if same(mine, theirs) {
            return Ok(taken(false));
        }
        if same(theirs, seen) {
            return Ok(taken(true));
        }
        Ok(match (field.merge.filter(|_| self.merges), mine) {
            (Some(MergeStrategy::Server), _) => taken(false),
            (Some(MergeStrategy::Client), _) => taken(true),
            (Some(MergeStrategy::Latest), _) => taken(self.is_later),
            (Some(MergeStrategy::Max), Some(mine)) => taken(is_above(mine, theirs)),
            (Some(MergeStrategy::Min), Some(mine)) => taken(is_below(mine, theirs)),
            _ => self.overlap.and_then(taken),
        })
    }
}

/// A client cannot tell an absent field from a null one.
fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    a.unwrap_or(&Value::Null) == b.unwrap_or(&Value::Null)
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
    value.map(Some).map_err(|_| Overflow {
        path: String::new(),
    })
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

/// Three-way merge by sentences: edits of different sentences are joined, and two of the same one are not.
fn join_texts(seen: &Value, mine: &Value, theirs: &Value) -> Option<Value> {
    let (seen, mine, theirs) = (text(seen)?, text(mine)?, text(theirs)?);
    let mut parts = Parts::default();
    let [base, ours, others] = [seen, mine, theirs].map(|text| parts.numbers_of(text));
    if changed(&base, &ours).max(changed(&base, &others)) > CHANGED_SENTENCES_MAX {
        return None;
    }
    let [base, ours, others] = [base, ours, others].map(|numbers| lines(&numbers));
    let merged = diffy::merge(&base, &others, &ours).ok()?;
    parts.text_of(&merged).map(Value::String)
}

/// How many parts of both lie between the first and the last difference.
fn changed(a: &[usize], b: &[usize]) -> usize {
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

/// What stands behind each part: the merge library takes edits of neighbouring lines for edits of the same.
const BETWEEN: &str = "-";

fn lines(numbers: &[usize]) -> String {
    numbers
        .iter()
        .map(|number| format!("{number}\n{BETWEEN}\n"))
        .collect()
}

fn text(value: &Value) -> Option<&str> {
    if value.is_null() {
        Some("")
    } else {
        value.as_str()
    }
}

/// Sentences, and the white space between them, as lines: the merge library works on lines, and a number on each makes
/// it work on sentences (Unicode Standard Annex 29), to which line breaks belong as well.
#[derive(Default)]
struct Parts<'a> {
    numbers: HashMap<&'a str, usize>,
    parts: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn numbers_of(&mut self, text: &'a str) -> Vec<usize> {
        text.split_sentence_bounds()
            .flat_map(|sentence| {
                let (words, space) = sentence.split_at(sentence.trim_end().len());
                [words, space]
            })
            .filter(|part| !part.is_empty())
            .map(|part| {
                *self.numbers.entry(part).or_insert_with(|| {
                    self.parts.push(part);
                    self.parts.len() - 1
                })
            })
            .collect()
    }

    fn text_of(&self, lines: &str) -> Option<String> {
        lines
            .lines()
            .filter(|line| *line != BETWEEN)
            .map(|line| self.parts.get(line.parse::<usize>().ok()?).copied())
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

    fn sentences(range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|number| format!("Number {number}. ")).collect()
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
        let (start, end) = (sentences(0..20_000), sentences(20_000..40_000));
        let (mine, theirs) = (["Mine. ".to_owned()], ["Theirs. ".to_owned()]);
        let seen = text_of(&[&start, &end]);
        let merged = join_texts(
            &seen,
            &text_of(&[&start, &end, &mine]),
            &text_of(&[&theirs, &start, &end]),
        );
        assert_eq!(merged, Some(text_of(&[&theirs, &start, &end, &mine])));
    }

    #[test]
    fn texts_with_too_many_changed_sentences_are_not_merged() {
        let (start, end) = (sentences(0..2_001), sentences(3_000..5_001));
        let (mine, theirs) = (sentences(10_000..12_001), sentences(13_000..15_001));
        let merged = join_texts(
            &text_of(&[&start, &end]),
            &text_of(&[&mine, &end]),
            &text_of(&[&start, &theirs]),
        );
        assert_eq!(merged, None);
    }
}
