//! Random pushes: creates, updates and deletes of documents that are there, were there, or never were, on versions that are
//! or are not those of the store.

use serde_json::{Map, Value as Json, json};
use tidegate_core::{
    model::{DocumentType, Model},
    value::json,
};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_answered_as_the_executor_would_to_the_byte() {
    let shown = [
        "APPLIED",
        "MERGED",
        "CONFLICT",
        "REJECTED",
        "conflictId",
        "theirs",
        "syncVersion",
        "errors",
    ];
    compare_all(operations::push, &shown);
}

/// The argument of a push.
pub(super) fn input(model: &Model, tape: &mut Tape) -> Json {
    let changes = 1 + tape.below(4);
    let mut input = json!({
        "changes": (0..changes).map(|_| change(model, tape)).collect::<Vec<_>>(),
        "atomic": tape.one_in(8),
    });
    let client = match tape.below(10) {
        0..3 => Json::Null,
        3 => json!({"id": ""}),
        4..7 => json!({"id": "c"}),
        _ => {
            input["epoch"] = "e1".into();
            json!({"id": format!("c{}", tape.below(100)), "firstMutationId": 1})
        }
    };
    input["client"] = client;
    input
}

fn change(model: &Model, tape: &mut Tape) -> Json {
    let document_type = &model.types[tape.below(model.types.len())];
    let id = tape.of(&[
        "1 \"ü\"", "2 \"ü\"", "3 \"ü\"", "0 \"ü\"", "left", "new", "",
    ]);
    let base_version = tape.of(&[2, 1, 3, -1, 0]);
    let change = match tape.below(6) {
        0 => json!({"delete": {"id": id, "baseVersion": base_version}}),
        1 => json!({"create": {"id": id, "document": created(model, document_type, tape)}}),
        _ => {
            let set = fields(model, document_type, tape);
            let mut update = json!({"id": id, "baseVersion": base_version, "set": set});
            if tape.one_in(3) {
                update["base"] = fields(model, document_type, tape).into();
            }
            if tape.one_in(5) {
                update["changedAt"] = tape.of(&["1970-01-01T00:00:00.500Z", "yesterday"]).into();
            }
            json!({"update": update})
        }
    };
    json!({document_type.singular.as_str(): change})
}

/// With its owner, mostly.
fn created(model: &Model, document_type: &DocumentType, tape: &mut Tape) -> Json {
    let mut document = fields(model, document_type, tape);
    if tape.below(4) > 0 {
        document.insert("owner".into(), "alice".into());
    }
    document.into()
}

/// Some of the fields that a client may set, with values of their types.
fn fields(model: &Model, document_type: &DocumentType, tape: &mut Tape) -> Map<String, Json> {
    let body = Documents { model, tape }.body(document_type);
    let mut fields = json::encode_fields(model, &document_type.fields, &body);
    let settable = |name: &str| document_type.field(name).is_some_and(|it| !it.read_only);
    fields.retain(|name, _| settable(name) && name != "owner");
    fields
}
