//! The part of stored values that the model names: how it is compared, and how it is written without the loss of the rest.
//!
//! Another model may name the rest: a newer gateway's, or that of a service which writes the same documents.

use std::fmt::{self, Write};

use super::{Document, Value, items::ListEdit};
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
enum WrittenBy {
    /// A client, which writes nothing that is retired.
    Client,
    /// A service, which writes whole documents.
    Service,
}

/// A list of which an edit does not show which item is which. Some of its items hold what the writer does not name, which
/// could be lost or go to another item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnidentifiedItem {
    /// The path of the list, by the model's names, from the value: empty, or `.lines[0].parts`.
    pub path: String,
}

impl UnidentifiedItem {
    fn inside(self, step: impl fmt::Display) -> Self {
        let path = format!("{step}{}", self.path);
        Self { path }
    }
}

/// Puts what `before` holds and the writer does not name into `after`, in embedded documents and lists too. A service
/// writes whole documents, and its own store has what it writes: where an item cannot be identified, it is a new one.
pub fn keep_others(model: &Model, fields: &[Field], before: &Document, after: &mut Document) {
    if !is_active(Mutant::OthersDropped) {
        let by = WrittenBy::Service;
        let kept = Keeper { model, by }.fields(fields, before, after);
        kept.expect("a service's items are never refused");
    }
}

/// The same for one field of a client's change.
///
/// # Errors
/// [`UnidentifiedItem`], if it cannot be proven which item of a list is which. `after` is then of no use.
pub fn keep_others_inside(
    model: &Model,
    field: &Field,
    before: &Value,
    after: &mut Value,
) -> Result<(), UnidentifiedItem> {
    if is_active(Mutant::OthersDropped) {
        return Ok(());
    }
    let by = WrittenBy::Client;
    Keeper { model, by }.value(&field.ty, field.key.as_deref(), before, after)
}

struct Keeper<'m> {
    model: &'m Model,
    by: WrittenBy,
}

impl Keeper<'_> {
    fn fields(
        &self,
        fields: &[Field],
        before: &Document,
        after: &mut Document,
    ) -> Result<(), UnidentifiedItem> {
        for (name, value) in before {
            if !self.names(fields, name) && !after.contains_key(name) {
                after.insert(name.clone(), value.clone());
            }
        }
        for field in fields {
            let before = before.get(&field.stored_as);
            if let Some((before, after)) = before.zip(after.get_mut(&field.stored_as)) {
                self.value(&field.ty, field.key.as_deref(), before, after)
                    .map_err(|it| it.inside(format_args!(".{}", field.name)))?;
            }
        }
        Ok(())
    }

    /// `key` identifies the items of a list.
    fn value(
        &self,
        ty: &FieldType,
        key: Option<&str>,
        before: &Value,
        after: &mut Value,
    ) -> Result<(), UnidentifiedItem> {
        match (&ty.shape, before, after) {
            (Shape::Embedded(name), Value::Object(before), Value::Object(after)) => {
                self.fields(self.model.embedded_fields(name), before, after)
            }
            (Shape::List(item), Value::List(before), Value::List(after)) => {
                self.items(item, key, before, after)
            }
            _ => Ok(()),
        }
    }

    /// An item that is still there keeps what others put into it, wherever it moves.
    fn items(
        &self,
        item: &FieldType,
        key: Option<&str>,
        before: &[Value],
        after: &mut [Value],
    ) -> Result<(), UnidentifiedItem> {
        let holds_others: Vec<bool> = before.iter().map(|it| self.has_others(item, it)).collect();
        if !holds_others.contains(&true) {
            return Ok(());
        }
        let edit = ListEdit {
            model: self.model,
            item,
            key,
            before,
            holds_others: &holds_others,
        };
        let matched = edit.matched(after);
        let is_refused = self.by == WrittenBy::Client && !is_active(Mutant::ItemsGuessed);
        if is_refused && !matched.is_proven {
            return Err(UnidentifiedItem {
                path: String::new(),
            });
        }
        for (i, (value, origin)) in after.iter_mut().zip(matched.origins).enumerate() {
            if let Some(origin) = origin {
                self.value(item, None, &before[origin], value)
                    .map_err(|it| it.inside(format_args!("[{i}]")))?;
            }
        }
        Ok(())
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
pub(super) fn spelled(model: &Model, ty: &FieldType, value: &Value) -> String {
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
type Task @collection(name: "tasks") @scope(by: "all") { id: ID! title: String place: Place stops: [Stop!] trips: [Trip!] @key(field: "name") }
type Trip { name: String! days: Int stops: [Stop!] }
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
    fn stops(
        before: &[(i32, Option<i32>)],
        after: &[i32],
    ) -> Result<Vec<(i32, Option<i32>)>, UnidentifiedItem> {
        let model = model();
        let field = model.types[0].field("stops").unwrap();
        let before = before.iter().map(|(n, tag)| stop(*n, *tag)).collect();
        let mut edited = Value::List(after.iter().map(|n| stop(*n, None)).collect());
        keep_others_inside(&model, field, &Value::List(before), &mut edited)?;
        let Value::List(edited) = edited else {
            unreachable!("a list stays a list")
        };
        let number = |value: Option<&Value>| match value {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        };
        let edited = edited.iter().map(|stop| match stop {
            Value::Object(stop) => (number(stop.get("n")).unwrap(), number(stop.get("tag"))),
            _ => unreachable!("stops are documents"),
        });
        Ok(edited.collect())
    }

    #[test]
    fn equal_items_keep_their_content_where_they_go() {
        let before = [(1, Some(10)), (2, None), (2, None), (3, Some(30))];
        for (after, expected) in [
            (vec![3, 1], vec![(3, Some(30)), (1, Some(10))]),
            (vec![2], vec![(2, None)]),
            (
                vec![3, 4, 2, 1],
                vec![(3, Some(30)), (4, None), (2, None), (1, Some(10))],
            ),
            (vec![], vec![]),
        ] {
            assert_eq!(stops(&before, &after), Ok(expected));
        }
        let twins = [(2, Some(20)), (2, Some(20)), (2, Some(20))];
        assert_eq!(stops(&twins, &[2]), Ok(vec![(2, Some(20))]));
        let without = [(1, None), (2, None)];
        assert_eq!(stops(&without, &[4]), Ok(vec![(4, None)]));
    }

    #[test]
    fn an_item_that_may_be_another_one_is_unidentified() {
        let twins = [(2, None), (2, Some(20)), (3, Some(30))];
        for after in [
            // It may be the first item, edited.
            vec![4, 2, 2],
            // One of two items goes that are equal to the model, and only one of them holds more.
            vec![2, 3],
            // The same number of items, and none that was there.
            vec![5, 6, 7],
        ] {
            let unidentified = UnidentifiedItem {
                path: String::new(),
            };
            assert_eq!(stops(&twins, &after), Err(unidentified), "{after:?}");
        }
        assert!(stops(&twins, &[2, 2]).is_ok(), "an item goes");
        assert!(stops(&twins, &[3]).is_ok(), "both twins go");
    }

    #[test]
    fn a_list_inside_an_item_is_named_by_its_path() {
        let model = model();
        let field = model.types[0].field("trips").unwrap();
        let trip = |stops: Vec<Value>| {
            Value::List(vec![object([
                ("name", Value::String("a".to_owned())),
                ("stops", Value::List(stops)),
            ])])
        };
        let before = trip(vec![stop(1, Some(10)), stop(2, None)]);
        let mut after = trip(vec![stop(2, None), stop(1, None), stop(3, None)]);
        let kept = keep_others_inside(&model, field, &before, &mut after);
        assert_eq!(kept, Ok(()), "the key says which trip it is");
        let expected = trip(vec![stop(2, None), stop(1, Some(10)), stop(3, None)]);
        assert_eq!(after, expected);
        let mut after = trip(vec![stop(5, None)]);
        let unidentified = keep_others_inside(&model, field, &before, &mut after).unwrap_err();
        assert_eq!(unidentified.path, "[0].stops");
    }

    #[test]
    fn a_key_says_which_item_it_is_and_a_key_stored_twice_does_not() {
        let model = model();
        let field = model.types[0].field("trips").unwrap();
        let trip = |name: &str, days: i32, tag: Option<i32>| {
            let mut trip = Document::from([
                ("name".to_owned(), Value::String(name.to_owned())),
                ("days".to_owned(), Value::Int(days)),
            ]);
            trip.extend(tag.map(|tag| ("tag".to_owned(), Value::Int(tag))));
            Value::Object(trip)
        };
        let edit = |before: &[Value], after: &[Value]| {
            let mut after = Value::List(after.to_vec());
            let before = Value::List(before.to_vec());
            keep_others_inside(&model, field, &before, &mut after).map(|()| after)
        };
        let before = [trip("a", 1, Some(10)), trip("b", 1, Some(20))];
        let after = [trip("b", 2, None), trip("c", 1, None), trip("a", 3, None)];
        let expected = [
            trip("b", 2, Some(20)),
            trip("c", 1, None),
            trip("a", 3, Some(10)),
        ];
        assert_eq!(edit(&before, &after), Ok(Value::List(expected.to_vec())));
        let doubled = [
            trip("a", 1, Some(10)),
            trip("a", 2, Some(20)),
            trip("b", 1, Some(30)),
        ];
        let mended = [trip("a", 2, None), trip("b", 5, None)];
        let expected = [trip("a", 2, Some(20)), trip("b", 5, Some(30))];
        assert_eq!(edit(&doubled, &mended), Ok(Value::List(expected.to_vec())));
        assert!(edit(&doubled, &[trip("a", 3, None)]).is_err());
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
        keep_others(&model, &model.types[0].fields, &before, &mut after);
        crate::mutant::switch(None);
        assert!(after.is_empty());
    }

    #[cfg(feature = "mutants")]
    #[test]
    fn without_the_rule_an_edited_item_loses_what_its_model_does_not_name() {
        crate::mutant::switch(Some(Mutant::ItemsGuessed));
        let edited = stops(&[(1, Some(10))], &[2]);
        crate::mutant::switch(None);
        assert_eq!(edited, Ok(vec![(2, None)]));
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
        keep_others(&model, fields, &before, &mut after);
        assert_eq!(after, before);
        assert_eq!(fit(&model, fields, &after), Ok(None));
    }
}
