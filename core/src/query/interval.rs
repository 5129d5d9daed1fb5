//! Sets of values, as intervals of the order of [`KeyPart`]. A condition on a field is such a set.

use std::cmp::Ordering;

use super::key::{KeyPart, Rank};

/// A place between values. Places are in the order of values.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cut {
    /// Before all values of this rank and of those after it.
    Before(Rank),
    /// Next to a value: before it, or after it.
    At(Near),
    /// After all values.
    End,
}

/// A place next to a value that is not null.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Near {
    value: KeyPart,
    is_after: bool,
}

impl Cut {
    fn below(value: &KeyPart) -> Self {
        match value.rank() {
            Rank::Null => Self::Before(Rank::Null),
            _ => Self::At(Near {
                value: value.clone(),
                is_after: false,
            }),
        }
    }

    fn above(value: &KeyPart) -> Self {
        match value.rank() {
            Rank::Null => Self::Before(Rank::Number),
            _ => Self::At(Near {
                value: value.clone(),
                is_after: true,
            }),
        }
    }

    fn after_rank(rank: Rank) -> Self {
        rank.next().map_or(Self::End, Self::Before)
    }

    /// The rank in which an interval that begins here has its first values.
    fn rank(&self) -> Option<Rank> {
        match self {
            Self::Before(rank) => Some(*rank),
            Self::At(near) => Some(near.value.rank()),
            Self::End => None,
        }
    }

    fn value(&self) -> Option<&KeyPart> {
        match self {
            Self::At(near) => Some(&near.value),
            Self::Before(_) | Self::End => None,
        }
    }
}

impl Ord for Cut {
    fn cmp(&self, other: &Self) -> Ordering {
        let near = |cut: &Self| match cut {
            Self::At(near) => Some(near.clone()),
            Self::Before(_) | Self::End => None,
        };
        match (self.rank(), other.rank()) {
            (None, None) => Ordering::Equal,
            (None, _) => Ordering::Greater,
            (_, None) => Ordering::Less,
            (rank, of_rank) => rank
                .cmp(&of_rank)
                .then_with(|| near(self).cmp(&near(other))),
        }
    }
}

impl PartialOrd for Cut {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A set of values: disjoint intervals, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntervalSet(Vec<(Cut, Cut)>);

impl IntervalSet {
    /// No value.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// All values, null too.
    pub fn all() -> Self {
        Self(vec![(Cut::Before(Rank::Null), Cut::End)])
    }

    /// Null alone.
    pub fn null() -> Self {
        Self::point(&KeyPart::NULL)
    }

    /// One value.
    pub fn point(value: &KeyPart) -> Self {
        Self(vec![(Cut::below(value), Cut::above(value))])
    }

    /// Each of these values.
    pub fn points_of<'v>(values: impl IntoIterator<Item = &'v KeyPart>) -> Self {
        let points = values.into_iter();
        Self::joined(points.map(|it| (Cut::below(it), Cut::above(it))).collect())
    }

    /// The values of one rank below this one, perhaps with it.
    pub fn below(value: &KeyPart, inclusive: bool) -> Self {
        let end = match inclusive {
            true => Cut::above(value),
            false => Cut::below(value),
        };
        Self::between(Cut::Before(value.rank()), end)
    }

    /// The values of one rank above this one, perhaps with it.
    pub fn above(value: &KeyPart, inclusive: bool) -> Self {
        let begin = match inclusive {
            true => Cut::below(value),
            false => Cut::above(value),
        };
        Self::between(begin, Cut::after_rank(value.rank()))
    }

    /// The values that come after this one in a direction, of all ranks.
    pub fn beyond(value: &KeyPart, descending: bool) -> Self {
        match descending {
            true => Self::between(Cut::Before(Rank::Null), Cut::below(value)),
            false => Self::between(Cut::above(value), Cut::End),
        }
    }

    /// The texts that begin so.
    pub fn beginning_with(prefix: &str) -> Self {
        let begin = Cut::below(&KeyPart::text(prefix));
        let end = following(prefix).map(|text| Cut::below(&KeyPart::text(&text)));
        Self::between(begin, end.unwrap_or(Cut::after_rank(Rank::Text)))
    }

    fn between(begin: Cut, end: Cut) -> Self {
        match begin < end {
            true => Self(vec![(begin, end)]),
            false => Self::none(),
        }
    }

    /// How many intervals it is.
    pub(super) fn intervals(&self) -> usize {
        self.0.len()
    }

    /// Whether no value is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all values are in it.
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    /// Whether a value is in it.
    pub fn contains(&self, value: &KeyPart) -> bool {
        let below = Cut::below(value);
        let mut intervals = self.0.iter();
        intervals.any(|(begin, end)| *begin <= below && below < *end)
    }

    /// All other values.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut others = Vec::new();
        let mut begin = Cut::Before(Rank::Null);
        for (from, to) in &self.0 {
            if begin < *from {
                others.push((begin, from.clone()));
            }
            begin = to.clone();
        }
        if begin != Cut::End {
            others.push((begin, Cut::End));
        }
        Self(others)
    }

    /// The values that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.complement().union(&other.complement()).complement()
    }

    /// The values that are in one or both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::joined(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// The set of intervals that may overlap.
    fn joined(mut all: Vec<(Cut, Cut)>) -> Self {
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut joined: Vec<(Cut, Cut)> = Vec::with_capacity(all.len());
        for (begin, end) in all {
            match joined.last_mut() {
                Some((_, last)) if begin <= *last => {
                    if *last < end {
                        *last = end;
                    }
                }
                _ => joined.push((begin, end)),
            }
        }
        Self(joined)
    }

    /// Its values, if they are single ones.
    pub fn points(&self) -> Option<Vec<KeyPart>> {
        let pieces = self.pieces().into_iter();
        let points = pieces.map(|piece| match piece {
            Piece::Point(value) => Some(value),
            Piece::All | Piece::Range(_) => None,
        });
        points.collect()
    }

    /// Its ranges, without single values.
    pub fn ranges(&self) -> Vec<Range> {
        let pieces = self.pieces().into_iter();
        let ranges = pieces.filter_map(|piece| match piece {
            Piece::Range(range) => Some(range),
            Piece::All | Piece::Point(_) => None,
        });
        ranges.collect()
    }

    /// Its parts, ascending: each is all values, one value, or a range inside one rank.
    pub fn pieces(&self) -> Vec<Piece> {
        if self.is_all() {
            return vec![Piece::All];
        }
        let intervals = self.0.iter();
        intervals
            .flat_map(|(begin, end)| by_rank(begin, end))
            .collect()
    }
}

/// A part of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// All values.
    All,
    /// One value.
    Point(KeyPart),
    /// Some values of one rank.
    Range(Range),
}

/// A range of the values of one rank, which is not that of null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Their rank.
    pub rank: Rank,
    /// Its lowest value, and whether that is in it; `None` for the first of the rank.
    pub from: Option<(KeyPart, bool)>,
    /// Its highest value, and whether that is in it; `None` for the last of the rank.
    pub to: Option<(KeyPart, bool)>,
}

impl Range {
    /// Whether a value is in it.
    pub fn contains(&self, value: &KeyPart) -> bool {
        let is_above = self
            .from
            .as_ref()
            .is_none_or(|(from, inclusive)| match inclusive {
                true => value >= from,
                false => value > from,
            });
        let is_below = self
            .to
            .as_ref()
            .is_none_or(|(to, inclusive)| match inclusive {
                true => value <= to,
                false => value < to,
            });
        value.rank() == self.rank && is_above && is_below
    }
}

/// Divides an interval at the bounds of ranks.
fn by_rank(begin: &Cut, end: &Cut) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut from = begin.clone();
    while let Some(rank) = from.rank()
        && from < *end
    {
        let to = Cut::after_rank(rank).min(end.clone());
        pieces.push(piece(rank, &from, &to));
        from = to;
    }
    pieces
}

fn piece(rank: Rank, from: &Cut, to: &Cut) -> Piece {
    if rank == Rank::Null {
        return Piece::Point(KeyPart::NULL);
    }
    match (from, to) {
        (Cut::At(one), Cut::At(other))
            if one.value == other.value && !one.is_after && other.is_after =>
        {
            Piece::Point(one.value.clone())
        }
        _ => {
            let is_after = |cut: &Cut| matches!(cut, Cut::At(near) if near.is_after);
            Piece::Range(Range {
                rank,
                from: from.value().map(|value| (value.clone(), !is_after(from))),
                to: to.value().map(|value| (value.clone(), is_after(to))),
            })
        }
    }
}

/// The first text after all that begin with `prefix`; `None` if there is none.
fn following(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn values() -> Vec<KeyPart> {
        let texts = [
            "",
            "a",
            "ab",
            "b",
            "\u{10ffff}",
            "\u{10ffff}a",
            "\u{d7ff}x",
            "\u{e000}",
        ];
        let texts = texts.into_iter().map(KeyPart::text);
        let others = [
            Value::Null,
            Value::Int(-1),
            Value::Int(0),
            Value::Float(0.5),
            Value::Int(1),
            Value::Bool(false),
            Value::Bool(true),
        ];
        texts.chain(others.map(KeyPart::from)).collect()
    }

    fn sets() -> Vec<IntervalSet> {
        let values = values();
        let of_values = values.iter().flat_map(|value| {
            let bounds = [true, false].into_iter().flat_map(|inclusive| {
                [
                    IntervalSet::below(value, inclusive),
                    IntervalSet::above(value, inclusive),
                ]
            });
            bounds.chain([
                IntervalSet::point(value),
                IntervalSet::point(value).complement(),
                IntervalSet::beyond(value, true),
                IntervalSet::beyond(value, false),
            ])
        });
        let others = [IntervalSet::none(), IntervalSet::all()];
        of_values.chain(others).collect()
    }

    #[test]
    fn sets_are_joined_as_sets_are() {
        let (values, sets) = (values(), sets());
        for (a, b) in sets.iter().flat_map(|a| sets.iter().map(move |b| (a, b))) {
            let (union, intersection) = (a.union(b), a.intersection(b));
            for value in &values {
                let (in_a, in_b) = (a.contains(value), b.contains(value));
                assert_eq!(union.contains(value), in_a || in_b);
                assert_eq!(intersection.contains(value), in_a && in_b);
                assert_ne!(a.complement().contains(value), in_a);
            }
        }
    }

    #[test]
    fn the_pieces_of_a_set_have_its_values_and_no_others() {
        for set in sets() {
            for value in values() {
                let pieces = set.pieces();
                let holding = pieces.iter().filter(|piece| match piece {
                    Piece::All => true,
                    Piece::Point(point) => *point == value,
                    Piece::Range(range) => range.contains(&value),
                });
                assert_eq!(
                    holding.count(),
                    usize::from(set.contains(&value)),
                    "{set:?} {value:?}"
                );
            }
        }
    }

    #[test]
    fn a_beginning_has_all_texts_that_begin_so() {
        for prefix in ["", "a", "\u{10ffff}", "\u{d7ff}", "b"] {
            let set = IntervalSet::beginning_with(prefix);
            for value in values() {
                let begins = value
                    .value()
                    .as_str()
                    .is_some_and(|text| text.starts_with(prefix));
                assert_eq!(set.contains(&value), begins, "{prefix:?} {value:?}");
            }
        }
    }
}
