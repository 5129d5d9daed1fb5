//! The model's own types: documents, embedded types, enums, scalars. Their fields are rows made of the model, and the
//! selections of documents are compiled here.

mod relations;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_graphql::dynamic::{
    Enum, EnumItem, Field, FieldFuture, Interface, InterfaceField, Object, Scalar, SchemaBuilder,
    TypeRef, Union,
};
use tidegate_core::{
    id::TypeName,
    model::{self, DefaultValue, DocumentType, EmbeddedType, EnumType, FieldType, Model, Shape},
};

use self::relations::{reference_field, reverse_field};
use crate::graphql::{
    render::{
        Key,
        document::{
            DocumentPart, DocumentPlan, FieldPlan, HeadWriter, PartsPlan, TypePlan, ValuePlan,
        },
        fields_of,
    },
    request::SelectedField,
    shape::{deprecation, one, optional, output_type, renamed, required, with},
    table::{Node, ObjectType},
};

/// The specifications of the wire formats of Tidegate's scalars.
const SCALARS: [(&str, &str, &str); 7] = [
    (
        "Date",
        "A day of the Gregorian calendar, of the years 0001 to 9999, as RFC 3339 spells it: `2026-02-28`.",
        "https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
    ),
    (
        "DateTime",
        "An instant in RFC 3339 with milliseconds, in UTC: `2026-02-28T12:30:00.000Z`.",
        "https://scalars.graphql.org/andimarek/date-time.html",
    ),
    (
        "Long",
        "A 64-bit integer as a string, since JavaScript's numbers end at 2^53: `\"9007199254740993\"`.",
        "https://json-schema.org/draft/2020-12/json-schema-core#name-integers",
    ),
    (
        "Decimal",
        "A decimal number of up to 34 digits as a string: `\"12.50\"`.",
        "https://speleotrove.com/decimal/daconvs.html",
    ),
    (
        "Bytes",
        "Bytes in base64 with padding.",
        "https://www.rfc-editor.org/rfc/rfc4648#section-4",
    ),
    (
        "JSON",
        "Any JSON value.",
        "https://www.rfc-editor.org/rfc/rfc8259",
    ),
    (
        "Checkpoint",
        "Where a client stands: opaque, to be sent back exactly as it came.",
        "https://www.rfc-editor.org/rfc/rfc4648#section-5",
    ),
];

/// A field that every document has: its name, type and description, and how it is written.
type HeadField = (&'static str, &'static str, &'static str, HeadWriter);

const HEAD_FIELDS: [HeadField; 4] = [
    (
        "id",
        "ID",
        "The document's id, unique within its type.",
        |head, text| text.string(head.id()),
    ),
    (
        "syncVersion",
        "Int",
        "How often the document was changed; what a change sends back as `baseVersion`.",
        |head, text| text.json(&head.version().0),
    ),
    (
        "syncScope",
        "ID",
        "The scope the document is in.",
        |head, text| text.string(head.scope()),
    ),
    (
        "syncChangedAt",
        "DateTime",
        "When the gateway last changed the document.",
        |head, text| text.instant(head.changed_at()),
    ),
];

/// The names of types in answers, by those in stores.
pub(super) struct TypeNames(BTreeMap<Box<str>, Box<str>>);

impl TypeNames {
    /// The name of the type that stores call `stored`; the stored name itself if the model lacks the type.
    pub(super) fn of<'n>(&'n self, stored: &'n str) -> &'n str {
        self.0.get(stored).map_or(stored, |name| name)
    }
}

impl<N: Node> ObjectType<N> {
    /// Adds the field `type`: the type that stores call as `of` returns.
    pub(super) fn type_name(
        self,
        description: &'static str,
        documents: &Arc<DocumentTypes>,
        of: for<'r, 'n> fn(&'r N::Ref<'n>) -> &'r str,
    ) -> Self {
        let documents = Arc::clone(documents);
        self.field("type", required("SyncType"), description, move |field| {
            let names = documents.names(field);
            Arc::new(move |node, text| {
                text.string(names.of(of(&node)));
                Ok(())
            })
        })
    }
}

/// The types of a model's documents.
pub(in crate::graphql) struct DocumentTypes {
    model: Arc<Model>,
}

impl DocumentTypes {
    pub(super) fn new(model: &Arc<Model>) -> Self {
        Self {
            model: Arc::clone(model),
        }
    }

    /// The model that they are made of.
    pub(super) fn model(&self) -> Arc<Model> {
        Arc::clone(&self.model)
    }

    pub(super) fn register(&self, mut builder: SchemaBuilder) -> SchemaBuilder {
        let model = &*self.model;
        let used = used_scalars(model);
        for (name, description, url) in SCALARS.into_iter().filter(|(name, ..)| used.contains(name))
        {
            let scalar = Scalar::new(name).description(description);
            builder = builder.register(scalar.specified_by_url(url));
        }
        for enum_type in model.enums.values() {
            builder = builder.register(enum_of(enum_type));
        }
        for embedded in model.embedded.values() {
            builder = builder.register(embedded_object(embedded));
        }
        for document_type in &model.types {
            builder = builder.register(document_object(model, document_type));
        }
        let mut states = Union::new("SyncState").description(
            "A document's fields as one side has them; it has no id, for it is not the document.",
        );
        for document_type in &model.types {
            states = states.possible_type(state_name(&document_type.name));
            builder = builder.register(state_object(document_type));
        }
        builder
            .register(type_names(model))
            .register(interface())
            .register(states)
    }

    /// The names of types in `field`, which is one.
    pub(super) fn names(&self, field: &SelectedField) -> TypeNames {
        let types = self.model.types.iter();
        let names = types.map(|document_type| {
            let shown = field.shown_name(document_type.name.as_str());
            (document_type.stored_as.as_str().into(), shown.into())
        });
        TypeNames(names.collect())
    }

    /// The plan for the selection of `field`'s documents, of all types.
    pub(in crate::graphql) fn compile(&self, field: &SelectedField) -> DocumentPlan {
        self.plan_of(|document_type| TypePlan {
            name: document_type.name.as_str().into(),
            parts: self.compile_one(document_type, field),
        })
    }

    fn plan_of(&self, plan: impl Fn(&DocumentType) -> TypePlan) -> DocumentPlan {
        let types = self.model.types.iter();
        let plans = types.map(|of| (of.stored_as.as_str().into(), plan(of)));
        DocumentPlan(plans.collect())
    }

    /// The plan for the selection of `field`'s document of this type.
    pub(in crate::graphql) fn compile_one(
        &self,
        document_type: &DocumentType,
        field: &SelectedField,
    ) -> PartsPlan {
        self.document(
            document_type,
            fields_of(&field.below, document_type.name.as_str()),
        )
    }

    /// The plan for the selection of a side of a conflict, by the types of documents. A side is no document, and any of
    /// its fields may be missing.
    pub(super) fn compile_states(&self, field: &SelectedField) -> DocumentPlan {
        self.plan_of(|document_type| {
            let name = state_name(&document_type.name);
            let fields = fields_of(&field.below, &name);
            TypePlan {
                parts: self.state(document_type, &name, fields),
                name: name.into(),
            }
        })
    }

    fn state(&self, ty: &DocumentType, name: &str, fields: &[SelectedField]) -> PartsPlan {
        let optional = |field| FieldPlan {
            required: false,
            default: None,
            ..field
        };
        let parts = fields.iter().map(|asked| {
            let part = match self.part(name, &ty.fields, asked) {
                DocumentPart::Field(field) => DocumentPart::Field(optional(field)),
                DocumentPart::Retired(field) => DocumentPart::Retired(optional(field)),
                part => part,
            };
            (Key::new(&asked.key), part)
        });
        PartsPlan::new(parts.collect())
    }

    fn document(&self, document_type: &DocumentType, fields: &[SelectedField]) -> PartsPlan {
        let parts = fields.iter().map(|asked| {
            let name = asked.name.as_str();
            let head = HEAD_FIELDS.iter().find(|(head, ..)| *head == name);
            let part = match head {
                Some((.., write)) => DocumentPart::Head(*write),
                None => self.relation(document_type, asked).unwrap_or_else(|| {
                    self.part(document_type.name.as_str(), &document_type.fields, asked)
                }),
            };
            (Key::new(&asked.key), part)
        });
        PartsPlan::new(parts.collect())
    }

    fn part(
        &self,
        type_name: &str,
        fields: &[model::Field],
        asked: &SelectedField,
    ) -> DocumentPart {
        match fields.iter().find(|field| field.is_called(&asked.name)) {
            Some(field) if field.retired => DocumentPart::Retired(self.field(fields, field, asked)),
            Some(field) => DocumentPart::Field(self.field(fields, field, asked)),
            None => DocumentPart::TypeName(asked.shown_name(type_name).into()),
        }
    }

    /// `fields` are those among which the field is.
    fn field(
        &self,
        fields: &[model::Field],
        field: &model::Field,
        asked: &SelectedField,
    ) -> FieldPlan {
        FieldPlan {
            name: field.name.as_str().into(),
            stored_as: field.stored_as.as_str().into(),
            stored_before: field.earlier_name(fields).map(Box::from),
            value: self.value(&field.ty, asked),
            required: field.ty.required,
            nulls_misfits: field.nulls_misfits,
            default: match &field.default {
                Some(DefaultValue::Literal(default)) if field.ty.required || field.retired => {
                    Some(default.clone())
                }
                _ => None,
            },
        }
    }

    fn value(&self, ty: &FieldType, asked: &SelectedField) -> ValuePlan {
        match &ty.shape {
            Shape::Scalar(model::Scalar::Json) => ValuePlan::Json,
            Shape::Scalar(scalar) => ValuePlan::Scalar(*scalar),
            Shape::Enum(name) => {
                let values = self.model.enums[name].values.iter();
                let values = values.map(|value| value.name.as_str().into());
                ValuePlan::Enum(name.as_str().into(), values.collect())
            }
            Shape::List(item) => ValuePlan::List {
                item: Box::new(self.value(item, asked)),
                required: item.required,
            },
            Shape::Embedded(name) => {
                let fields = &self.model.embedded[name].fields;
                let parts = fields_of(&asked.below, name).iter();
                let parts =
                    parts.map(|asked| (Key::new(&asked.key), self.part(name, fields, asked)));
                ValuePlan::Embedded(PartsPlan::new(parts.collect()))
            }
        }
    }
}

/// The scalars of the API itself, and those of the model's fields.
fn used_scalars(model: &Model) -> BTreeSet<&'static str> {
    let of_documents = model
        .types
        .iter()
        .flat_map(|document_type| &document_type.fields);
    let of_embedded = model
        .embedded
        .values()
        .flat_map(|embedded| &embedded.fields);
    of_documents
        .chain(of_embedded)
        .filter_map(|field| scalar_of(&field.ty.shape))
        .chain(["DateTime", "JSON", "Checkpoint"])
        .collect()
}

fn scalar_of(shape: &Shape) -> Option<&'static str> {
    match shape {
        Shape::Scalar(scalar) => Some(scalar.name()),
        Shape::List(item) => scalar_of(&item.shape),
        Shape::Enum(_) | Shape::Embedded(_) => None,
    }
}

fn enum_of(enum_type: &EnumType) -> Enum {
    let empty = Enum::new(&enum_type.name);
    let empty = with(empty, enum_type.description.as_ref(), Enum::description);
    enum_type.values.iter().fold(empty, |built, value| {
        let item = EnumItem::new(&value.name);
        let item = with(item, value.description.as_ref(), EnumItem::description);
        let reason = deprecation(value.deprecated.as_ref(), value.retired);
        built.item(with(item, reason, |item, reason| {
            item.deprecation(Some(reason))
        }))
    })
}

/// The enum `SyncType`.
fn type_names(model: &Model) -> Enum {
    let names =
        Enum::new("SyncType").description("The synced types, each equal to its `__typename`.");
    model.types.iter().fold(names, |names, document_type| {
        let name = document_type.name.as_str();
        let item = EnumItem::new(name).description(format!("The type {name}."));
        let reason = deprecation(None, document_type.retired);
        let item = with(item, reason, |item, reason| item.deprecation(Some(reason)));
        let earlier = document_type.renamed_from.as_ref().map(|from| {
            EnumItem::new(from.as_str())
                .description(format!("The earlier name of {name}."))
                .deprecation(Some(&renamed(name)))
        });
        with(names.item(item), earlier, Enum::item)
    })
}

fn interface() -> Interface {
    let interface = Interface::new("SyncDocument").description("What every synced document has.");
    HEAD_FIELDS
        .iter()
        .fold(interface, |interface, (name, ty, description, _)| {
            interface.field(InterfaceField::new(*name, required(ty)).description(*description))
        })
}

fn document_object(model: &Model, document_type: &DocumentType) -> Object {
    let object = Object::new(document_type.name.as_str()).implement("SyncDocument");
    let description = document_type.description.as_ref();
    let mut object = with(object, description, Object::description);
    for (name, ty, description, _) in HEAD_FIELDS {
        let own = document_type.id_description.as_deref();
        let description = own.filter(|_| name == "id").unwrap_or(description);
        object = object.field(unresolved(name, required(ty)).description(description));
    }
    for field in &document_type.fields {
        object = with_field(object, field, &output_type(&field.ty));
    }
    for reference in &document_type.references {
        object = object.field(reference_field(document_type, reference));
    }
    let reverses = document_type.reverses.iter();
    reverses.fold(object, |object, reverse| {
        object.field(reverse_field(model, reverse))
    })
}

fn embedded_object(embedded: &EmbeddedType) -> Object {
    let object = Object::new(&embedded.name);
    let object = with(object, embedded.description.as_ref(), Object::description);
    let fields = embedded.fields.iter();
    fields.fold(object, |object, field| {
        with_field(object, field, &output_type(&field.ty))
    })
}

/// Begins with `Sync`, as no type of a model does: `ListingState` may be the name of an enum beside a type `Listing`.
pub(in crate::graphql) fn state_name(type_name: &TypeName) -> String {
    format!("Sync{type_name}State")
}

fn state_object(document_type: &DocumentType) -> Object {
    let object = Object::new(state_name(&document_type.name)).description(format!(
        "The fields of {} as one side of a conflict has them.",
        one(document_type.name.as_str())
    ));
    let fields = document_type.fields.iter();
    fields.fold(object, |object, field| {
        with_field(object, field, &optional(output_type(&field.ty)))
    })
}

/// Adds a field of the type `ty`, with its description in the model, and its earlier name.
fn with_field(object: Object, field: &model::Field, ty: &TypeRef) -> Object {
    let built = |name: &str| {
        let built = unresolved(name, ty.clone());
        with(built, field.description.as_ref(), Field::description)
    };
    let reason = deprecation(field.deprecated.as_ref(), field.retired);
    let object = object.field(deprecated(built(&field.name), reason));
    match &field.renamed_from {
        Some(from) => object.field(deprecated(built(from), Some(&renamed(&field.name)))),
        None => object,
    }
}

fn unresolved(name: &str, ty: TypeRef) -> Field {
    Field::new(name, ty, |_| FieldFuture::Value(None))
}

fn deprecated(built: Field, reason: Option<&str>) -> Field {
    with(built, reason, |built, reason| {
        built.deprecation(Some(reason))
    })
}
