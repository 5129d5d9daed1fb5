//! From the exact input of `pushChanges` to the core's [`Push`].

use async_graphql::{Name, Value, indexmap::IndexMap};
use serde_json::{Map, Value as Json};
use tidegate_core::{
    change::{Action, BaseVersion, Change, Rejection, RejectionCode, Submission},
    id::{ClientId, DocumentKey, Epoch, MutationId},
    model::{DocumentType, Model},
    push::{Push, PushClient},
    value::{Document, Timestamp, defaults, json, unrepresentable::Unrepresentable},
};

use super::sent;
use crate::{
    graphql::{
        enums,
        error::{ClientError, Code},
    },
    sync::SentPush,
};

pub(in crate::graphql) type Object = IndexMap<Name, Value>;

/// Reads the argument `input` of `pushChanges`, and fills in the defaults that it leaves out.
pub(in crate::graphql) fn push(model: &Model, input: Value) -> Result<SentPush, ClientError> {
    let mut input = object(input);
    let hash = sent::push_hash(&input);
    let changes = match input.swap_remove("changes") {
        Some(Value::List(changes)) => changes,
        _ => Vec::new(),
    };
    let push = Push {
        client: present(&mut input, "client")
            .map(|client| push_client(object(client)))
            .transpose()?,
        changes: changes
            .into_iter()
            .map(|item| submission(model, object(item)).ok_or_else(unknown_change))
            .collect::<Result<_, _>>()?,
        atomic: matches!(input.get("atomic"), Some(Value::Boolean(true))),
        policy: present(&mut input, "policy")
            .and_then(|policy| enums::POLICY.value(&text(policy)?).copied()),
        epoch: present(&mut input, "epoch")
            .and_then(text)
            .map(|epoch| Epoch::new(&epoch))
            .transpose()
            .map_err(|error| ClientError::unusable("epoch", &error))?,
    };
    Ok(SentPush { push, hash })
}

fn push_client(mut client: Object) -> Result<PushClient, ClientError> {
    let id = present(&mut client, "id")
        .and_then(text)
        .unwrap_or_default();
    let id = ClientId::new(&id).map_err(|error| ClientError::unusable("client.id", &error))?;
    Ok(PushClient {
        id,
        first: integer(&mut client, "firstMutationId").map(MutationId),
    })
}

/// Request validation accepts no such item. Leaving it out would shift the mutation ids of the items after it.
fn unknown_change() -> ClientError {
    ClientError::new(Code::BadUserInput, "An item of `changes` names no change.")
}

/// One item: `{task: {update: {…}}}`.
fn submission(model: &Model, item: Object) -> Option<Submission> {
    let (root, change) = item.into_iter().next()?;
    let document_type = model.types.iter().find(|known| known.has_key(&root))?;
    let (verb, change) = object(change).into_iter().next()?;
    let mut change = object(change);
    let id = present(&mut change, "id")
        .and_then(text)
        .unwrap_or_default();
    let read = read_change(model, document_type, verb.as_str(), &id, change);
    Some(Submission {
        type_name: document_type.stored_as.clone(),
        id: Unrepresentable::shown(&id),
        change: read,
    })
}

fn read_change(
    model: &Model,
    document_type: &DocumentType,
    verb: &str,
    id: &str,
    mut change: Object,
) -> Result<Change, Rejection> {
    let id = document_type.id_type.parse(id).map_err(|error| {
        Rejection::of_field(
            RejectionCode::InvalidId,
            "id",
            format!("the id is not usable: {error}"),
        )
    })?;
    let named_base = integer(&mut change, "baseVersion").map(BaseVersion);
    let base = named_base.unwrap_or(BaseVersion::OTHER_EPOCH);
    let mut fields = |name: &str| {
        present(&mut change, name)
            .map(|value| read_fields(model, document_type, value))
            .transpose()
    };
    let action = match verb {
        "create" => {
            let mut document = fields("document")?.unwrap_or_default();
            defaults::fill(model, &document_type.fields, &mut document);
            Action::Create {
                document,
                base: named_base,
            }
        }
        "update" => Action::Update {
            base,
            set: fields("set")?.unwrap_or_default(),
            seen: fields("base")?,
        },
        _ => Action::Delete { base },
    };
    Ok(Change {
        key: DocumentKey {
            type_name: document_type.stored_as.clone(),
            id,
        },
        action,
        changed_at: read_changed_at(&mut change)?,
    })
}

/// Reads the fields of a document or a patch, and fills in the defaults inside embedded documents.
pub(in crate::graphql) fn read_fields(
    model: &Model,
    document_type: &DocumentType,
    value: Value,
) -> Result<Document, Rejection> {
    let json = match json_of(value) {
        Json::Object(fields) => fields,
        _ => Map::new(),
    };
    let fields = &document_type.fields;
    let mut document = json::decode_fields(model, fields, json)
        .map_err(|error| Rejection::invalid(&error.path, error.problem))?;
    defaults::fill_inside(model, fields, &mut document);
    Ok(document)
}

/// Validation accepts no binary values.
pub(super) fn json_of(value: Value) -> Json {
    match value {
        Value::Null | Value::Binary(_) => Json::Null,
        Value::Boolean(value) => Json::Bool(value),
        Value::Number(number) => Json::Number(number),
        Value::String(text) => Json::String(text),
        Value::Enum(name) => Json::String(name.as_str().to_owned()),
        Value::List(items) => items.into_iter().map(json_of).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let fields = fields.map(|(name, value)| (name.as_str().to_owned(), json_of(value)));
            Json::Object(fields.collect())
        }
    }
}

fn read_changed_at(change: &mut Object) -> Result<Option<Timestamp>, Rejection> {
    let Some(value) = present(change, "changedAt") else {
        return Ok(None);
    };
    let parsed = text(value).and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| {
        let message = "is not an RFC 3339 date-time such as 2026-02-28T12:30:00.000Z";
        Rejection::invalid("changedAt", message)
    })
}

/// Takes a value out. Null and absent are equal for the inputs read with it, which have no defaults.
pub(in crate::graphql) fn present(object: &mut Object, name: &str) -> Option<Value> {
    object
        .swap_remove(name)
        .filter(|value| *value != Value::Null)
}

pub(in crate::graphql) fn integer(object: &mut Object, name: &str) -> Option<i32> {
    match present(object, name)? {
        Value::Number(number) => number
            .as_i64()
            .and_then(|number| i32::try_from(number).ok()),
        _ => None,
    }
}

pub(in crate::graphql) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

pub(in crate::graphql) fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Enum(name) => Some(name.to_string()),
        _ => None,
    }
}
