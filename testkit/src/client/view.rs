//! What the user of a client sees: rule 1.8.

use std::collections::BTreeMap;

use tidegate_core::{
    change::Action,
    id::{DocumentKey, TypeName},
    model::{MergeStrategy, Model},
    value::{Document, Value, defaults},
};

use super::{Client, Edit, Slip};

impl Client {
    /// The document as its user sees it, edits included that have no answer yet.
    pub fn view(&self, key: &DocumentKey) -> Option<Document> {
        self.view_under(key, usize::MAX)
    }

    /// The view with no more than the first edits of the outbox.
    pub(super) fn view_under(&self, key: &DocumentKey, outbox: usize) -> Option<Document> {
        let held = self.held.get(key).map(|held| held.body.clone());
        let flying = self.flight.iter().flat_map(|flight| &flight.edits);
        self.lingering()
            .chain(flying)
            .chain(self.outbox.iter().take(outbox))
            .filter(|edit| edit.change.key == *key)
            .fold(held, |shown, edit| self.over(shown, edit))
    }

    /// What is shown once an edit is made on it.
    fn over(&self, shown: Option<Document>, edit: &Edit) -> Option<Document> {
        let (set, seen) = match &edit.change.action {
            Action::Create { document, .. } => {
                let mut shown = self.known.defaults(&edit.change.key.type_name);
                shown.extend(document.clone());
                return Some(shown);
            }
            Action::Delete { .. } => return None,
            Action::Update { set, seen, .. } => (set, seen),
        };
        let mut shown = shown?;
        let as_sent = edit.sent.as_ref().filter(|_| !self.slips(Slip::SentJoined));
        for (name, mine) in set {
            let merge = self.merge(&edit.change.key.type_name, name);
            let is_counter = merge == Some(MergeStrategy::Counter);
            let value = match as_sent.filter(|_| is_counter) {
                Some(sent) => sent.get(name).or(shown.get(name)).cloned(),
                None => {
                    let seen = seen.as_ref().and_then(|seen| seen.get(name));
                    Some(joined(merge, shown.get(name), seen, mine))
                }
            };
            shown.insert(name.clone(), value.unwrap_or(Value::Null));
        }
        Some(shown)
    }

    /// The counters of an edit of the outbox as they are shown now.
    pub(super) fn counters(&self, nth: usize) -> Document {
        let change = &self.outbox[nth].change;
        let Action::Update { set, .. } = &change.action else {
            return Document::new();
        };
        let is_counter = |name: &&String| {
            self.merge(&change.key.type_name, name) == Some(MergeStrategy::Counter)
        };
        let shown = self.view_under(&change.key, nth + 1).unwrap_or_default();
        let counters = set.keys().filter(is_counter);
        counters
            .filter_map(|name| Some((name.clone(), shown.get(name)?.clone())))
            .collect()
    }

    fn merge(&self, type_name: &TypeName, name: &str) -> Option<MergeStrategy> {
        let merge = self.known.0.get(type_name)?.merges.get(name).copied();
        merge.filter(|_| !self.slips(Slip::ViewAbsolute))
    }
}

/// What a client knows of its model, by type.
#[derive(Debug, Clone)]
pub(super) struct Known(BTreeMap<TypeName, KnownType>);

#[derive(Debug, Clone)]
struct KnownType {
    /// How its fields are merged.
    merges: BTreeMap<String, MergeStrategy>,
    /// What a create has that leaves a field out.
    defaults: Document,
}

impl Known {
    pub(super) fn of(model: &Model) -> Self {
        let types = model.types.iter().map(|of| {
            let fields = of.fields.iter();
            let merged = fields.filter_map(|field| Some((field.stored_as.clone(), field.merge?)));
            let merges = merged.collect();
            let mut defaults = Document::new();
            defaults::fill(model, &of.fields, &mut defaults);
            (of.stored_as.clone(), KnownType { merges, defaults })
        });
        Self(types.collect())
    }

    fn defaults(&self, type_name: &TypeName) -> Document {
        let known = self.0.get(type_name);
        known
            .map(|known| known.defaults.clone())
            .unwrap_or_default()
    }
}

/// The value of a field with an edit's difference, if the field is a counter or a set; else the edit's value.
fn joined(
    merge: Option<MergeStrategy>,
    present: Option<&Value>,
    seen: Option<&Value>,
    mine: &Value,
) -> Value {
    let joined = match (merge, seen) {
        (_, None) => None,
        (Some(MergeStrategy::Counter), Some(seen)) => sum(present, seen, mine),
        (Some(MergeStrategy::Set), Some(seen)) => union(present, seen, mine),
        _ => None,
    };
    joined.unwrap_or_else(|| mine.clone())
}

fn sum(present: Option<&Value>, seen: &Value, mine: &Value) -> Option<Value> {
    let total = whole(present)? + whole(Some(mine).filter(|mine| !mine.is_null()))?;
    of_same_type(mine, total - whole(Some(seen))?)
}

/// A whole number; null and absent are 0.
pub(super) fn whole(value: Option<&Value>) -> Option<i64> {
    match value {
        None | Some(Value::Null) => Some(0),
        Some(Value::Int(number)) => Some((*number).into()),
        Some(Value::Long(number)) => Some(*number),
        Some(_) => None,
    }
}

pub(super) fn of_same_type(like: &Value, number: i64) -> Option<Value> {
    match like {
        Value::Long(_) => Some(Value::Long(number)),
        Value::Int(_) | Value::Null => i32::try_from(number).ok().map(Value::Int),
        _ => None,
    }
}

fn union(present: Option<&Value>, seen: &Value, mine: &Value) -> Option<Value> {
    let Value::List(mine) = mine else { return None };
    let (present, seen) = (items(present)?, items(Some(seen))?);
    let is_gone = |item: &&Value| seen.contains(item) && !mine.contains(item);
    let kept = present.iter().filter(|item| !is_gone(item)).cloned();
    let mut joined: Vec<Value> = kept.collect();
    for item in mine.iter().filter(|item| !seen.contains(item)) {
        if !joined.contains(item) {
            joined.push(item.clone());
        }
    }
    Some(Value::List(joined))
}

/// The items of a list; null and absent have none.
pub(super) fn items(value: Option<&Value>) -> Option<&[Value]> {
    match value {
        None | Some(Value::Null) => Some(&[]),
        Some(Value::List(items)) => Some(items),
        Some(_) => None,
    }
}
