//! Joining two edits of a list whose items have keys: what either side added, removed, edited and moved.
//!
//! These are pure functions of values. [`super::merge`] joins the fields of an item.

use std::collections::{HashMap, HashSet};

use super::merge::{MergeContext, Overflow, ThreeWay};
use crate::{
    model::Field,
    mutant::{Mutant, is_active},
    value::{Document, Value, content, items::key_of},
};

/// A list by the keys of its items.
struct KeyedList<'v> {
    keys: Vec<String>,
    items: HashMap<String, &'v Document>,
}

impl<'v> KeyedList<'v> {
    /// `None` if an item has no key, or two have one.
    fn of(items: &'v [Value], key: &str) -> Option<Self> {
        let mut list = Self {
            keys: Vec::with_capacity(items.len()),
            items: HashMap::with_capacity(items.len()),
        };
        for item in items {
            let Value::Object(document) = item else {
                return None;
            };
            let key = key_of(item, key)?;
            list.keys.push(key.clone());
            if list.items.insert(key, document).is_some() {
                return None;
            }
        }
        Some(list)
    }

    fn get(&self, key: &str) -> Option<&'v Document> {
        self.items.get(key).copied()
    }

    fn has(&self, key: &str) -> bool {
        self.items.contains_key(key)
    }

    /// Its keys among `common`, in its order.
    fn order<'k>(&'k self, common: &HashSet<&str>) -> Vec<&'k str> {
        let keys = self.keys.iter().map(String::as_str);
        keys.filter(|key| common.contains(key)).collect()
    }
}

/// The three sides of a list.
struct ItemMerge<'m, 'v> {
    context: &'m MergeContext<'m>,
    /// The fields of an item.
    fields: &'m [Field],
    seen: KeyedList<'v>,
    mine: KeyedList<'v>,
    theirs: KeyedList<'v>,
}

/// What becomes of an item.
enum Settled {
    Kept(Document),
    Gone,
    /// A person or the application has to decide.
    Open,
}

/// Joins two edits of the list `field`. `None` if a person or the application has to decide, or if an item has no key
/// of its own.
pub(super) fn merge(
    context: &MergeContext<'_>,
    field: &Field,
    three: &ThreeWay<'_>,
) -> Result<Option<Value>, Overflow> {
    let key = field.key.as_deref();
    let sides = [three.seen, three.mine, three.theirs].map(items);
    let ([Some(seen), Some(mine), Some(theirs)], Some(key)) = (sides, key) else {
        return Ok(None);
    };
    let lists = [seen, mine, theirs].map(|items| KeyedList::of(items, key));
    let (Some(name), [Some(seen), Some(mine), Some(theirs)]) = (field.ty.shape.embedded(), lists)
    else {
        return Ok(None);
    };
    let merge = ItemMerge {
        context,
        fields: context.model.embedded_fields(name),
        seen,
        mine,
        theirs,
    };
    merge.joined()
}

/// A list's items. A null list counts as empty.
fn items(side: Option<&Value>) -> Option<&[Value]> {
    match side {
        None | Some(Value::Null) => Some(&[]),
        Some(Value::List(items)) => Some(items),
        Some(_) => None,
    }
}

impl ItemMerge<'_, '_> {
    fn joined(&self) -> Result<Option<Value>, Overflow> {
        let mut kept: HashMap<&str, Document> = HashMap::new();
        for key in self.theirs.keys.iter().chain(&self.mine.keys) {
            if kept.contains_key(&**key) {
                continue;
            }
            let settled = self.settle(key).map_err(|overflow| {
                let place = self.mine.keys.iter().position(|mine| mine == key);
                let place = place.unwrap_or_default();
                let path = format!("[{place}]{}", overflow.path);
                Overflow { path }
            })?;
            match settled {
                Settled::Kept(item) => drop(kept.insert(key, item)),
                Settled::Gone => {}
                Settled::Open => return Ok(None),
            }
        }
        let order = self.in_order(&kept);
        let items = order.into_iter().filter_map(|key| kept.remove(key));
        Ok(Some(Value::List(items.map(Value::Object).collect())))
    }

    /// What one side added, removed or edited holds. Where both edited an item, its fields are joined. An edit against a
    /// removal and two different items of one key follow the rule for overlaps.
    fn settle(&self, key: &str) -> Result<Settled, Overflow> {
        let (seen, mine, theirs) = (self.seen.get(key), self.mine.get(key), self.theirs.get(key));
        let kept = |item: &Document| Ok(Settled::Kept(item.clone()));
        match (seen, mine, theirs) {
            (None, Some(mine), Some(theirs)) if self.same(mine, theirs) => kept(theirs),
            (None, Some(mine), Some(theirs)) => Ok(self.by_overlap(Some(mine), Some(theirs))),
            (None, Some(added), None) | (None, None, Some(added)) => kept(added),
            (Some(seen), Some(mine), Some(theirs)) if self.same(mine, seen) => kept(theirs),
            (Some(seen), Some(mine), Some(theirs)) => self.join_fields(seen, mine, theirs),
            (Some(_), None, Some(theirs)) if is_active(Mutant::RemovedItemStays) => kept(theirs),
            (Some(seen), None, Some(theirs)) if self.shows(theirs, seen) => Ok(Settled::Gone),
            (Some(_), None, Some(theirs)) => Ok(self.by_overlap(None, Some(theirs))),
            (Some(seen), Some(mine), None) if self.same(mine, seen) => Ok(Settled::Gone),
            (Some(_), Some(mine), None) => Ok(self.by_overlap(Some(mine), None)),
            (_, None, None) => Ok(Settled::Gone),
        }
    }

    fn by_overlap(&self, mine: Option<&Document>, theirs: Option<&Document>) -> Settled {
        match self.context.overlap {
            None => Settled::Open,
            Some(mine_wins) => {
                let winner = if mine_wins { mine } else { theirs };
                winner.map_or(Settled::Gone, |item| Settled::Kept(item.clone()))
            }
        }
    }

    fn join_fields(
        &self,
        seen: &Document,
        mine: &Document,
        theirs: &Document,
    ) -> Result<Settled, Overflow> {
        let joined = self.context.merge_fields(self.fields, seen, mine, theirs)?;
        Ok(joined.map_or(Settled::Open, Settled::Kept))
    }

    fn same(&self, a: &Document, b: &Document) -> bool {
        let mut fields = self.fields.iter().filter(|field| !field.retired);
        fields.all(|field| self.same_field(field, a, b))
    }

    /// Whether `item` is as the client saw it. It may have seen some of the fields only.
    fn shows(&self, item: &Document, seen: &Document) -> bool {
        let fields = self.fields.iter().filter(|field| !field.retired);
        let mut seen_fields = fields.filter(|field| seen.contains_key(&field.stored_as));
        seen_fields.all(|field| self.same_field(field, item, seen))
    }

    fn same_field(&self, field: &Field, a: &Document, b: &Document) -> bool {
        let name = &field.stored_as;
        content::same(self.context.model, &field.ty, a.get(name), b.get(name))
    }

    /// The keys of what is kept, in the order of the server. Where only the client has moved items, or its order wins,
    /// they are in its order. What it adds follows the item that it follows there, and what others have put behind that.
    fn in_order<'k>(&'k self, kept: &HashMap<&str, Document>) -> Vec<&'k str> {
        let theirs = self.theirs.keys.iter().map(String::as_str);
        let theirs: Vec<&str> = theirs.filter(|key| kept.contains_key(key)).collect();
        let present: HashSet<&str> = theirs.iter().copied().collect();
        let mut added: HashMap<Option<&str>, Vec<&str>> = HashMap::new();
        let mut behind = None;
        for key in self.mine.keys.iter().map(String::as_str) {
            match present.contains(key) {
                true => behind = Some(key),
                false if kept.contains_key(key) => added.entry(behind).or_default().push(key),
                false => {}
            }
        }
        let mut ordered = Vec::with_capacity(kept.len());
        let mut waiting = added.remove(&None).unwrap_or_default();
        for key in self.reordered(theirs) {
            let is_of_others = !self.mine.has(key) && !self.seen.has(key);
            if is_of_others {
                ordered.push(key);
                continue;
            }
            ordered.append(&mut waiting);
            ordered.push(key);
            waiting = added.remove(&Some(key)).unwrap_or_default();
        }
        ordered.append(&mut waiting);
        ordered
    }

    /// `theirs` with the items that all three sides have in the order that holds.
    fn reordered<'k>(&'k self, theirs: Vec<&'k str>) -> Vec<&'k str> {
        let everywhere = |key: &&&str| self.seen.has(key) && self.mine.has(key);
        let common: HashSet<&str> = theirs.iter().filter(everywhere).copied().collect();
        let (seen, mine) = (self.seen.order(&common), self.mine.order(&common));
        let moved_by_others = self.theirs.order(&common) != seen;
        let mine_holds = !moved_by_others || self.context.overlap == Some(true);
        if mine == seen || !mine_holds {
            return theirs;
        }
        let mut mine = mine.into_iter();
        let in_turn = |key| {
            if common.contains(key) {
                mine.next().unwrap_or(key)
            } else {
                key
            }
        };
        theirs.into_iter().map(in_turn).collect()
    }
}

#[cfg(test)]
mod tests;
