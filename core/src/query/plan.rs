//! Choosing the indexes that serve a query. Each branch needs one, and all have to have one order.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    ListQuery, QueryError,
    condition::{Branch, Column},
    index::IndexDefinition,
    interval::IntervalSet,
    key::KeyPart,
};
use crate::model::{DefaultValue, DocumentType};

/// How a query is read.
#[derive(Debug, Clone)]
pub struct ListPlan {
    /// The columns by which its documents are ordered. The id is the last of them.
    pub order: Vec<Column>,
    /// Whether from the last value to the first.
    pub descending: bool,
    /// The parts that are read on their own, and joined in this order.
    pub branches: Vec<PlannedBranch>,
}

/// A part of a query, read by one index.
#[derive(Debug, Clone)]
pub struct PlannedBranch {
    /// The index.
    pub index: Arc<IndexDefinition>,
    /// The values of the index's first columns: any of each.
    pub points: Vec<Vec<KeyPart>>,
    /// The values of the next column, by which the documents are ordered.
    pub next: IntervalSet,
}

/// One way to read a branch: an index, and how many of its columns hold single values.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    index: usize,
    pinned: usize,
    order: Vec<Column>,
}

impl ListPlan {
    /// The plan for a query.
    ///
    /// # Errors
    /// [`QueryError`], with the index that would serve it.
    pub fn of(document_type: &DocumentType, query: &ListQuery) -> Result<Self, QueryError> {
        let branches = query.condition.branches()?.into_iter();
        let branches = branches.filter_map(|branch| as_stored(document_type, branch));
        let branches: Vec<Branch> = branches.collect();
        let indexes = IndexDefinition::all_of(document_type);
        let order = without_pinned(&query.order, &branches);
        let served = |branch: &Branch| {
            let served = candidates(&indexes, branch, &order);
            match served.is_empty() {
                true => Err(missing(branch, &order)),
                false => Ok(served),
            }
        };
        let served: Vec<Vec<Candidate>> = branches.iter().map(served).collect::<Result<_, _>>()?;
        let Some(order) = common_order(&served) else {
            let named = branches.first().map(|branch| missing(branch, &order));
            return named.map_or_else(|| Ok(Self::empty(query)), Err);
        };
        let chosen = branches.iter().zip(&served).filter_map(|(branch, served)| {
            let candidate = served.iter().find(|it| it.order == order)?;
            Some(planned(branch, &indexes[candidate.index], candidate.pinned))
        });
        Ok(Self {
            branches: chosen.collect(),
            descending: query.descending,
            order,
        })
    }

    /// How many ranges of indexes it reads of so many scopes.
    pub fn ranges(&self, scopes: usize) -> usize {
        let is_by_id = self.order.first().is_some_and(Column::is_id);
        let branches = self.branches.iter();
        let ranges = branches.map(|branch| match branch.next.points() {
            // Documents are read by their keys then, in whatever scope they are.
            Some(ids) if is_by_id => ids.len(),
            _ => branch.ranges().saturating_mul(scopes),
        });
        ranges.fold(0, usize::saturating_add)
    }

    /// The plan for a query that finds nothing.
    fn empty(query: &ListQuery) -> Self {
        Self {
            order: vec![Column::id()],
            descending: query.descending,
            branches: Vec::new(),
        }
    }
}

impl PlannedBranch {
    /// How many ranges it has in a scope.
    fn ranges(&self) -> usize {
        let points = self.points.iter().map(Vec::len);
        let all = points.chain([self.next.pieces().len()]);
        all.fold(1, usize::saturating_mul)
    }
}

/// A branch over stored values. Where a required field has a default, null is never shown: what lacks the field has the
/// default. `None` if nothing is in it then.
fn as_stored(document_type: &DocumentType, mut branch: Branch) -> Option<Branch> {
    for (column, set) in &mut branch.sets {
        let field = document_type.stored_field(column.as_str());
        let Some(field) = field.filter(|field| field.ty.required) else {
            continue;
        };
        let Some(DefaultValue::Literal(default)) = &field.default else {
            continue;
        };
        let shown = set.intersection(&IntervalSet::null().complement());
        *set = match set.contains(&KeyPart::from(default.clone())) {
            true => shown.union(&IntervalSet::null()),
            false => shown,
        };
        if set.is_empty() {
            return None;
        }
    }
    branch.sets.retain(|_, set| !set.is_all());
    Some(branch)
}

/// The order without columns of which all documents found have one value.
fn without_pinned(order: &[Column], branches: &[Branch]) -> Vec<Column> {
    let value = |branch: &Branch, column: &Column| {
        let points = branch.sets.get(column)?.points()?;
        let [value] = <[KeyPart; 1]>::try_from(points).ok()?;
        Some(value)
    };
    let is_pinned = |column: &&Column| {
        let mut values = branches.iter().map(|branch| value(branch, column));
        match values.next() {
            Some(Some(first)) => values.all(|other| other.as_ref() == Some(&first)),
            _ => false,
        }
    };
    let mut order: Vec<Column> = order.iter().filter(|it| !is_pinned(it)).cloned().collect();
    // No two documents have one id, so that what follows it orders nothing.
    if let Some(id) = order.iter().position(Column::is_id) {
        order.truncate(id + 1);
    }
    order
}

/// The ways to read a branch in this order, the best first: those with the most single values.
fn candidates(
    indexes: &[Arc<IndexDefinition>],
    branch: &Branch,
    order: &[Column],
) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (place, index) in indexes.iter().enumerate() {
        let columns = index.columns();
        for pinned in 0..columns.len() {
            if columns[pinned..].starts_with(order) && serves(index, &columns, pinned, branch) {
                found.push(Candidate {
                    index: place,
                    pinned,
                    order: columns[pinned..].to_vec(),
                });
            }
        }
    }
    found.sort_by_key(|candidate| candidate.order.len());
    found
}

/// Whether an index finds a branch: single values of its first columns, any set of the next one, and nothing else.
fn serves(index: &IndexDefinition, columns: &[Column], pinned: usize, branch: &Branch) -> bool {
    let (first, rest) = columns.split_at(pinned);
    let lists = index.fields.iter().filter(|field| field.is_list);
    let lists: BTreeSet<Column> = lists.map(|field| Column::new(&field.stored_as)).collect();
    let has_points = |column: &Column| match lists.contains(column) {
        true => branch.items.contains_key(column),
        false => branch
            .sets
            .get(column)
            .is_some_and(|set| set.points().is_some()),
    };
    let next = rest.first();
    branch.items.keys().eq(&lists)
        && rest.iter().all(|column| !lists.contains(column))
        && first.iter().all(has_points)
        && branch
            .sets
            .keys()
            .all(|column| first.contains(column) || next == Some(column))
}

/// The shortest order that all branches can be read in.
fn common_order(served: &[Vec<Candidate>]) -> Option<Vec<Column>> {
    let (first, others) = served.split_first()?;
    let is_common = |candidate: &&Candidate| {
        others
            .iter()
            .all(|other| other.iter().any(|it| it.order == candidate.order))
    };
    first.iter().find(is_common).map(|it| it.order.clone())
}

fn planned(branch: &Branch, index: &Arc<IndexDefinition>, pinned: usize) -> PlannedBranch {
    let columns = index.columns();
    let points = columns[..pinned].iter().map(|column| {
        let of_set = || branch.sets.get(column).and_then(IntervalSet::points);
        let item = branch.items.get(column).map(|item| vec![item.clone()]);
        item.or_else(of_set).unwrap_or_default()
    });
    let next = columns
        .get(pinned)
        .and_then(|column| branch.sets.get(column));
    PlannedBranch {
        index: Arc::clone(index),
        points: points.collect(),
        next: next.cloned().unwrap_or_else(IntervalSet::all),
    }
}

/// The index that would serve a branch in this order, or why none can.
fn missing(branch: &Branch, order: &[Column]) -> QueryError {
    let is_single = |set: &IntervalSet| set.points().is_some();
    let named = branch.sets.iter().filter(|(column, _)| !column.is_id());
    let (single, ranges): (Vec<_>, Vec<_>) = named.partition(|(_, set)| is_single(set));
    if branch.items.len() > 1 {
        return QueryError::Unservable("an index has one list, and not two");
    }
    if ranges.len() > 1 {
        return QueryError::Unservable("an index serves a range of one field, and not of two");
    }
    let range = ranges.first().map(|(column, _)| *column);
    if let (Some(range), Some(first)) = (range, order.first())
        && range != first
    {
        return QueryError::Unservable(
            "a range and an order are served if the order begins with the field of the range",
        );
    }
    let is_ordered = |column: &Column| order.contains(column);
    let single = single.into_iter().map(|(column, _)| column);
    let single = single.filter(|column| !is_ordered(column));
    let single = single.chain(branch.items.keys());
    let last = range.filter(|column| !is_ordered(column));
    let fields = single
        .chain(order)
        .chain(last)
        .filter(|column| !column.is_id());
    QueryError::NotServed {
        fields: fields.cloned().collect(),
    }
}
