//! The hashes that releases before stored names kept of pushes and resolutions: over decoded changes, with types and
//! fields by their names in the model. A push or a resolution from before an upgrade may be repeated after it.

use super::{Push, PushHash, Resolution, ResolutionHash};
use crate::{
    change::{Action, BaseVersion, Change},
    model::{DocumentType, Field, Model, Shape},
    value::{Document, Value},
};

/// The hash of a push.
pub(super) fn push_hash(model: &Model, push: &Push) -> PushHash {
    let mut earlier = push.clone();
    for item in &mut earlier.changes {
        let Some(document_type) = model.stored_type(&item.type_name) else {
            continue;
        };
        if let Ok(change) = &mut item.change {
            rename(model, document_type, change);
        }
    }
    PushHash::of(&earlier)
}

/// The hash of a resolution.
pub(super) fn resolution_hash(
    model: &Model,
    document_type: &DocumentType,
    base: BaseVersion,
    resolution: &Resolution,
) -> ResolutionHash {
    let mut earlier = resolution.clone();
    if let Resolution::Edited(_, Ok(fields)) = &mut earlier {
        *fields = document(model, &document_type.fields, fields);
    }
    ResolutionHash::of(base, &earlier)
}

fn rename(model: &Model, document_type: &DocumentType, change: &mut Change) {
    let fields = &document_type.fields;
    match &mut change.action {
        Action::Create {
            document: whole, ..
        } => *whole = document(model, fields, whole),
        Action::Update { set, seen, .. } => {
            *set = document(model, fields, set);
            if let Some(seen) = seen {
                *seen = document(model, fields, seen);
            }
        }
        Action::Delete { .. } => {}
    }
}

/// The document by the names that its fields had first in the model.
fn document(model: &Model, fields: &[Field], stored: &Document) -> Document {
    let named = stored.iter().map(|(stored_name, value)| {
        let field = fields.iter().find(|field| field.stored_as == *stored_name);
        match field {
            Some(field) => {
                let name = field.renamed_from.as_ref().unwrap_or(&field.name);
                (name.clone(), renamed(model, &field.ty.shape, value))
            }
            None => (stored_name.clone(), value.clone()),
        }
    });
    named.collect()
}

fn renamed(model: &Model, shape: &Shape, value: &Value) -> Value {
    match (shape, value) {
        (Shape::List(item), Value::List(items)) => {
            let items = items.iter().map(|value| renamed(model, &item.shape, value));
            Value::List(items.collect())
        }
        (Shape::Embedded(name), Value::Object(embedded)) => {
            Value::Object(document(model, model.embedded_fields(name), embedded))
        }
        _ => value.clone(),
    }
}
