//! What sampled values have in common: a profile for each place in the documents of a collection.
//!
//! A profile is bounded, whatever documents are sampled, and does not depend on their order. Nothing is decided here.

use std::collections::{BTreeMap, HashSet};

use mongodb::bson::{RawArray, RawDocument, raw::RawBsonRef};

use super::{
    kind::Kind,
    names::is_key_name,
    values::{DistinctTexts, IdSample, IdValue},
};

/// The names that a profile of objects keeps. A document with more is no record but a map.
pub(super) const NAMES_MAX: usize = 500;
/// The places that the profile of a collection keeps.
pub(super) const PLACES_MAX: usize = 3_000;
/// How deep it looks. What is below counts as seen in part.
const DEPTH_MAX: usize = 12;
/// The values of one document that are looked at, and the items of one list.
const VALUES_MAX: usize = 100_000;
const ITEMS_MAX: usize = 1_000;

/// The profile of a collection.
pub(super) struct CollectionProfile {
    pub(super) documents: ObjectProfile,
    pub(super) ids: ValueProfile,
    /// Documents that are not read to their end, because they are too large or are damaged.
    pub(super) read_in_part: u64,
    pub(super) places_left: usize,
}

/// The profile of the values at one place.
#[derive(Debug, Default)]
pub(super) struct ValueProfile {
    pub(super) kinds: BTreeMap<Kind, u64>,
    pub(super) texts: DistinctTexts,
    pub(super) ids: IdSample,
    pub(super) objects: Option<Box<ObjectProfile>>,
    pub(super) lists: Option<Box<ListProfile>>,
    /// Whether some of what is inside was not looked at.
    pub(super) is_partial: bool,
}

/// The profile of embedded documents, or of those of a collection.
#[derive(Debug, Default)]
pub(super) struct ObjectProfile {
    pub(super) count: u64,
    pub(super) fields: BTreeMap<String, FieldProfile>,
    /// How many fields were passed, those beyond the bound too.
    pub(super) fields_seen: u64,
    /// Fields whose names were beyond the bound.
    pub(super) fields_left_out: u64,
}

/// The profile of a field.
#[derive(Debug, Default)]
pub(super) struct FieldProfile {
    pub(super) present: u64,
    pub(super) value: ValueProfile,
    /// The sum of its positions in its documents.
    positions: u64,
}

/// The profile of lists.
#[derive(Debug, Default)]
pub(super) struct ListProfile {
    pub(super) items: ValueProfile,
    /// Lists that have items, and those that have several.
    filled: u64,
    pub(super) of_several: u64,
    /// In how many of them a field identifies the items, by name.
    keyed_by: BTreeMap<String, u64>,
}

impl CollectionProfile {
    /// The profile of a collection that keeps no more than so many places.
    pub(super) fn new(places: usize) -> Self {
        Self {
            documents: ObjectProfile::default(),
            ids: ValueProfile::default(),
            read_in_part: 0,
            places_left: places,
        }
    }

    /// Takes in one document.
    pub(super) fn add(&mut self, document: &RawDocument) {
        let mut reading = Reading {
            places_left: self.places_left,
            values_left: VALUES_MAX,
            is_partial: false,
        };
        if let Ok(Some(id)) = document.get("_id") {
            reading.value(&mut self.ids, id, DEPTH_MAX);
        }
        reading.object(&mut self.documents, document, 0);
        self.places_left = reading.places_left;
        self.read_in_part += u64::from(reading.is_partial);
    }
}

impl ValueProfile {
    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.kinds.get(&kind).copied().unwrap_or_default()
    }

    /// The values that are not null.
    pub(super) fn values(&self) -> u64 {
        self.kinds.values().sum::<u64>() - self.count(Kind::Null)
    }
}

impl ObjectProfile {
    /// The fields in the order in which documents mostly have them.
    pub(super) fn in_order(&self) -> Vec<(&str, &FieldProfile)> {
        let fields = self.fields.iter();
        let mut fields: Vec<_> = fields.map(|(name, field)| (name.as_str(), field)).collect();
        fields.sort_by(|(_, a), (_, b)| {
            let mean = |one: &FieldProfile, other: &FieldProfile| {
                u128::from(one.positions) * u128::from(other.present)
            };
            mean(a, b).cmp(&mean(b, a))
        });
        fields
    }

    /// The field of this name, or a new one if there is room.
    fn field(&mut self, name: &str, places_left: &mut usize) -> Option<&mut FieldProfile> {
        if !self.fields.contains_key(name) {
            if self.fields.len() >= NAMES_MAX || *places_left == 0 {
                self.fields_left_out += 1;
                return None;
            }
            *places_left -= 1;
        }
        Some(self.fields.entry(name.to_owned()).or_default())
    }
}

impl ListProfile {
    /// The fields that identify the items of every list.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = self.keyed_by.iter();
        let keys = keys.filter(|(_, lists)| **lists == self.filled);
        keys.map(|(name, _)| name.as_str())
    }
}

/// The reading of one document.
struct Reading {
    places_left: usize,
    values_left: usize,
    is_partial: bool,
}

impl Reading {
    fn object(&mut self, profile: &mut ObjectProfile, document: &RawDocument, depth: usize) {
        profile.count += 1;
        for (position, element) in (0..).zip(document.iter()) {
            let Ok((name, value)) = element else {
                self.is_partial = true;
                return;
            };
            if !self.has_value_left() {
                return;
            }
            profile.fields_seen += 1;
            if let Some(field) = profile.field(name.as_str(), &mut self.places_left) {
                field.present += 1;
                field.positions += position;
                self.value(&mut field.value, value, depth + 1);
            }
        }
    }

    fn value(&mut self, profile: &mut ValueProfile, value: RawBsonRef<'_>, depth: usize) {
        *profile.kinds.entry(Kind::of(value)).or_default() += 1;
        profile.ids.add(value);
        match value {
            RawBsonRef::String(text) => profile.texts.add(text),
            RawBsonRef::Document(_) | RawBsonRef::Array(_) if depth >= DEPTH_MAX => {
                profile.is_partial = true;
            }
            RawBsonRef::Document(document) => {
                let objects = profile.objects.get_or_insert_default();
                self.object(objects, document, depth);
            }
            RawBsonRef::Array(items) => {
                let lists = profile.lists.get_or_insert_default();
                self.list(lists, items, depth);
            }
            _ => {}
        }
    }

    fn list(&mut self, profile: &mut ListProfile, items: &RawArray, depth: usize) {
        let mut keys = KeyTrial::default();
        for item in items.into_iter().take(ITEMS_MAX) {
            let Ok(item) = item else {
                self.is_partial = true;
                break;
            };
            if !self.has_value_left() {
                break;
            }
            self.value(&mut profile.items, item, depth + 1);
            keys.add(item);
        }
        keys.judge(profile);
    }

    fn has_value_left(&mut self) -> bool {
        self.is_partial |= self.values_left == 0;
        self.values_left = self.values_left.saturating_sub(1);
        !self.is_partial
    }
}

/// Which fields identify the items of one list.
#[derive(Default)]
struct KeyTrial {
    items: usize,
    values: BTreeMap<String, HashSet<IdValue>>,
}

impl KeyTrial {
    fn add(&mut self, item: RawBsonRef<'_>) {
        self.items += 1;
        let fields = item.as_document().into_iter().flatten().flatten();
        let fields = fields.take(NAMES_MAX);
        for (name, value) in fields.filter(|(name, _)| is_key_name(name.as_str())) {
            if let Some(value) = IdValue::of(value) {
                let values = self.values.entry(name.as_str().to_owned()).or_default();
                values.insert(value);
            }
        }
    }

    /// A key is in each item, and no two items have the same.
    fn judge(self, profile: &mut ListProfile) {
        profile.filled += u64::from(self.items > 0);
        profile.of_several += u64::from(self.items > 1);
        for (name, values) in self.values {
            if values.len() == self.items {
                *profile.keyed_by.entry(name).or_default() += 1;
            }
        }
    }
}
