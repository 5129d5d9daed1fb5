//! The model in the form that the mapping needs: which field of a stored document holds what, and how ids are kept.
//!
//! It is computed once, when the store is opened. [`super::document`] reads values by it.

use std::{collections::HashMap, sync::Arc};

use mongodb::bson::{
    Binary, RawBson, Uuid,
    oid::ObjectId,
    raw::{CString, RawBsonRef},
    spec::BinarySubtype,
};
use tidegate_core::{
    id::{DocumentId, IdType, TypeName},
    model::{DocumentType, Field, FieldType, Model, Scalar, Shape},
    value::fit,
    view::Seen,
};

use super::server::SyncedCollection;

/// All types of a model.
#[derive(Debug)]
pub(super) struct ModelLayout {
    pub(super) model: Model,
    types: HashMap<TypeName, TypeLayout>,
    embedded: HashMap<String, Vec<FieldLayout>>,
}

/// One synced type.
#[derive(Debug)]
pub(super) struct TypeLayout {
    pub(super) collection: String,
    pub(super) id_type: IdType,
    pub(super) fields: Vec<FieldLayout>,
    /// The type in the model.
    pub(super) modelled: Arc<DocumentType>,
    /// Whether its documents may give memberships.
    pub(super) gives: bool,
}

/// One field, of a document or an embedded document.
#[derive(Debug)]
pub(super) struct FieldLayout {
    pub(super) name: String,
    pub(super) stored_as: CString,
    /// The name in older documents, if no other field has it.
    pub(super) stored_before: Option<CString>,
    pub(super) holds: FieldKind,
    /// Whether a field identifies the items of the list.
    pub(super) has_key: bool,
    /// Whether a value that does not fit is shown as null.
    pub(super) nulls_misfits: bool,
}

/// The content of a field.
#[derive(Debug)]
pub(super) enum FieldKind {
    Scalar(Scalar),
    /// A text that is stored in the BSON type of such ids.
    Id(IdType),
    /// A day of the calendar.
    Date(DateForm),
    /// An embedded document of this type.
    Embedded(String),
    List(Box<FieldKind>),
}

/// How a day is written. It is read in either form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateForm {
    /// As the date at which it begins in UTC.
    Midnight,
    Text,
}

impl ModelLayout {
    pub(super) fn of(model: &Model) -> Self {
        let types = model.types.iter().map(|document_type| {
            let layout = TypeLayout {
                collection: document_type.collection.clone(),
                id_type: document_type.id_type,
                fields: fields(&document_type.fields),
                modelled: Arc::clone(document_type),
                gives: document_type.membership.is_some(),
            };
            (document_type.stored_as.clone(), layout)
        });
        let embedded = model
            .embedded
            .values()
            .map(|embedded| (embedded.name.clone(), fields(&embedded.fields)));
        Self {
            model: model.clone(),
            types: types.collect(),
            embedded: embedded.collect(),
        }
    }

    /// The type that keys call `name`, if the model has it.
    pub(super) fn document_type(&self, name: &TypeName) -> Option<&TypeLayout> {
        self.types.get(name)
    }

    /// All types.
    pub(super) fn types(&self) -> impl Iterator<Item = (&TypeName, &TypeLayout)> {
        self.types.iter()
    }

    /// Whether documents give grants.
    pub(super) fn has_memberships(&self) -> bool {
        self.types.values().any(|layout| layout.gives)
    }

    /// The fields of an embedded type.
    pub(super) fn embedded(&self, name: &str) -> &[FieldLayout] {
        self.embedded.get(name).map_or(&[], Vec::as_slice)
    }

    /// The application's collections.
    pub(super) fn collections(&self) -> impl Iterator<Item = &str> {
        self.types.values().map(|layout| layout.collection.as_str())
    }

    /// The same in their order, with how each keeps its ids.
    pub(super) fn synced_collections(&self) -> Vec<SyncedCollection> {
        let types = self.types.values().map(|layout| SyncedCollection {
            name: layout.collection.clone(),
            id_type: layout.id_type,
        });
        let mut collections: Vec<SyncedCollection> = types.collect();
        collections.sort_by(|one, other| one.name.cmp(&other.name));
        collections
    }
}

fn fields(fields: &[Field]) -> Vec<FieldLayout> {
    let layout = |field: &Field| {
        let before = field.earlier_name(fields);
        Some(FieldLayout {
            stored_before: before.and_then(|name| CString::try_from(name).ok()),
            name: field.name.clone(),
            stored_as: CString::try_from(field.stored_as.as_str()).ok()?,
            has_key: field.key.is_some(),
            holds: holds(&field.ty, field.bson),
            nulls_misfits: field.nulls_misfits,
        })
    };
    // The parser refuses stored names with U+0000, so that no field is left out.
    fields.iter().filter_map(layout).collect()
}

fn holds(ty: &FieldType, bson: Option<IdType>) -> FieldKind {
    match &ty.shape {
        Shape::Scalar(Scalar::Date) => {
            FieldKind::Date(bson.map_or(DateForm::Midnight, |_| DateForm::Text))
        }
        Shape::Scalar(scalar) => bson.map_or(FieldKind::Scalar(*scalar), FieldKind::Id),
        Shape::Enum(_) => FieldKind::Scalar(Scalar::String),
        Shape::Embedded(name) => FieldKind::Embedded(name.clone()),
        Shape::List(item) => FieldKind::List(Box::new(holds(item, bson))),
    }
}

/// An id as its collection keeps it; `None` if it is misspelled.
pub(super) fn id_to_bson(id_type: IdType, text: &str) -> Option<RawBson> {
    id_type.parse(text).ok()?;
    Some(match id_type {
        IdType::String => RawBson::String(text.to_owned()),
        IdType::ObjectId => RawBson::ObjectId(ObjectId::parse_str(text).ok()?),
        IdType::Uuid => RawBson::Binary(Binary::from(Uuid::parse_str(text).ok()?)),
        IdType::Int => RawBson::Int64(text.parse().ok()?),
    })
}

/// An id as clients spell it; `None` if it has another type. A number is one id in all of BSON's numeric types, since
/// MongoDB compares them as equal.
pub(super) fn id_to_text(id_type: IdType, id: RawBsonRef<'_>) -> Option<String> {
    match (id_type, id) {
        (IdType::String, RawBsonRef::String(text)) => Some(text.to_owned()),
        (IdType::ObjectId, RawBsonRef::ObjectId(id)) => Some(id.to_hex()),
        (IdType::Uuid, RawBsonRef::Binary(binary)) if binary.subtype == BinarySubtype::Uuid => {
            let bytes: [u8; 16] = binary.bytes.try_into().ok()?;
            Some(Uuid::from_bytes(bytes).to_string())
        }
        (IdType::Int, number) => whole_number(number).map(|number| number.to_string()),
        _ => None,
    }
}

/// The type that reads a value as text, if its BSON type is that of ObjectIds or UUIDs.
pub(super) fn text_type(raw: RawBsonRef<'_>) -> Option<IdType> {
    let types = [IdType::ObjectId, IdType::Uuid];
    types.into_iter().find(|it| id_to_text(*it, raw).is_some())
}

/// Whether an `_id` can be the id of a document.
pub(super) fn is_id(id_type: IdType, id: RawBsonRef<'_>) -> bool {
    id_to_text(id_type, id).is_some_and(|text| DocumentId::new(&text).is_ok())
}

/// The whole number a BSON number stands for.
fn whole_number(number: RawBsonRef<'_>) -> Option<i64> {
    fit::whole_number(&match number {
        RawBsonRef::Int32(number) => Seen::Int(number),
        RawBsonRef::Int64(number) => Seen::Long(number),
        RawBsonRef::Double(number) => Seen::Float(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_as_their_type_says_and_come_back_in_one_spelling() {
        for (id_type, text) in [
            (IdType::String, "507f1f77bcf86cd799439011"),
            (IdType::ObjectId, "507f1f77bcf86cd799439011"),
            (IdType::Uuid, "0f8fad5b-d9cb-469f-a165-70867728950e"),
            (IdType::Int, "-9223372036854775808"),
            (IdType::Int, "42"),
        ] {
            let id = id_to_bson(id_type, text).unwrap();
            assert_eq!(
                id_to_text(id_type, id.as_raw_bson_ref()).as_deref(),
                Some(text)
            );
        }
        assert!(id_to_bson(IdType::Int, "042").is_none());
        assert!(id_to_bson(IdType::ObjectId, "1").is_none());
    }

    #[test]
    fn a_number_is_one_id_whatever_its_bson_type() {
        for id in [
            RawBsonRef::Int32(7),
            RawBsonRef::Int64(7),
            RawBsonRef::Double(7.0),
        ] {
            assert_eq!(id_to_text(IdType::Int, id).as_deref(), Some("7"));
        }
        for id in [7.5, f64::NAN, f64::INFINITY, -0.0, 1e17] {
            assert_eq!(id_to_text(IdType::Int, RawBsonRef::Double(id)), None);
        }
        assert_eq!(id_to_text(IdType::Int, RawBsonRef::String("7")), None);
        assert_eq!(id_to_text(IdType::String, RawBsonRef::Int32(7)), None);
    }
}
