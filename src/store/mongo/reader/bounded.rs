//! The bounds of what is read: a number of bytes, and parts of the keys that fit into it.

/// How many more bytes may be read.
#[derive(Debug, Clone, Copy)]
pub(in crate::store::mongo) struct ReadBudget(usize);

impl ReadBudget {
    pub(in crate::store::mongo) fn of(bytes: usize) -> Self {
        Self(bytes)
    }

    pub(in crate::store::mongo) fn unlimited() -> Self {
        Self(usize::MAX)
    }

    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// Keys that are read in their order. MongoDB answers in no order, so they are asked for in ever smaller parts where there is
/// no room for all.
pub(in crate::store::mongo) struct Parts<'k, K> {
    rest: &'k [K],
    at_a_time: usize,
}

impl<'k, K> Parts<'k, K> {
    pub(in crate::store::mongo) fn of(keys: &'k [K]) -> Self {
        Self {
            rest: keys,
            at_a_time: keys.len(),
        }
    }

    pub(in crate::store::mongo) fn next(&self) -> Option<&'k [K]> {
        let part = &self.rest[..self.at_a_time.min(self.rest.len())];
        (!part.is_empty()).then_some(part)
    }

    /// Goes on behind the part.
    pub(in crate::store::mongo) fn advance(&mut self) {
        self.rest = &self.rest[self.at_a_time.min(self.rest.len())..];
    }

    /// Makes the part smaller, if it has more than one key.
    pub(in crate::store::mongo) fn shrink(&mut self) -> bool {
        let shrinks = self.at_a_time.min(self.rest.len()) > 1;
        if shrinks {
            self.at_a_time = self.at_a_time.min(self.rest.len()).div_ceil(8);
        }
        shrinks
    }

    /// The keys that were not read.
    pub(in crate::store::mongo) fn rest(&self) -> &'k [K] {
        self.rest
    }
}
