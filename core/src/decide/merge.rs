//! Joining two edits of one field's value: sums, sets, texts, embedded documents, and the larger of two values. Lists of
//! keyed items are joined in [`super::items`].
//!
//! These are pure functions of values. [`super::update`] decides whether it uses them.

use std::{cmp::Ordering, collections::HashSet};

use super::{items, text, work::Work};
use crate::{
    model::{Field, MergeStrategy, Model, Shape},
    outcome::Rule,
    value::{Document, Value, content, document_bytes},
};

/// The approximate number of steps that a pattern takes for each byte of a joined text.
const PATTERN_STEPS: usize = 8;

/// A sum that the field's type cannot hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow {
    /// The path from the joined field: empty, or `.minutes`.
    pub(super) path: String,
}

/// Whether a strategy adds the client's difference to the present value.
pub(super) fn is_difference(strategy: MergeStrategy) -> bool {
    matches!(
        strategy,
        MergeStrategy::Counter | MergeStrategy::Set | MergeStrategy::Text | MergeStrategy::Items
    )
}

/// The rule by which the edits of a field are joined, if any.
pub(super) fn merge_rule(model: &Model, field: &Field) -> Option<Rule> {
    match field.merge {
        Some(strategy) => is_difference(strategy).then(|| strategy.into()),
        None => merges_inside(model, &field.ty.shape, &mut HashSet::new()).then_some(Rule::Nested),
    }
}

/// Whether an embedded type has `@merge` on any of its fields, however deep. A type may contain itself.
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
pub(super) struct ThreeWay<'v> {
    pub(super) seen: Option<&'v Value>,
    pub(super) mine: Option<&'v Value>,
    pub(super) theirs: Option<&'v Value>,
}

/// How to settle two edits that cannot both be kept.
pub(super) struct MergeContext<'m> {
    pub(super) model: &'m Model,
    /// The work that joins may still take. Edits that would take more are not joined.
    pub(super) work: &'m Work,
    /// Whether the client's edit wins, by the rule for overlaps; `None` if a person or the application has to decide.
    pub(super) overlap: Option<bool>,
    /// Whether the client's edit is the later one.
    pub(super) is_later: bool,
    /// Whether the strategies that choose a side apply.
    pub(super) merges: bool,
}

impl MergeContext<'_> {
    /// `theirs` with the difference between `seen` and `mine` added; `None` if there is no such value (the client
    /// cleared the field, both changed the same sentence, or it would take too much work). A null counter, set or text
    /// counts as 0, empty, "".
    pub(super) fn merge(
        &self,
        field: &Field,
        three: &ThreeWay<'_>,
    ) -> Result<Option<Value>, Overflow> {
        let sides = [three.seen, three.mine, three.theirs];
        let [seen, mine, theirs] = sides.map(|side| side.unwrap_or(&Value::Null));
        if mine.is_null() {
            return Ok(None);
        }
        match field.merge {
            Some(MergeStrategy::Counter) => sum(seen, mine, theirs),
            Some(MergeStrategy::Set) => Ok(merge_sets(seen, mine, theirs, self.work)),
            Some(MergeStrategy::Text) => {
                let has_pattern = field.constraint.pattern.is_some();
                let checked = [mine, theirs].map(Value::bytes).iter().sum::<usize>();
                if has_pattern && !self.work.take(checked * PATTERN_STEPS) {
                    return Ok(None);
                }
                Ok(merge_texts(seen, mine, theirs, self.work))
            }
            Some(MergeStrategy::Items) => {
                let sides = [seen, mine, theirs].map(Value::bytes);
                match self.work.take(sides.iter().sum()) {
                    true => items::merge(self, field, three),
                    false => Ok(None),
                }
            }
            Some(_) => Ok(None),
            None => self.merge_embedded(field, seen, mine, theirs),
        }
    }

    /// Settles each field of an embedded document separately: a change of one side is taken, and changes of both follow
    /// the field's `@merge`.
    fn merge_embedded(
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
        let sides = [seen, mine, theirs].map(document_bytes);
        if !self.work.take(sides.iter().sum()) {
            return Ok(None);
        }
        let joined = self.merge_fields(fields, seen, mine, theirs)?;
        Ok(joined.map(Value::Object))
    }

    /// The same for the fields of two edited documents. `None` if a person or the application has to decide.
    pub(super) fn merge_fields(
        &self,
        fields: &[Field],
        seen: &Document,
        mine: &Document,
        theirs: &Document,
    ) -> Result<Option<Document>, Overflow> {
        let mut joined = Document::new();
        for field in fields.iter().filter(|field| !field.retired) {
            let name = &field.stored_as;
            let three = ThreeWay {
                seen: seen.get(name),
                mine: mine.get(name),
                theirs: theirs.get(name),
            };
            let settled = self.resolve(field, &three).map_err(|overflow| Overflow {
                path: format!(".{}{}", field.name, overflow.path),
            })?;
            match settled {
                None => return Ok(None),
                Some(value) => joined.extend(value.map(|value| (name.clone(), value))),
            }
        }
        Ok(Some(joined))
    }

    /// The value of one field of an embedded document, absent or not; `None` if a person or the application has to decide.
    fn resolve(
        &self,
        field: &Field,
        three: &ThreeWay<'_>,
    ) -> Result<Option<Option<Value>>, Overflow> {
        let ThreeWay { seen, mine, theirs } = *three;
        let taken = |mine_wins: bool| Some(if mine_wins { mine } else { theirs }.cloned());
        let same = |a, b| content::same(self.model, &field.ty, a, b);
        if same(mine, seen) {
            return Ok(taken(false));
        }
        // Also if both wrote the same: two users who each add one have added two.
        if let Some(joined) = self.merge(field, three)? {
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

/// Keeps the order, drops what the client removed, and appends what it added. No item occurs twice.
fn merge_sets(seen: &Value, mine: &Value, theirs: &Value, work: &Work) -> Option<Value> {
    let sides = [seen, mine, theirs].map(Value::bytes);
    if !work.take(sides.iter().sum()) {
        return None;
    }
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

/// The identity of an item. Values have no hash of their own, and comparing each with each takes minutes for the
/// largest sets that a push can carry.
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

/// Joins edits of different sentences, but not of the same one.
fn merge_texts(seen: &Value, mine: &Value, theirs: &Value, work: &Work) -> Option<Value> {
    let (seen, mine, theirs) = (text(seen)?, text(mine)?, text(theirs)?);
    text::merge(seen, mine, theirs, work).map(Value::String)
}

fn text(value: &Value) -> Option<&str> {
    if value.is_null() {
        Some("")
    } else {
        value.as_str()
    }
}

/// Whether `mine` is larger than `theirs`. Any value is larger than no value.
pub(super) fn is_above(mine: &Value, theirs: Option<&Value>) -> bool {
    min_or_max(mine, theirs, Ordering::Greater)
}

/// Whether `mine` is smaller than `theirs`. Any value takes the place of no value.
pub(super) fn is_below(mine: &Value, theirs: Option<&Value>) -> bool {
    min_or_max(mine, theirs, Ordering::Less)
}

fn min_or_max(mine: &Value, theirs: Option<&Value>, wanted: Ordering) -> bool {
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
        // Of texts, only those of Date have a strategy that compares.
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_sets_of_a_push_are_joined_at_once() {
        let set = |range: std::ops::Range<i32>| Value::List(range.map(Value::Int).collect());
        let (seen, mine, theirs) = (set(0..60_000), set(30_000..90_000), set(0..60_000));
        let work = Work::of_a_push();
        let joined = merge_sets(&seen, &mine, &theirs, &work);
        assert_eq!(joined, Some(set(30_000..90_000)));
        assert_eq!(merge_sets(&seen, &mine, &theirs, &work), None, "too much");
    }

    #[test]
    fn a_later_day_is_above_an_earlier_one() {
        let day = |text: &str| Value::String(text.to_owned());
        let (early, late) = (day("0999-12-31"), day("2024-02-29"));
        assert!(is_above(&late, Some(&early)) && !is_above(&early, Some(&late)));
        assert!(is_below(&early, Some(&late)) && is_below(&late, None));
    }

    #[test]
    fn a_set_keeps_nothing_twice_and_distinguishes_values_of_different_types() {
        let (one, long) = (Value::Int(1), Value::Long(1));
        let list = |items: &[&Value]| Value::List(items.iter().copied().cloned().collect());
        let joined = merge_sets(
            &list(&[]),
            &list(&[&one, &one, &long]),
            &list(&[&one, &one]),
            &Work::of_a_push(),
        );
        assert_eq!(joined, Some(list(&[&one, &long])));
    }
}
