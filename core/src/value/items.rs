//! Which item of a stored list each item of an edited one is.
//!
//! [`super::content`] keeps with an item what the writer does not name. Merges of lists are in `decide/items`.

use std::collections::HashMap;

use super::{Value, content::spelled};
use crate::model::{FieldType, Model};

/// The key of an item, in the stored field `key`, as a text that no other key has. An item of an earlier model may have
/// none.
pub(crate) fn key_of(item: &Value, key: &str) -> Option<String> {
    let Value::Object(document) = item else {
        return None;
    };
    let key = document.get(key).filter(|key| !key.is_null())?;
    Some(format!("{key:?}"))
}

/// An edit of a list in which some items hold what the writer does not name.
pub(super) struct ListEdit<'a> {
    pub(super) model: &'a Model,
    /// The type of the items.
    pub(super) item: &'a FieldType,
    /// The stored name of the field that identifies an item. Without it, equal values are the same item.
    pub(super) key: Option<&'a str>,
    /// The items before.
    pub(super) before: &'a [Value],
    /// Which of them hold what the writer does not name.
    pub(super) holds_others: &'a [bool],
}

/// Which item each is.
pub(super) struct MatchedItems {
    /// For each item after the edit its place before, or none for a new one.
    pub(super) origins: Vec<Option<usize>>,
    /// Whether nothing else could be meant.
    pub(super) is_proven: bool,
}

/// The places of some items, before and after.
#[derive(Default)]
struct Places {
    before: Vec<usize>,
    after: Vec<usize>,
}

impl ListEdit<'_> {
    pub(super) fn matched(&self, after: &[Value]) -> MatchedItems {
        let mut matched = MatchedItems {
            origins: vec![None; after.len()],
            is_proven: true,
        };
        let all = Places {
            before: (0..self.before.len()).collect(),
            after: (0..after.len()).collect(),
        };
        if self.key.is_none() {
            self.match_by_value(&all, after, &mut matched);
            return matched;
        }
        for group in self.grouped(&all, after, |value| self.spelled_key(value)) {
            match (&*group.before, &*group.after) {
                ([origin], [place]) => matched.origins[*place] = Some(*origin),
                // Another service may have stored a key twice.
                _ => self.match_by_value(&group, after, &mut matched),
            }
        }
        matched
    }

    /// Equal values are the same item. It is not proven which item is which if new values remain beside unmatched items
    /// that hold others' content, or if one goes of equal items with different content.
    fn match_by_value(&self, places: &Places, after: &[Value], matched: &mut MatchedItems) {
        let (mut is_new, mut is_gone) = (false, false);
        let spelled = |value: &Value| spelled(self.model, self.item, value);
        for equal in self.grouped(places, after, spelled) {
            let kept = equal.before.len().min(equal.after.len());
            for (place, origin) in equal.after.iter().zip(&equal.before) {
                matched.origins[*place] = Some(*origin);
            }
            is_new |= equal.after.len() > kept;
            is_gone |= equal.before[kept..].iter().any(|it| self.holds_others[*it]);
            let is_one_of_several = kept > 0 && equal.before.len() > kept;
            matched.is_proven &= !(is_one_of_several && self.differ(&equal.before));
        }
        matched.is_proven &= !(is_new && is_gone);
    }

    /// Whether equal items differ in what the writer does not name.
    fn differ(&self, places: &[usize]) -> bool {
        let mut pairs = places.iter().zip(&places[1..]);
        pairs.any(|(one, other)| self.before[*one] != self.before[*other])
    }

    fn spelled_key(&self, value: &Value) -> String {
        let key = self.key.and_then(|key| key_of(value, key));
        key.unwrap_or_default()
    }

    fn grouped(
        &self,
        places: &Places,
        after: &[Value],
        name: impl Fn(&Value) -> String,
    ) -> Vec<Places> {
        let mut groups: HashMap<String, Places> = HashMap::new();
        for place in &places.before {
            let group = groups.entry(name(&self.before[*place])).or_default();
            group.before.push(*place);
        }
        for place in &places.after {
            let group = groups.entry(name(&after[*place])).or_default();
            group.after.push(*place);
        }
        groups.into_values().collect()
    }
}

#[cfg(test)]
mod tests;
