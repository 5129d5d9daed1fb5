//! Writes to what the model has retired. They are rejected, unless they change nothing: forms of earlier models send
//! every field.
//!
//! A value changes nothing if it is null or the default, or if the field had it before: as `base` says, or as the
//! document has it. Such a value is taken out of the change. A retired value of an enum stays, where it was before.

use std::{borrow::Cow, collections::BTreeSet};

use super::DecisionContext;
use crate::{
    change::{Action, Change, Rejection, RejectionCode},
    entry::Entry,
    model::{DefaultValue, Field, Model, Shape},
    value::{Document, Value, json::join},
};

/// The change without the fields that are retired.
///
/// # Errors
/// A [`RejectionCode::Retired`], if the change writes to what is retired. It depends on the entry only if the caller may
/// see it.
pub(super) fn settle<'c>(
    context: &DecisionContext<'_>,
    entry: Option<&Entry>,
    change: &'c Change,
) -> Result<Cow<'c, Change>, Rejection> {
    let document_type = context.document_type;
    if document_type.retired {
        let message = format!("the type {} is retired", document_type.name);
        return Err(Rejection::new(RejectionCode::Retired, message));
    }
    if !context.model.has_retired {
        return Ok(Cow::Borrowed(change));
    }
    let stored = entry.filter(|entry| context.grants.can_read(&entry.scope));
    let stored = stored.and_then(|entry| entry.body.as_ref());
    let settle = |given: &Document, seen: Option<&Document>| {
        let settler = Settler {
            model: context.model,
            before: [seen, stored],
        };
        settler.fields(&document_type.fields, given)
    };
    let action = match &change.action {
        Action::Create { document, base } => Action::Create {
            document: settle(document, None)?,
            base: *base,
        },
        Action::Update { base, set, seen } => Action::Update {
            base: *base,
            set: settle(set, seen.as_ref())?,
            seen: seen.clone(),
        },
        Action::Delete { base } => Action::Delete { base: *base },
    };
    Ok(Cow::Owned(Change {
        action,
        ..change.clone()
    }))
}

/// A document without its retired fields, also inside embedded documents.
pub(crate) fn without_retired(model: &Model, fields: &[Field], document: &Document) -> Document {
    let kept = fields.iter().filter(|field| !field.retired);
    kept.filter_map(|field| {
        let value = document.get(&field.stored_as)?;
        let value = without_retired_inside(model, &field.ty.shape, value);
        Some((field.stored_as.clone(), value))
    })
    .collect()
}

fn without_retired_inside(model: &Model, shape: &Shape, value: &Value) -> Value {
    match (shape, value) {
        (Shape::List(item), Value::List(items)) => {
            let items = items.iter();
            Value::List(
                items
                    .map(|value| without_retired_inside(model, &item.shape, value))
                    .collect(),
            )
        }
        (Shape::Embedded(name), Value::Object(document)) => Value::Object(without_retired(
            model,
            model.embedded_fields(name),
            document,
        )),
        _ => value.clone(),
    }
}

/// Settles the fields that a client sets.
struct Settler<'d> {
    model: &'d Model,
    /// The document as the client saw it, and as it is.
    before: [Option<&'d Document>; 2],
}

impl Settler<'_> {
    fn fields(&self, fields: &[Field], given: &Document) -> Result<Document, Rejection> {
        let mut settled = Document::new();
        for (name, value) in given {
            let value = match fields.iter().find(|field| field.stored_as == *name) {
                Some(field) => self.field(field, value)?,
                None => Some(value.clone()),
            };
            settled.extend(value.map(|value| (name.clone(), value)));
        }
        Ok(settled)
    }

    fn field(&self, field: &Field, value: &Value) -> Result<Option<Value>, Rejection> {
        let mut known = KnownValues {
            model: self.model,
            values: BTreeSet::new(),
        };
        let before = self.before.into_iter().flatten();
        for before in before.filter_map(|before| before.get(&field.stored_as)) {
            known.add(OWN, field, before);
        }
        known.settle(OWN, field, value, &field.name)
    }
}

/// Stands for the document's type, which embeds nothing under this name.
const OWN: &str = "";

/// The retired values that a field of a document had, also inside it. They are known by the embedded type and its field,
/// since items of a list may have another place now.
struct KnownValues<'m> {
    model: &'m Model,
    values: BTreeSet<(&'m str, &'m str, String)>,
}

impl<'m> KnownValues<'m> {
    fn add(&mut self, owner: &'m str, field: &'m Field, value: &Value) {
        if field.retired {
            self.values.insert((owner, &field.name, key(value)));
        } else {
            self.add_inside(owner, field, &field.ty.shape, value);
        }
    }

    fn add_inside(&mut self, owner: &'m str, field: &'m Field, shape: &'m Shape, value: &Value) {
        match (shape, value) {
            (Shape::Enum(name), Value::String(word)) if self.model.is_retired_value(name, word) => {
                self.values.insert((owner, &field.name, key(value)));
            }
            (Shape::List(item), Value::List(items)) => {
                for value in items {
                    self.add_inside(owner, field, &item.shape, value);
                }
            }
            (Shape::Embedded(name), Value::Object(document)) => {
                for field in self.model.embedded_fields(name) {
                    if let Some(value) = document.get(&field.stored_as) {
                        self.add(name, field, value);
                    }
                }
            }
            _ => {}
        }
    }

    fn has(&self, owner: &str, field: &Field, value: &Value) -> bool {
        self.values.contains(&(owner, &field.name, key(value)))
    }

    fn has_any(&self, owner: &str, field: &Field) -> bool {
        let first = (owner, field.name.as_str(), String::new());
        let mut from = self.values.range(first..);
        from.next()
            .is_some_and(|(of, name, _)| (*of, *name) == (owner, &field.name))
    }

    /// The value to write; `None` if the field is left alone.
    fn settle(
        &self,
        owner: &str,
        field: &Field,
        value: &Value,
        path: &str,
    ) -> Result<Option<Value>, Rejection> {
        if !field.retired {
            return self
                .settle_inside(owner, field, &field.ty.shape, value, path)
                .map(Some);
        }
        let is_default = matches!(&field.default, Some(DefaultValue::Literal(it)) if it == value);
        if !is_default && !value.is_null() && !self.has(owner, field, value) {
            return Err(Rejection::of_field(
                RejectionCode::Retired,
                path,
                "the field is retired",
            ));
        }
        // An embedded document is written whole, and a gateway of an earlier model needs the field.
        let stays = is_default && owner != OWN && !self.has_any(owner, field);
        Ok(stays.then(|| value.clone()))
    }

    fn settle_inside(
        &self,
        owner: &str,
        field: &Field,
        shape: &Shape,
        value: &Value,
        path: &str,
    ) -> Result<Value, Rejection> {
        match (shape, value) {
            (Shape::Enum(name), Value::String(word))
                if self.model.is_retired_value(name, word) && !self.has(owner, field, value) =>
            {
                let message = format!("the value {word} is retired");
                Err(Rejection::of_field(RejectionCode::Retired, path, message))
            }
            (Shape::List(item), Value::List(items)) => {
                let items = items.iter().enumerate();
                let settled = items.map(|(i, value)| {
                    let path = format!("{path}[{i}]");
                    self.settle_inside(owner, field, &item.shape, value, &path)
                });
                settled.collect::<Result<_, _>>().map(Value::List)
            }
            (Shape::Embedded(name), Value::Object(document)) => self
                .settle_embedded(name, document, path)
                .map(Value::Object),
            _ => Ok(value.clone()),
        }
    }

    fn settle_embedded(
        &self,
        type_name: &str,
        document: &Document,
        path: &str,
    ) -> Result<Document, Rejection> {
        let fields = self.model.embedded_fields(type_name);
        let mut settled = Document::new();
        for (name, value) in document {
            let field = fields.iter().find(|field| field.stored_as == *name);
            let value = match field {
                Some(field) => self.settle(type_name, field, value, &join(path, &field.name))?,
                None => Some(value.clone()),
            };
            settled.extend(value.map(|value| (name.clone(), value)));
        }
        Ok(settled)
    }
}

/// The identity of a value. Values have no order of their own.
fn key(value: &Value) -> String {
    serde_json::to_string(value).expect("values hold string keys, which JSON can write")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::value::json::decode_fields;

    const MODEL: &str = r#"
        extend schema @grant(scope: "public", access: WRITE)
        type Order @collection(name: "orders") @scope(by: "public") { id: ID! lines: [Line!] note: String @retired kind: Kind }
        type Line { a: Int! @default(value: 1) @retired ab: Int! @default(value: 1) @retired kinds: [Kind] inner: Line text: String }
        enum Kind { OLD @retired NEW }
    "#;

    /// What becomes of the fields `given` by a client that saw `seen`, over the document `stored`.
    fn settled(given: Json, seen: Json, stored: Json) -> Result<Document, String> {
        let model = Model::parse("model.graphql", MODEL).unwrap();
        let fields = &model.types[0].fields;
        let document = |json: Json| {
            let json = json.as_object().unwrap().clone();
            decode_fields(&model, fields, json).unwrap()
        };
        let (seen, stored) = (document(seen), document(stored));
        let settler = Settler {
            model: &model,
            before: [Some(&seen), Some(&stored)],
        };
        let settled = settler.fields(fields, &document(given));
        settled.map_err(|rejection| rejection.field.unwrap_or_default())
    }

    #[track_caller]
    fn leaves(given: Json, stored: Json, expected: Json) {
        let model = Model::parse("model.graphql", MODEL).unwrap();
        let expected = expected.as_object().unwrap().clone();
        let expected = decode_fields(&model, &model.types[0].fields, expected).unwrap();
        assert_eq!(settled(given, json!({}), stored), Ok(expected));
    }

    #[track_caller]
    fn rejects(given: Json, stored: Json, path: &str) {
        assert_eq!(settled(given, json!({}), stored), Err(path.to_owned()));
    }

    #[test]
    fn an_embedded_default_stays_only_where_the_field_had_no_value() {
        let default = json!({"lines": [{"a": 1, "ab": 1, "text": "x"}]});
        leaves(default.clone(), json!({}), default.clone());
        leaves(
            default.clone(),
            json!({"note": "a", "kind": "OLD"}),
            default.clone(),
        );
        let of_ab = json!({"lines": [{"ab": 7}]});
        leaves(
            default.clone(),
            of_ab,
            json!({"lines": [{"a": 1, "text": "x"}]}),
        );
        let of_a = json!({"lines": [{"inner": {"a": 7}}]});
        leaves(default, of_a, json!({"lines": [{"ab": 1, "text": "x"}]}));
    }

    #[test]
    fn a_value_is_known_by_its_field_wherever_it_stood_in_the_same_field_of_the_document() {
        let stored =
            json!({"lines": [{"a": 5, "kinds": ["NEW", "OLD"]}], "kind": "NEW", "note": "n"});
        let deep = json!({"lines": [{"text": "x"}, {"inner": {"a": 5, "kinds": [null, "OLD"]}}]});
        leaves(
            deep,
            stored.clone(),
            json!({"lines": [{"text": "x"}, {"inner": {"kinds": [null, "OLD"]}}]}),
        );
        rejects(json!({"lines": [{"ab": 5}]}), stored.clone(), "lines[0].ab");
        rejects(json!({"kind": "OLD"}), stored.clone(), "kind");
        rejects(
            json!({"lines": [{}, {"inner": {"inner": {"a": 6}}}]}),
            stored.clone(),
            "lines[1].inner.inner.a",
        );
        leaves(
            json!({"note": "n", "kind": "NEW"}),
            stored.clone(),
            json!({"kind": "NEW"}),
        );
        leaves(json!({"note": null}), stored.clone(), json!({}));
        rejects(json!({"note": ""}), stored.clone(), "note");
        let as_seen = settled(json!({"note": "s"}), json!({"note": "s"}), stored);
        assert_eq!(as_seen, Ok(Document::new()));
    }
}
