//! What may become of a list with keys when two edits of it are merged (rules.md 4.8).

use std::collections::BTreeSet;

use tidegate_core::{
    outcome::FieldOutcome,
    value::{Document, Value},
};

use super::{
    Line,
    values::{read, same},
};
use crate::{
    oracle::{Judged, Property, expect},
    people,
};

/// The merge loses, doubles and brings back nothing.
pub(super) fn judge_joined(line: &Line, field: &FieldOutcome) -> Judged {
    let side = |value: &Option<Value>| Lines::of(line, value.as_ref());
    let merge = Merge {
        seen: side(&field.base),
        mine: side(&field.mine),
        theirs: side(&field.theirs),
        result: side(&field.result),
    };
    let problem = merge.problem();
    expect(problem.is_none(), Property::Exact, || {
        format!("{problem:?} in {field:?} of {line:?}")
    })
}

/// A list as the gateway's model reads it.
struct Lines(Vec<Document>);

impl Lines {
    fn of(line: &Line, value: Option<&Value>) -> Self {
        let items = match value {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        let document = |item: &Value| match read(line.sent.gateway, item) {
            Value::Object(document) => Some(document),
            _ => None,
        };
        Self(items.iter().filter_map(document).collect())
    }

    fn keys(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().filter_map(|item| item.get(people::LINE_KEY))
    }

    fn get(&self, key: &Value) -> Option<&Document> {
        let mut items = self.0.iter();
        items.find(|item| item.get(people::LINE_KEY) == Some(key))
    }
}

struct Merge {
    seen: Lines,
    mine: Lines,
    theirs: Lines,
    result: Lines,
}

impl Merge {
    fn problem(&self) -> Option<String> {
        let keys: BTreeSet<String> = self.result.keys().map(|key| format!("{key:?}")).collect();
        if keys.len() < self.result.0.len() {
            return Some("an item is there twice".to_owned());
        }
        let sides = [&self.seen, &self.mine, &self.theirs, &self.result];
        let mut keys = sides.into_iter().flat_map(Lines::keys);
        let wrong = keys.find(|key| !self.is_right(key))?;
        Some(format!("{wrong:?} is not what both sides made of it"))
    }

    /// What one side did holds. If both changed an item, either side may win.
    fn is_right(&self, key: &Value) -> bool {
        let result = self.result.get(key);
        let (seen, mine, theirs) = (self.seen.get(key), self.mine.get(key), self.theirs.get(key));
        let is_of_a_side = || result == mine || result == theirs;
        match (seen, mine, theirs) {
            (_, None, None) => result.is_none(),
            (None, None, Some(added)) | (None, Some(added), None) => result == Some(added),
            (None, Some(_), Some(_)) => is_of_a_side(),
            (Some(seen), None, Some(theirs)) if shows(seen, theirs) => result.is_none(),
            (Some(seen), Some(mine), None) if seen == mine => result.is_none(),
            (Some(_), None, Some(_)) | (Some(_), Some(_), None) => is_of_a_side(),
            (Some(seen), Some(mine), Some(theirs)) => result.is_some_and(|result| {
                let sides = [seen, mine, theirs];
                let mut names = sides.into_iter().flat_map(Document::keys);
                names.all(|name| {
                    let [seen, mine, theirs] = sides.map(|side| side.get(name));
                    let result = result.get(name);
                    match (same(mine, seen), same(theirs, seen)) {
                        (true, _) => same(result, theirs),
                        (false, true) => same(result, mine),
                        (false, false) => same(result, mine) || same(result, theirs),
                    }
                })
            }),
        }
    }
}

/// Whether the item is as a client saw it that may have seen only some of its fields.
fn shows(seen: &Document, item: &Document) -> bool {
    seen.iter()
        .all(|(name, value)| item.get(name) == Some(value))
}
