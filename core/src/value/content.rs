//! The part of stored values that the model names: how it is compared, and how it is written without the loss of the rest.
//!
//! Another model may name the rest: a newer gateway's, or that of a service which writes the same documents.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write,
};

use super::{Document, Value};
use crate::{
    model::{Field, FieldType, Model, Shape},
    mutant::{Mutant, is_active},
};

/// Whether two values are equal as a client sees them: only what the model names and has not retired counts, and an absent
/// field equals a null one.
pub fn same(model: &Model, ty: &FieldType, a: Option<&Value>, b: Option<&Value>) -> bool {
    let (a, b) = (a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null));
    match (&ty.shape, a, b) {
        (Shape::List(item), Value::List(a), Value::List(b)) => {
            let mut pairs = a.iter().zip(b);
            a.len() == b.len() && pairs.all(|(a, b)| same(model, item, Some(a), Some(b)))
        }
        (Shape::Embedded(name), Value::Object(a), Value::Object(b)) => fields_in_use(model, name)
            .all(|field| {
                let name = &field.stored_as;
                same(model, &field.ty, a.get(name), b.get(name))
            }),
        (_, a, b) => a == b,
    }
}

/// Who writes a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrittenBy {
    /// A client, which writes nothing that is retired.
    Client,
    /// A service, which writes whole documents.
    Service,
}

/// Puts what `before` holds and the writer does not name into `after`, in embedded documents and lists too.
pub fn keep_others(
    model: &Model,
    by: WrittenBy,
    fields: &[Field],
    before: &Document,
    after: &mut Document,
) {
    if !is_active(Mutant::OthersDropped) {
        Keeper { model, by }.fields(fields, before, after);
    }
}

/// The same for one value.
pub fn keep_others_inside(
    model: &Model,
    by: WrittenBy,
    ty: &FieldType,
    before: &Value,
    after: &mut Value,
) {
    if !is_active(Mutant::OthersDropped) {
        Keeper { model, by }.value(ty, before, after);
    }
}

struct Keeper<'m> {
    model: &'m Model,
    by: WrittenBy,
}

impl Keeper<'_> {
    fn fields(&self, fields: &[Field], before: &Document, after: &mut Document) {
        for (name, value) in before {
            if !self.names(fields, name) && !after.contains_key(name) {
                after.insert(name.clone(), value.clone());
            }
        }
        for field in fields {
            let before = before.get(&field.stored_as);
            if let Some((before, after)) = before.zip(after.get_mut(&field.stored_as)) {
                self.value(&field.ty, before, after);
            }
        }
    }

    fn value(&self, ty: &FieldType, before: &Value, after: &mut Value) {
        match (&ty.shape, before, after) {
            (Shape::Embedded(name), Value::Object(before), Value::Object(after)) => {
                self.fields(self.model.embedded_fields(name), before, after);
            }
            (Shape::List(item), Value::List(before), Value::List(after)) => {
                self.items(item, before, after);
            }
            _ => {}
        }
    }

    /// An item that is still there keeps what others put into it, wherever it moves. A changed item keeps it only if the
    /// list has its old length: then it is taken to be the item at that position.
    fn items(&self, item: &FieldType, before: &[Value], after: &mut [Value]) {
        if !before.iter().any(|value| self.has_others(item, value)) {
            return;
        }
        let has_old_length = before.len() == after.len();
        let mut left: HashMap<String, VecDeque<usize>> = HashMap::new();
        for (i, value) in before.iter().enumerate() {
            let spelled = spelled(self.model, item, value);
            left.entry(spelled).or_default().push_back(i);
        }
        let origins = after.iter().map(|value| {
            let there = left.get_mut(&spelled(self.model, item, value));
            there.and_then(VecDeque::pop_front)
        });
        let origins: Vec<Option<usize>> = origins.collect();
        let mut is_gone = vec![true; before.len()];
        for origin in origins.iter().flatten() {
            is_gone[*origin] = false;
        }
        for (i, (value, origin)) in after.iter_mut().zip(origins).enumerate() {
            let there = || (has_old_length && is_gone[i]).then_some(i);
            if let Some(origin) = origin.or_else(there) {
                self.value(item, &before[origin], value);
            }
        }
    }

    /// Whether a value holds anything that the writer does not name.
    fn has_others(&self, ty: &FieldType, value: &Value) -> bool {
        match (&ty.shape, value) {
            (Shape::Embedded(name), Value::Object(document)) => {
                let fields = self.model.embedded_fields(name);
                document.iter().any(|(name, value)| {
                    let field = fields.iter().find(|field| field.stored_as == *name);
                    !self.names(fields, name)
                        || field.is_some_and(|field| self.has_others(&field.ty, value))
                })
            }
            (Shape::List(item), Value::List(items)) => {
                items.iter().any(|value| self.has_others(item, value))
            }
            _ => false,
        }
    }

    fn names(&self, fields: &[Field], name: &str) -> bool {
        let is_name =
            |field: &Field| field.stored_as == name || field.earlier_name(fields) == Some(name);
        let field = fields.iter().find(|field| is_name(field));
        field.is_some_and(|field| self.by == WrittenBy::Service || !field.retired)
    }
}

fn fields_in_use<'m>(model: &'m Model, embedded: &str) -> impl Iterator<Item = &'m Field> {
    let fields = model.embedded_fields(embedded).iter();
    fields.filter(|field| !field.retired)
}

/// A text that is equal for values that are the [`same`].
fn spelled(model: &Model, ty: &FieldType, value: &Value) -> String {
    let mut text = String::new();
    spell(model, ty, value, &mut text);
    text
}

fn spell(model: &Model, ty: &FieldType, value: &Value, text: &mut String) {
    match (&ty.shape, value) {
        (Shape::Embedded(name), Value::Object(document)) => {
            text.push('{');
            for (i, field) in fields_in_use(model, name).enumerate() {
                let value = document.get(&field.stored_as);
                if let Some(value) = value.filter(|value| !value.is_null()) {
                    write!(text, "{i}:").expect("memory takes everything");
                    spell(model, &field.ty, value, text);
                }
            }
            text.push('}');
        }
        (Shape::List(item), Value::List(items)) => {
            text.push('[');
            for value in items {
                spell(model, item, value, text);
                text.push(',');
            }
            text.push(']');
        }
        (_, value) => write!(text, "{value:?}").expect("memory takes everything"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::fit::fit;

    const MODEL: &str = r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "all") { id: ID! title: String place: Place stops: [Stop!] }
type Place { city: String @stored(as: "town") inner: Place }
type Stop { n: Int }
"#;

    fn model() -> Model {
        Model::parse("model.graphql", MODEL).unwrap()
    }

    fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
        Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).into())
    }

    fn stop(n: i32, tag: Option<i32>) -> Value {
        match tag {
            Some(tag) => object([("n", Value::Int(n)), ("tag", Value::Int(tag))]),
            None => object([("n", Value::Int(n))]),
        }
    }

    /// The stops after an edit of the ones before, as numbers with the tags that nobody names.
    fn stops(before: &[(i32, Option<i32>)], after: &[i32]) -> Value {
        let model = model();
        let field = model.types[0].field("stops").unwrap();
        let before = before.iter().map(|(n, tag)| stop(*n, *tag)).collect();
        let mut edited = Value::List(after.iter().map(|n| stop(*n, None)).collect());
        keep_others_inside(
            &model,
            WrittenBy::Client,
            &field.ty,
            &Value::List(before),
            &mut edited,
        );
        edited
    }

    #[test]
    fn items_keep_their_content_where_they_go_and_edited_ones_in_their_place() {
        let before = [(1, Some(10)), (2, None), (2, Some(20)), (3, Some(30))];
        for (after, expected) in [
            (vec![3, 1], vec![(3, Some(30)), (1, Some(10))]),
            (vec![2, 2], vec![(2, None), (2, Some(20))]),
            (
                vec![1, 2, 2, 4],
                vec![(1, Some(10)), (2, None), (2, Some(20)), (4, Some(30))],
            ),
            (vec![4, 1], vec![(4, None), (1, Some(10))]),
        ] {
            let expected = expected.into_iter().map(|(n, tag)| stop(n, tag));
            assert_eq!(stops(&before, &after), Value::List(expected.collect()));
        }
    }

    #[test]
    fn only_what_the_model_names_counts_and_null_is_absent() {
        let model = model();
        let ty = &model.types[0].field("place").unwrap().ty;
        let town = |name: &str| Value::String(name.to_owned());
        let plain = object([("town", town("Ulm"))]);
        let rich = object([
            ("town", town("Ulm")),
            ("geo", Value::Int(1)),
            ("inner", Value::Null),
        ]);
        assert!(same(&model, ty, Some(&plain), Some(&rich)));
        let other = object([("town", town("Rom")), ("geo", Value::Int(1))]);
        assert!(!same(&model, ty, Some(&rich), Some(&other)));
        assert!(same(&model, ty, None, Some(&Value::Null)));
        assert_eq!(spelled(&model, ty, &plain), spelled(&model, ty, &rich));
        assert_ne!(spelled(&model, ty, &plain), spelled(&model, ty, &other));
    }

    #[cfg(feature = "mutants")]
    #[test]
    fn without_the_rule_a_write_drops_what_its_model_does_not_name() {
        crate::mutant::switch(Some(Mutant::OthersDropped));
        let (model, before) = (model(), Document::from([("x".to_owned(), Value::Int(1))]));
        let mut after = Document::new();
        keep_others(
            &model,
            WrittenBy::Client,
            &model.types[0].fields,
            &before,
            &mut after,
        );
        crate::mutant::switch(None);
        assert!(after.is_empty());
    }

    #[test]
    fn what_is_kept_fits_the_model_as_before() {
        let model = model();
        let fields = &model.types[0].fields;
        let before = Document::from([
            ("place".to_owned(), object([("geo", Value::Bytes(vec![1]))])),
            ("extra".to_owned(), Value::List(vec![Value::Null])),
        ]);
        let mut after = Document::from([("place".to_owned(), object([]))]);
        keep_others(&model, WrittenBy::Client, fields, &before, &mut after);
        assert_eq!(after, before);
        assert_eq!(fit(&model, fields, &after), Ok(None));
    }
}
