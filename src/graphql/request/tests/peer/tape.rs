//! Choices read from a list of numbers, so that a generated case shrinks with the list: a shorter list, or a smaller
//! number, is a simpler case. The modules beside this one give the choices their meaning.

/// At its end every choice is the first, which is the simplest.
pub(in crate::graphql) struct Tape(std::vec::IntoIter<u16>);

impl Tape {
    pub(in crate::graphql) fn new(choices: Vec<u16>) -> Self {
        Self(choices.into_iter())
    }

    /// A number below `count`.
    pub(in crate::graphql) fn below(&mut self, count: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % count
    }

    /// True in `percent` of a hundred cases, and never at the end.
    pub(in crate::graphql) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) >= 100 - percent
    }

    pub(in crate::graphql) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    pub(in crate::graphql) fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}
