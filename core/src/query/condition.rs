//! Conditions on documents, and the branches that they come to: in each, all conditions hold, and a document is found if it
//! is in one of them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{ALL_RANGES_MAX, QueryError, interval::IntervalSet, key::KeyPart};
use crate::model::STORED_ID;

/// The most conditions of a query.
pub const CONDITIONS_MAX: usize = 200;

/// The most branches of a query.
pub const BRANCHES_MAX: usize = 8;

/// The most branches while they are worked out. Some of them are then joined.
const BRANCHES_EXAMINED: usize = 64;

/// A field that conditions and orders name, by its stored name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Column(Arc<str>);

impl Column {
    /// The field of this stored name.
    pub fn new(stored_as: &str) -> Self {
        Self(stored_as.into())
    }

    /// The document's id.
    pub fn id() -> Self {
        Self::new(STORED_ID)
    }

    /// Whether it is the document's id.
    pub fn is_id(&self) -> bool {
        self.as_str() == STORED_ID
    }

    /// Its stored name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What has to hold of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// All of these. Without any it holds.
    All(Vec<Self>),
    /// One of these. Without any it does not hold.
    Any(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// The value of a field is in a set. A field without a value holds null.
    In(Column, IntervalSet),
    /// A list has this item.
    Contains(Column, KeyPart),
}

/// Conditions that all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Branch {
    /// The values of fields. Those of others are any.
    pub(super) sets: BTreeMap<Column, IntervalSet>,
    /// An item of each of these lists.
    pub(super) items: BTreeMap<Column, KeyPart>,
}

impl Condition {
    /// The branches that it comes to.
    ///
    /// # Errors
    /// [`QueryError`] if they are too many, or no index can serve them.
    pub(super) fn branches(&self) -> Result<Vec<Branch>, QueryError> {
        let (conditions, values) = self.count();
        let bounds = [
            (conditions, "conditions", CONDITIONS_MAX),
            (values, "values", ALL_RANGES_MAX),
        ];
        if let Some((_, what, max)) = bounds.into_iter().find(|(count, _, max)| count > max) {
            return Err(QueryError::TooMany { what, max });
        }
        let mut branches = self.worked_out(false)?;
        while join_two(&mut branches) {}
        at_most(branches, BRANCHES_MAX)
    }

    /// How many conditions it has, and how many values they name. What joins none counts as one.
    fn count(&self) -> (usize, usize) {
        let inner = match self {
            Self::All(all) | Self::Any(all) => all.as_slice(),
            Self::Not(one) => std::slice::from_ref(one.as_ref()),
            Self::In(_, set) => return (1, set.intervals()),
            Self::Contains(..) => return (1, 1),
        };
        let counts = inner.iter().map(Self::count);
        let (conditions, values) = counts.fold((0, 0), |(conditions, values), (more, of_more)| {
            (conditions + more, values + of_more)
        });
        (conditions.max(1), values)
    }

    fn worked_out(&self, negated: bool) -> Result<Vec<Branch>, QueryError> {
        match self {
            Self::Not(one) => one.worked_out(!negated),
            Self::All(all) | Self::Any(all) if matches!(self, Self::All(_)) != negated => {
                let mut branches = vec![Branch::default()];
                for one in all {
                    let others = one.worked_out(negated)?;
                    let pairs = branches.iter();
                    let pairs = pairs.flat_map(|a| others.iter().map(move |b| a.and(b)));
                    let both: Vec<Option<Branch>> = pairs.collect::<Result<_, _>>()?;
                    branches = at_most(both.into_iter().flatten().collect(), BRANCHES_EXAMINED)?;
                }
                Ok(branches)
            }
            Self::All(all) | Self::Any(all) => {
                let mut branches = Vec::new();
                for one in all {
                    branches.extend(one.worked_out(negated)?);
                    branches = at_most(branches, BRANCHES_EXAMINED)?;
                }
                Ok(branches)
            }
            Self::In(column, set) => {
                let set = match negated {
                    true => set.complement(),
                    false => set.clone(),
                };
                let branch = Branch::of_set(column, set);
                Ok(branch.into_iter().collect())
            }
            Self::Contains(..) if negated => Err(QueryError::Unservable(
                "no index serves `contains` inside `not`",
            )),
            Self::Contains(column, item) => Ok(vec![Branch {
                items: BTreeMap::from([(column.clone(), item.clone())]),
                ..Branch::default()
            }]),
        }
    }
}

impl Branch {
    /// `None` if no value is in the set.
    fn of_set(column: &Column, set: IntervalSet) -> Option<Self> {
        let mut branch = Self::default();
        if !set.is_all() {
            branch.sets.insert(column.clone(), set.clone());
        }
        (!set.is_empty()).then_some(branch)
    }

    /// Both at once; `None` if no document is in both.
    fn and(&self, other: &Self) -> Result<Option<Self>, QueryError> {
        let mut both = self.clone();
        for (column, set) in &other.sets {
            let joined = both.sets.get(column).map(|of| of.intersection(set));
            let joined = joined.unwrap_or_else(|| set.clone());
            if joined.is_empty() {
                return Ok(None);
            }
            both.sets.insert(column.clone(), joined);
        }
        for (column, item) in &other.items {
            let before = both.items.insert(column.clone(), item.clone());
            if before.is_some_and(|before| before != *item) {
                return Err(QueryError::Unservable(
                    "an index serves one `contains` of a list, and not two at a time",
                ));
            }
        }
        Ok(Some(both))
    }

    /// Whether every document of it is in the other one too.
    fn is_within(&self, other: &Self) -> bool {
        let mut sets = other.sets.iter();
        let in_sets = sets.all(|(column, set)| {
            let own = self.sets.get(column);
            own.is_some_and(|own| own.union(set) == *set)
        });
        let mut items = other.items.iter();
        in_sets && items.all(|(column, item)| self.items.get(column) == Some(item))
    }

    /// The documents of both as one branch, if they differ in one field at most.
    fn or(&self, other: &Self) -> Option<Self> {
        if self.is_within(other) {
            return Some(other.clone());
        }
        if other.is_within(self) {
            return Some(self.clone());
        }
        if self.items != other.items || !self.sets.keys().eq(other.sets.keys()) {
            return None;
        }
        let pairs = self.sets.iter().zip(other.sets.values());
        let mut unequal = pairs.filter(|((_, set), of_other)| set != of_other);
        let ((column, set), of_other) = unequal.next()?;
        if unequal.next().is_some() {
            return None;
        }
        let mut joined = self.clone();
        match set.union(of_other) {
            all if all.is_all() => joined.sets.remove(column),
            union => joined.sets.insert(column.clone(), union),
        };
        Some(joined)
    }
}

/// Joins two branches, if any two can be one.
fn join_two(branches: &mut Vec<Branch>) -> bool {
    for first in 0..branches.len() {
        for second in first + 1..branches.len() {
            if let Some(joined) = branches[first].or(&branches[second]) {
                branches.remove(second);
                branches[first] = joined;
                return true;
            }
        }
    }
    false
}

fn at_most(branches: Vec<Branch>, max: usize) -> Result<Vec<Branch>, QueryError> {
    match branches.len() > max {
        true => Err(QueryError::TooMany {
            what: "branches of `or`",
            max: BRANCHES_MAX,
        }),
        false => Ok(branches),
    }
}
