//! Documents in answers: what an operation asks for of them, compiled once, and how it is written for each. Stored bytes and
//! decided entries are written alike.
//!
//! Values are shown as `tidegate_core::value::json` shows them, to the byte.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use tidegate_core::{
    value::DEPTH_MAX,
    view::{RecordView, Seen, Unreadable, ValueView},
};

use super::{Key, Text, Written};
use crate::graphql::error::Failure;

/// What is shown of a document, by the name of its type. A type of which nothing is said is shown as an empty object.
pub(in crate::graphql) type ShownDocument = BTreeMap<Box<str>, ObjectShape>;

/// What is shown of a document, or of an embedded one.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::graphql) struct ObjectShape {
    parts: Vec<(Key, Part)>,
    /// Of each part: where its field is in `wanted`; anything where it shows none.
    slots: Vec<usize>,
    /// The names of the fields that are looked for, in ascending order.
    wanted: Vec<Box<str>>,
}

/// A part of a document.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::graphql) enum Part {
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
pub(in crate::graphql) struct FieldShape {
    /// The field's name in the model.
    pub(in crate::graphql) name: Box<str>,
    /// What it holds.
    pub(in crate::graphql) shape: ValueShape,
    /// Whether null is not to be shown.
    pub(in crate::graphql) required: bool,
    /// JSON text to show in the place of null.
    pub(in crate::graphql) default: Option<Box<[u8]>>,
}

/// How a value that is not null is shown. One that is something else is not shown.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::graphql) enum ValueShape {
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
    pub(in crate::graphql) fn new(parts: Vec<(Key, Part)>) -> Self {
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

impl Text {
    /// The document that a record shows; null if it shows none.
    pub(in crate::graphql) fn document(
        &mut self,
        record: &impl RecordView,
        shapes: &ShownDocument,
    ) -> Written {
        let Some(body) = record.body() else {
            self.null();
            return Ok(());
        };
        let Some(shape) = shapes.get(record.type_name()) else {
            self.raw(b"{}");
            return Ok(());
        };
        let errors_before = self.errors.len();
        let written = self.parts(record, body, shape);
        self.of_type(errors_before, record.type_name());
        written
    }

    fn parts<'v, R: RecordView + 'v>(
        &mut self,
        record: &'v R,
        object: R::Value<'v>,
        shape: &ObjectShape,
    ) -> Written {
        let found = object.find(&shape.wanted)?;
        self.raw(b"{");
        for (place, ((key, part), slot)) in shape.parts.iter().zip(&shape.slots).enumerate() {
            self.key(place, key);
            match part {
                Part::Literal(json) => self.raw(json),
                Part::Id => self.string(record.id()),
                Part::Version => self.json(&record.version().0),
                Part::Scope => self.string(record.scope()),
                Part::ChangedAt => self.instant(record.changed_at()),
                Part::Field(field) => {
                    let value = found[*slot];
                    self.position(key, field.required, |text| text.field(record, value, field))?;
                }
            }
        }
        self.raw(b"}");
        Ok(())
    }

    fn field<'v, R: RecordView + 'v>(
        &mut self,
        record: &'v R,
        value: Option<R::Value<'v>>,
        field: &FieldShape,
    ) -> Written {
        let seen = value.map(|value| Ok::<_, Unreadable>((value, value.see()?)));
        match (seen.transpose()?, &field.default) {
            (None | Some((_, Seen::Null)), Some(default)) => {
                self.raw(default);
                Ok(())
            }
            (None | Some((_, Seen::Null)), None) => self.nothing(field.required),
            (Some((value, seen)), _) => self.value(record, value, seen, &field.shape),
        }
    }

    fn value<'v, R: RecordView + 'v>(
        &mut self,
        record: &'v R,
        value: R::Value<'v>,
        seen: Seen<'v>,
        shape: &ValueShape,
    ) -> Written {
        match (shape, seen) {
            (ValueShape::Json, seen) => return Ok(self.free(value, seen, 0)?),
            (ValueShape::List { item, required }, Seen::List) => {
                return self.items(record, value, item, *required);
            }
            (ValueShape::Embedded(shape), Seen::Object) => return self.parts(record, value, shape),
            (ValueShape::Enum(values), Seen::Text(text)) if values.contains(text) => {
                self.string(text);
            }
            (ValueShape::Int | ValueShape::Float, seen @ Seen::Int(_))
            | (ValueShape::Float, seen @ Seen::Float(_))
            | (ValueShape::Boolean, seen @ Seen::Bool(_))
            | (
                ValueShape::Text,
                seen @ (Seen::Text(_)
                | Seen::Long(_)
                | Seen::Instant(_)
                | Seen::Decimal(_)
                | Seen::Bytes(_)),
            ) => self.scalar(seen),
            _ => return Err(self.fail(Failure::misfit())),
        }
        Ok(())
    }

    fn items<'v, R: RecordView + 'v>(
        &mut self,
        record: &'v R,
        list: R::Value<'v>,
        shape: &ValueShape,
        required: bool,
    ) -> Written {
        self.raw(b"[");
        for (place, item) in list.items()?.enumerate() {
            let item = item?;
            self.comma(place);
            self.position(place, required, |text| match item.see()? {
                Seen::Null => text.nothing(required),
                seen => text.value(record, item, seen, shape),
            })?;
        }
        self.raw(b"]");
        Ok(())
    }

    /// Null, where a value is expected.
    fn nothing(&mut self, required: bool) -> Written {
        if required {
            return Err(self.fail(Failure::no_value()));
        }
        self.null();
        Ok(())
    }

    fn scalar(&mut self, seen: Seen<'_>) {
        match seen {
            Seen::Bool(value) => self.json(&value),
            Seen::Int(value) => self.json(&value),
            Seen::Float(value) => self.json(&value),
            Seen::Text(text) => self.string(text),
            Seen::Long(value) => self.quoted(value),
            Seen::Instant(at) => self.instant(at),
            Seen::Decimal(decimal) => self.quoted(decimal),
            Seen::Bytes(bytes) => self.quoted(BASE64.encode(bytes)),
            Seen::Null | Seen::List | Seen::Object => self.null(),
        }
    }

    /// Inside the scalar JSON.
    fn free<'v, V: ValueView<'v>>(
        &mut self,
        value: V,
        seen: Seen<'v>,
        depth: usize,
    ) -> Result<(), Unreadable> {
        if depth > DEPTH_MAX {
            return Err(Unreadable("a value is nested too deeply".to_owned()));
        }
        match seen {
            Seen::Long(long) => self.json(&long),
            Seen::List => {
                self.raw(b"[");
                for (place, item) in value.items()?.enumerate() {
                    let item = item?;
                    self.comma(place);
                    self.free(item, item.see()?, depth + 1)?;
                }
                self.raw(b"]");
            }
            Seen::Object => {
                self.raw(b"{");
                for (place, field) in value.fields()?.enumerate() {
                    let (name, value) = field?;
                    self.comma(place);
                    self.string(name);
                    self.raw(b":");
                    self.free(value, value.see()?, depth + 1)?;
                }
                self.raw(b"}");
            }
            seen => self.scalar(seen),
        }
        Ok(())
    }
}
