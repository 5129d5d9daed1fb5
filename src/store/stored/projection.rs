//! What is to be shown of feed items, and under which names: a client's selection, compiled once and carried out for each
//! item. How it is made of an operation is not known here.

use std::collections::{BTreeMap, BTreeSet};

/// What is shown of an item: an object with these parts, in this order.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub struct Projection {
    /// Its parts.
    pub parts: Vec<(Key, Shown)>,
}

/// The name of a part.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    text: Box<[u8]>,
    name: Box<str>,
}

impl Key {
    /// The key `name`, which is a GraphQL name and needs no escapes.
    pub fn new(name: &str) -> Self {
        Self {
            text: format!("\"{name}\":").into_bytes().into(),
            name: name.into(),
        }
    }

    /// `"name":`, ready to be copied.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Without quotes and colon.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A part of an item.
#[derive(Debug, PartialEq, Eq, Hash)]
pub enum Shown {
    /// The same JSON text in every item.
    Literal(Box<[u8]>),
    /// The document's type.
    Type,
    /// Its id.
    DocumentId,
    /// `UPSERT`, `DELETE` or `REVOKE`.
    Kind,
    /// The version it speaks of.
    Version,
    /// The scope it happened in.
    Scope,
    /// Server time of the change.
    ChangedAt,
    /// The document, by its type; null where there is none to show.
    Document(ShownDocument),
}

/// What is shown of a document, by the name of its type. A type of which nothing is said is shown as an empty object.
pub type ShownDocument = BTreeMap<Box<str>, ObjectShape>;

/// What is shown of a document, or of an embedded one.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub struct ObjectShape {
    pub(super) parts: Vec<(Key, Part)>,
    /// Of each part: where its field is in `wanted`; anything where it shows none.
    pub(super) slots: Vec<usize>,
    /// The names of the fields that are looked for, in ascending order.
    pub(super) wanted: Vec<Box<str>>,
}

/// A part of a document.
#[derive(Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The same JSON text in every document.
    Literal(Box<[u8]>),
    /// The document's id.
    Id,
    /// Its version.
    Version,
    /// Its scope.
    Scope,
    /// Server time of its last change.
    ChangedAt,
    /// What stands in one of its fields.
    Field(FieldShape),
}

/// How a field is shown.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct FieldShape {
    /// The field's name in the model.
    pub name: Box<str>,
    /// What it holds.
    pub shape: ValueShape,
    /// Whether null is not to be shown.
    pub required: bool,
    /// JSON text to show in the place of null.
    pub default: Option<Box<[u8]>>,
}

/// How a value that is not null is shown. One that is something else is not shown.
#[derive(Debug, PartialEq, Eq, Hash)]
pub enum ValueShape {
    /// A 32-bit integer.
    Int,
    /// A number.
    Float,
    /// true or false.
    Boolean,
    /// What JSON has as a string: text, 64-bit integers, decimals, instants, bytes.
    Text,
    /// One of these.
    Enum(BTreeSet<Box<str>>),
    /// As JSON: 64-bit integers are numbers in it.
    Json,
    /// Item by item.
    List {
        /// How each is shown.
        item: Box<ValueShape>,
        /// Whether an item must not be null.
        required: bool,
    },
    /// An embedded document.
    Embedded(ObjectShape),
}

impl ObjectShape {
    /// With these parts, in this order.
    pub fn new(parts: Vec<(Key, Part)>) -> Self {
        let name_of = |part: &(Key, Part)| match &part.1 {
            Part::Field(field) => Some(field.name.clone()),
            _ => None,
        };
        let mut wanted: Vec<Box<str>> = parts.iter().filter_map(name_of).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let slot = |part| {
            wanted
                .iter()
                .position(|name| Some(name) == name_of(part).as_ref())
        };
        let slots = parts.iter().map(|part| slot(part).unwrap_or_default());
        Self {
            slots: slots.collect(),
            wanted,
            parts,
        }
    }
}
