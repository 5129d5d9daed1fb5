//! Single values that a profile remembers: distinct texts as long as they are few, and some values that may be ids.

use std::collections::{BTreeMap, BTreeSet};

use mongodb::bson::{Binary, Bson, oid::ObjectId, raw::RawBsonRef, spec::BinarySubtype};

/// The distinct texts that are remembered, and the longest one.
const TEXTS_MAX: usize = 12;
const TEXT_BYTES_MAX: usize = 40;
/// The ids that are remembered of a place, and the longest text of one.
const IDS_MAX: usize = 8;
const ID_BYTES_MAX: usize = 64;

/// Distinct texts with their counts, as long as they are few and short.
#[derive(Debug, Default)]
pub(super) struct DistinctTexts {
    counts: BTreeMap<String, u64>,
    are_many: bool,
}

impl DistinctTexts {
    pub(super) fn add(&mut self, text: &str) {
        if self.are_many {
            return;
        }
        if let Some(count) = self.counts.get_mut(text) {
            *count += 1;
        } else if text.len() > TEXT_BYTES_MAX || self.counts.len() == TEXTS_MAX {
            self.are_many = true;
            self.counts.clear();
        } else {
            self.counts.insert(text.to_owned(), 1);
        }
    }

    /// All of them; none if they were many.
    pub(super) fn all(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }
}

/// A value that can be the id of a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum IdValue {
    ObjectId([u8; 12]),
    Uuid([u8; 16]),
    Int(i64),
    Text(String),
}

impl IdValue {
    pub(crate) fn of(value: RawBsonRef<'_>) -> Option<Self> {
        Some(match value {
            RawBsonRef::ObjectId(id) => Self::ObjectId(id.bytes()),
            RawBsonRef::Binary(binary) if binary.subtype == BinarySubtype::Uuid => {
                Self::Uuid(binary.bytes.try_into().ok()?)
            }
            RawBsonRef::Int32(number) => Self::Int(number.into()),
            RawBsonRef::Int64(number) => Self::Int(number),
            RawBsonRef::Double(number) => Self::Int(whole(number)?),
            RawBsonRef::String(text) if (1..=ID_BYTES_MAX).contains(&text.len()) => {
                Self::Text(text.to_owned())
            }
            _ => return None,
        })
    }

    pub(crate) fn to_bson(&self) -> Bson {
        match self {
            Self::ObjectId(id) => Bson::ObjectId(ObjectId::from_bytes(*id)),
            Self::Uuid(id) => Bson::Binary(Binary {
                subtype: BinarySubtype::Uuid,
                bytes: id.to_vec(),
            }),
            Self::Int(number) => Bson::Int64(*number),
            Self::Text(text) => Bson::String(text.clone()),
        }
    }
}

/// The whole number that a double stands for, as far as doubles are exact.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let is_whole = number.fract() == 0.0 && number.abs() <= EXACT;
    is_whole.then_some(number as i64)
}

/// The smallest of the values that may be ids.
#[derive(Debug, Default)]
pub(super) struct IdSample(BTreeSet<IdValue>);

impl IdSample {
    pub(super) fn add(&mut self, value: RawBsonRef<'_>) {
        if let Some(value) = IdValue::of(value) {
            self.0.insert(value);
            if self.0.len() > IDS_MAX {
                self.0.pop_last();
            }
        }
    }

    pub(super) fn all(&self) -> &BTreeSet<IdValue> {
        &self.0
    }
}
