//! A page of a list in the making: which reads it needs, and what comes of them. The caller carries the reads out.

use std::{cmp::Ordering, collections::VecDeque, sync::Arc, vec::IntoIter};

use super::{key::KeyPart, plan::ListPlan, read::IndexRead};
use crate::{id::Scope, view::RecordView};

/// The bounds of a page.
#[derive(Debug, Clone, Copy)]
pub struct ListBounds {
    /// The most documents.
    pub first: usize,
    /// The page ends with the document that brings the stored bytes to this number.
    pub bytes_max: usize,
    /// Whether only ids are wanted.
    pub ids_only: bool,
}

/// Reads a page branch by branch. `T` is what the caller keeps of a document.
#[derive(Debug)]
pub struct ListReader<T> {
    plan: Arc<ListPlan>,
    scopes: Vec<Scope>,
    after: Option<Vec<KeyPart>>,
    bounds: ListBounds,
    bytes_left: usize,
    /// The branch that is read.
    branch: usize,
    legs: IntoIter<Vec<IndexRead>>,
    /// The reads of the present leg that are left, and what the others found.
    parts: VecDeque<IndexRead>,
    of_leg: Vec<Placed<T>>,
    of_branch: Vec<Placed<T>>,
    found: Vec<Placed<T>>,
    /// Whether a read of the present branch was cut short.
    is_cut: bool,
    /// The first place at which a read was cut short. What comes after it is not complete.
    horizon: Option<Vec<KeyPart>>,
}

/// A document with its place in the list.
type Placed<T> = (Vec<KeyPart>, T);

/// A page of a list.
#[derive(Debug)]
pub struct ListedPage<T> {
    /// The documents with their places, in order.
    pub items: Vec<Placed<T>>,
    /// Whether there are more after them.
    pub has_more: bool,
}

impl<T> ListReader<T> {
    /// A page of documents in these scopes, after the place of a document.
    pub fn new(
        plan: &Arc<ListPlan>,
        scopes: Vec<Scope>,
        after: Option<Vec<KeyPart>>,
        bounds: ListBounds,
    ) -> Self {
        let mut reader = Self {
            plan: Arc::clone(plan),
            scopes,
            after,
            bounds,
            bytes_left: bounds.bytes_max,
            branch: 0,
            legs: Vec::new().into_iter(),
            parts: VecDeque::new(),
            of_leg: Vec::new(),
            of_branch: Vec::new(),
            found: Vec::new(),
            is_cut: false,
            horizon: None,
        };
        reader.begin_branch();
        reader
    }

    /// The next read; `None` if the page is complete.
    pub fn next_read(&mut self) -> Option<IndexRead> {
        loop {
            if let Some(read) = self.parts.pop_front() {
                return Some(IndexRead {
                    items_max: self.wanted() - self.of_branch.len(),
                    bytes_max: self.bytes_left,
                    ids_only: self.bounds.ids_only,
                    ..read
                });
            }
            self.end_leg();
            let is_full = self.of_branch.len() >= self.wanted() || self.is_cut;
            match self.legs.next().filter(|_| !is_full) {
                Some(leg) => self.parts = leg.into(),
                None => {
                    self.found.append(&mut self.of_branch);
                    self.branch += 1;
                    if self.branch >= self.plan.branches.len() {
                        return None;
                    }
                    self.begin_branch();
                }
            }
        }
    }

    /// The place in the list of a record that the last read found.
    pub fn place_of<R: RecordView>(&self, record: &R) -> Vec<KeyPart> {
        let branch = self.plan.branches.get(self.branch);
        branch.map_or_else(Vec::new, |branch| self.plan.order_key(branch, record))
    }

    /// Takes what the last read found: the documents with their places, their stored bytes, and whether it found all that
    /// was asked for.
    pub fn take(&mut self, items: Vec<Placed<T>>, bytes: usize, complete: bool) {
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        if let Some((last, _)) = items.last().filter(|_| !complete) {
            self.is_cut = true;
            let before = self.horizon.take();
            let earlier = before.filter(|before| self.compare(before, last).is_lt());
            self.horizon = Some(earlier.unwrap_or_else(|| last.clone()));
        }
        self.of_leg.extend(items);
    }

    /// The page.
    pub fn finish(mut self) -> ListedPage<T> {
        let mut items = std::mem::take(&mut self.found);
        self.sort(&mut items);
        items.dedup_by(|(one, _), (other, _)| one == other);
        let horizon = self.horizon.take();
        if let Some(horizon) = &horizon {
            items.retain(|(key, _)| self.compare(key, horizon).is_le());
        }
        let has_more = horizon.is_some() || items.len() > self.bounds.first;
        items.truncate(self.bounds.first);
        ListedPage { items, has_more }
    }

    fn wanted(&self) -> usize {
        self.bounds.first.saturating_add(1)
    }

    fn begin_branch(&mut self) {
        self.is_cut = false;
        let legs = self
            .plan
            .branches
            .get(self.branch)
            .map(|branch| self.plan.legs(branch, &self.scopes, self.after.as_deref()));
        self.legs = legs.unwrap_or_default().into_iter();
    }

    fn end_leg(&mut self) {
        let mut items = std::mem::take(&mut self.of_leg);
        self.sort(&mut items);
        self.of_branch.extend(items);
        self.of_branch.truncate(self.wanted());
    }

    fn sort(&self, items: &mut [Placed<T>]) {
        items.sort_by(|(one, _), (other, _)| self.compare(one, other));
    }

    /// The order of two places in the direction of the list.
    fn compare(&self, one: &[KeyPart], other: &[KeyPart]) -> Ordering {
        match self.plan.descending {
            true => other.cmp(one),
            false => one.cmp(other),
        }
    }
}
