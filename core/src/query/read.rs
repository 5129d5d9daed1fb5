//! The reads of a branch: legs, which run in turn, each in parts that a store reads at a time.
//!
//! A leg holds some columns at one value, and reads a range of the next one. So a store reads in the order of its index
//! from a cursor on, without a sort.

use std::sync::Arc;

use super::{
    condition::Column,
    index::IndexDefinition,
    interval::{IntervalSet, Piece, Range},
    key::KeyPart,
    plan::{ListPlan, PlannedBranch},
};
use crate::{id::Scope, view::RecordView};

/// The most ranges of one read. MongoDB merges at most 200 in the order of an index, and sorts beyond that.
pub const RANGES_MAX: usize = 200;

/// A part of an index that is read at a time.
#[derive(Debug, Clone)]
pub struct IndexRead {
    /// The index.
    pub index: Arc<IndexDefinition>,
    /// Of documents in any of these scopes.
    pub scopes: Vec<Scope>,
    /// The values of the first columns: any of each.
    pub points: Vec<Vec<KeyPart>>,
    /// The values of the next column.
    pub next: NextColumn,
    /// Whether from the last key to the first.
    pub descending: bool,
    /// The most documents.
    pub items_max: usize,
    /// The read ends with the document that brings its stored bytes to this number. It yields at least one if there is
    /// one.
    pub bytes_max: usize,
    /// Whether only ids are wanted.
    pub ids_only: bool,
}

/// The values of the column by which a read is ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextColumn {
    /// Any value. There may be no such column.
    All,
    /// Some values, ascending. Lists ask so for ids alone.
    Points(Vec<KeyPart>),
    /// A range.
    Range(Range),
}

/// A part of a branch: documents with these values of the first columns of the order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leg {
    pins: Vec<KeyPart>,
    next: NextColumn,
}

impl ListPlan {
    /// The reads of a branch, leg by leg in the order of the list, after the document with this key. The parts of a leg are
    /// to be merged.
    pub fn legs(
        &self,
        branch: &PlannedBranch,
        scopes: &[Scope],
        after: Option<&[KeyPart]>,
    ) -> Vec<Vec<IndexRead>> {
        let legs = legs(&self.order, self.descending, &branch.next, after).into_iter();
        let read = |leg: Leg| {
            let pins = leg.pins.into_iter().map(|value| vec![value]);
            let read = IndexRead {
                index: Arc::clone(&branch.index),
                scopes: scopes.to_vec(),
                points: branch.points.iter().cloned().chain(pins).collect(),
                next: leg.next,
                descending: self.descending,
                items_max: usize::MAX,
                bytes_max: usize::MAX,
                ids_only: false,
            };
            read.divided()
        };
        legs.map(read).collect()
    }

    /// The place of a record of a branch in the list.
    pub fn order_key<R: RecordView>(&self, branch: &PlannedBranch, record: &R) -> Vec<KeyPart> {
        branch.index.order_key(record, branch.points.len())
    }

    /// The place of a record in the list, which it has in all branches.
    pub fn key_of<R: RecordView>(&self, record: &R) -> Option<Vec<KeyPart>> {
        let branch = self.branches.first()?;
        Some(self.order_key(branch, record))
    }
}

/// The legs of an order whose first column has values of `set`.
fn legs(
    order: &[Column],
    descending: bool,
    set: &IntervalSet,
    after: Option<&[KeyPart]>,
) -> Vec<Leg> {
    let divided = |pins: Vec<KeyPart>, set: &IntervalSet| {
        let is_id = order.get(pins.len()).is_some_and(Column::is_id);
        divided(pins, set, descending, is_id)
    };
    let Some(after) = after else {
        return divided(Vec::new(), set);
    };
    let is_within = after.first().is_some_and(|first| set.contains(first));
    let mut legs = Vec::new();
    // Documents that share the most values with the last one come first.
    for shared in (0..order.len().min(after.len())).rev() {
        let beyond = IntervalSet::beyond(&after[shared], descending);
        let pins = after[..shared].to_vec();
        if shared == 0 {
            legs.extend(divided(pins, &set.intersection(&beyond)));
        } else if is_within {
            legs.extend(divided(pins, &beyond));
        }
    }
    legs
}

/// Legs for the parts of a set. Ids that follow each other are one leg, which is read by the documents' own keys. MongoDB sorts
/// other single values that are read at a time.
fn divided(pins: Vec<KeyPart>, set: &IntervalSet, descending: bool, is_id: bool) -> Vec<Leg> {
    let mut pieces = set.pieces();
    if descending {
        pieces.reverse();
    }
    let mut legs: Vec<Leg> = Vec::new();
    for piece in pieces {
        let next = match piece {
            Piece::All => NextColumn::All,
            Piece::Range(range) => NextColumn::Range(range),
            Piece::Point(value) if !is_id => {
                legs.push(Leg {
                    pins: pins.iter().cloned().chain([value]).collect(),
                    next: NextColumn::All,
                });
                continue;
            }
            Piece::Point(value) => match legs.last_mut().map(|leg| &mut leg.next) {
                Some(NextColumn::Points(values)) if values.len() < RANGES_MAX => {
                    values.push(value);
                    continue;
                }
                _ => NextColumn::Points(vec![value]),
            },
        };
        let pins = pins.clone();
        legs.push(Leg { pins, next });
    }
    for leg in &mut legs {
        match &mut leg.next {
            NextColumn::Points(values) if values.len() == 1 => {
                leg.pins.append(values);
                leg.next = NextColumn::All;
            }
            NextColumn::Points(values) => values.sort_unstable(),
            NextColumn::All | NextColumn::Range(_) => {}
        }
    }
    legs
}

impl IndexRead {
    /// How many ranges of the index it is. What lacks a field is a range of its own beside null.
    pub fn ranges(&self) -> usize {
        if let Some(ids) = self.ids() {
            return ids.len();
        }
        let of_points = self.points.iter().map(|values| weight(values));
        let next = match &self.next {
            NextColumn::Points(values) => weight(values),
            NextColumn::All | NextColumn::Range(_) => 1,
        };
        let all = of_points.chain([next, self.scopes.len()]);
        all.fold(1, usize::saturating_mul)
    }

    /// The ids of the documents, if it is of some documents alone.
    pub fn ids(&self) -> Option<&[KeyPart]> {
        match &self.next {
            NextColumn::Points(ids) if self.points.len() == self.index.fields.len() => Some(ids),
            _ => None,
        }
    }

    /// The same in parts of at most [`RANGES_MAX`] ranges.
    fn divided(self) -> Vec<Self> {
        if self.ranges() <= RANGES_MAX {
            return vec![self];
        }
        let [one, other] = self.halves();
        one.divided().into_iter().chain(other.divided()).collect()
    }

    /// Two halves, by the longest list of values.
    fn halves(self) -> [Self; 2] {
        let longest = self.points.iter().map(Vec::len).max().unwrap_or_default();
        let (mut one, mut other) = (self.clone(), self);
        if one.scopes.len() >= longest.max(2) {
            other.scopes = one.scopes.split_off(one.scopes.len() / 2);
        } else if let Some(place) = one.points.iter().position(|values| values.len() == longest)
            && longest > 1
        {
            other.points[place] = one.points[place].split_off(longest / 2);
        } else if let (NextColumn::Points(values), NextColumn::Points(others)) =
            (&mut one.next, &mut other.next)
        {
            *others = values.split_off(values.len() / 2);
        }
        [one, other]
    }

    /// Whether a record is in it.
    pub fn contains<R: RecordView>(&self, record: &R) -> bool {
        let mut scopes = self.scopes.iter();
        let in_scope = scopes.any(|scope| scope.as_str() == record.scope());
        in_scope
            && self
                .index
                .keys(record)
                .iter()
                .any(|key| self.has_key(key, record.id()))
    }

    fn has_key(&self, key: &[KeyPart], id: &str) -> bool {
        let id = KeyPart::text(id);
        let mut columns = key.iter().chain([&id]);
        let mut points = self.points.iter().zip(columns.by_ref());
        let pinned = points.all(|(values, value)| values.contains(value));
        let next = key.iter().chain([&id]).nth(self.points.len());
        pinned
            && next.is_none_or(|value| match &self.next {
                NextColumn::All => true,
                NextColumn::Points(values) => values.contains(value),
                NextColumn::Range(range) => range.contains(value),
            })
    }

    /// The place of a record among those of the read.
    pub fn order_key<R: RecordView>(&self, record: &R) -> Vec<KeyPart> {
        self.index.order_key(record, self.points.len())
    }
}

fn weight(values: &[KeyPart]) -> usize {
    let of = |value: &KeyPart| 1 + usize::from(value.is_null());
    values.iter().map(of).sum()
}
