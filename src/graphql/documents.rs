//! The model's own types in the schema: documents, embedded types, enums, scalars.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use async_graphql::{
    Value as GraphqlValue,
    dataloader::{DataLoader, Loader},
    dynamic::{
        Enum, EnumItem, Field, FieldFuture, FieldValue, Interface, InterfaceField, Object,
        ResolverContext, Scalar, SchemaBuilder,
    },
};
use tidegate_core::{
    entry::Entry,
    id::DocumentKey,
    model::{self, DocumentType, EmbeddedType, EnumType, Model, Reference, Shape},
    value::Document,
};

use super::{
    complete::reported,
    error::Failure,
    render::load::AnswerRoom,
    shape::{Purpose, nullable, output_type, plain, required, shown, stored, string},
};
use crate::sync::{Caller, SyncService};

/// A living document on its way to a client.
pub(super) struct DocumentNode(pub(super) Arc<Entry>);

impl DocumentNode {
    /// As a value of the interface `SyncDocument`.
    pub(super) fn as_interface(entry: Arc<Entry>) -> FieldValue<'static> {
        let type_name = entry.key.type_name.to_string();
        FieldValue::owned_any(Self(entry)).with_type(type_name)
    }

    fn body(&self) -> Option<&Document> {
        self.0.body.as_ref()
    }
}

/// Where the wire formats of our scalars are specified.
const SCALARS: [(&str, &str, &str); 6] = [
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

pub(super) fn register(
    mut builder: SchemaBuilder,
    model: &Arc<Model>,
    purpose: Purpose,
) -> SchemaBuilder {
    let used = used_scalars(model);
    for (name, description, url) in SCALARS.into_iter().filter(|(name, ..)| used.contains(name)) {
        builder = builder.register(
            Scalar::new(name)
                .description(description)
                .specified_by_url(url),
        );
    }
    for enum_type in model.enums.values() {
        builder = builder.register(enum_of(enum_type));
    }
    for embedded in model.embedded.values() {
        builder = builder.register(embedded_object(embedded));
    }
    for document_type in &model.types {
        builder = builder.register(document_object(model, document_type, purpose));
    }
    builder.register(interface())
}

/// The scalars that the API itself speaks in, and those of the model's fields.
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
    let mut built = Enum::new(&enum_type.name);
    if let Some(description) = &enum_type.description {
        built = built.description(description);
    }
    for value in &enum_type.values {
        let mut item = EnumItem::new(&value.name);
        if let Some(description) = &value.description {
            item = item.description(description);
        }
        if let Some(deprecated) = &value.deprecated {
            item = item.deprecation(Some(deprecated));
        }
        built = built.item(item);
    }
    built
}

/// The fields every document has, with what they mean.
const SYNC_FIELDS: [(&str, &str, &str); 4] = [
    ("id", "ID", "The document's id, unique within its type."),
    (
        "syncVersion",
        "Int",
        "How often the document was changed; what a change sends back as `baseVersion`.",
    ),
    ("syncScope", "ID", "The scope the document is in."),
    (
        "syncChangedAt",
        "DateTime",
        "When the gateway last changed the document.",
    ),
];

fn interface() -> Interface {
    let interface = Interface::new("SyncDocument").description("What every synced document has.");
    SYNC_FIELDS
        .iter()
        .fold(interface, |interface, (name, ty, description)| {
            interface.field(InterfaceField::new(*name, required(ty)).description(*description))
        })
}

fn sync_field(entry: &Entry, name: &str) -> FieldValue<'static> {
    match name {
        "id" => string(entry.key.id.as_str()),
        "syncVersion" => FieldValue::value(GraphqlValue::from(entry.version.0)),
        "syncScope" => string(entry.scope.as_str()),
        _ => string(entry.at.to_string()),
    }
}

fn document_object(
    model: &Arc<Model>,
    document_type: &Arc<DocumentType>,
    purpose: Purpose,
) -> Object {
    let mut object = Object::new(document_type.name.as_str()).implement("SyncDocument");
    if let Some(description) = &document_type.description {
        object = object.description(description);
    }
    for (name, ty, description) in SYNC_FIELDS {
        let get = move |node: &DocumentNode| Some(sync_field(&node.0, name));
        let own = document_type.id_description.as_deref();
        let description = own.filter(|_| name == "id").unwrap_or(description);
        object = object.field(plain(name, required(ty), description, get));
    }
    for field in &document_type.fields {
        object = object.field(document_field(model, field, purpose));
    }
    for reference in &document_type.references {
        object = object.field(reference_field(model, reference));
    }
    object
}

fn document_field(model: &Arc<Model>, field: &model::Field, purpose: Purpose) -> Field {
    let (model, field_of_model) = (model.clone(), field.clone());
    let ty = output_type(&field.ty, purpose);
    let resolved = Field::new(&field.name, ty, move |ctx| {
        let node = ctx.parent_value.downcast_ref::<DocumentNode>();
        let body = node.and_then(DocumentNode::body);
        let value = body.and_then(|body| shown(&field_of_model, body));
        FieldFuture::Value(value.map(|value| stored(&model, &field_of_model.ty, value)))
    });
    described(resolved, field)
}

/// Only told to clients: the values of embedded documents are part of the document's around them.
fn embedded_object(embedded: &EmbeddedType) -> Object {
    let mut object = Object::new(&embedded.name);
    if let Some(description) = &embedded.description {
        object = object.description(description);
    }
    embedded.fields.iter().fold(object, |object, field| {
        let ty = output_type(&field.ty, Purpose::Shown);
        let unresolved = Field::new(&field.name, ty, |_| FieldFuture::Value(None));
        object.field(described(unresolved, field))
    })
}

/// With what the model says about the field.
pub(super) fn described(built: Field, field: &model::Field) -> Field {
    let built = match &field.description {
        Some(description) => built.description(description),
        None => built,
    };
    deprecated(built, field.deprecated.as_deref())
}

fn deprecated(built: Field, reason: Option<&str>) -> Field {
    match reason {
        Some(reason) => built.deprecation(Some(reason)),
        None => built,
    }
}

/// Another document whose id stands in this one: loaded in batches, null if the caller may not see it.
fn reference_field(model: &Arc<Model>, reference: &Reference) -> Field {
    let Reference { by, target, .. } = reference.clone();
    let id_type = model
        .document_type(target.as_str())
        .map(|target| target.id_type)
        .unwrap_or_default();
    let field = Field::new(
        &reference.name,
        nullable(reference.target.as_str()),
        move |ctx| {
            let id = ctx
                .parent_value
                .downcast_ref::<DocumentNode>()
                .and_then(|node| {
                    let id = node.body()?.get(&by)?.as_str()?;
                    id_type.parse(id).ok()
                });
            let Some(id) = id else {
                return FieldFuture::Value(None);
            };
            let key = DocumentKey {
                type_name: target.clone(),
                id,
            };
            FieldFuture::new(async move {
                let loaded = reported(&ctx, load(&ctx, key).await);
                Ok(loaded.map(FieldValue::owned_any))
            })
        },
    );
    let description = reference.description.clone().unwrap_or_else(|| {
        format!(
            "The {} that `{}` names, if you may see it.",
            reference.target, reference.by
        )
    });
    deprecated(
        field.description(description),
        reference.deprecated.as_deref(),
    )
}

async fn load(
    ctx: &ResolverContext<'_>,
    key: DocumentKey,
) -> Result<Option<DocumentNode>, Failure> {
    let loader = ctx.data_unchecked::<DataLoader<DocumentLoader>>();
    let found = loader.load_one(key).await?.transpose()?;
    loader.loader().hand_out(found)
}

/// Loads the documents that one request refers to, checked against the caller's grants.
pub(super) struct DocumentLoader {
    pub(super) sync: Arc<SyncService>,
    pub(super) caller: Caller,
    pub(super) room: Arc<AnswerRoom>,
}

impl DocumentLoader {
    fn hand_out(&self, entry: Option<Arc<Entry>>) -> Result<Option<DocumentNode>, Failure> {
        if let Some(entry) = &entry {
            self.room.take(entry)?;
        }
        Ok(entry.map(DocumentNode))
    }
}

impl Loader<DocumentKey> for DocumentLoader {
    type Value = Result<Arc<Entry>, Failure>;
    type Error = Failure;

    async fn load(
        &self,
        keys: &[DocumentKey],
    ) -> Result<HashMap<DocumentKey, Self::Value>, Failure> {
        let keys = keys.iter().cloned().collect();
        let bytes_max = self.room.bytes_left();
        let read = self.sync.documents(&self.caller, keys, bytes_max).await?;
        let found = read.found.into_iter();
        let found = found.map(|entry| (entry.key.clone(), Ok(entry)));
        let unread = read.left_out.into_iter();
        let unread = unread.map(|key| (key, Err(self.room.exceeded())));
        Ok(found.chain(unread).collect())
    }
}
