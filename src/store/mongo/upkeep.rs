//! What other writers of a collection expect of each write: a version that rises when a list changes, and the time.
//!
//! The model names these fields in `@collection`. What it has as a field of its own, the core writes.

use mongodb::bson::{
    DateTime, RawDocument, RawDocumentBuf,
    raw::{CString, RawBsonRef},
};
use tidegate_core::value::Timestamp;

use super::{layout::TypeLayout, update::DocumentUpdate};

impl TypeLayout {
    /// Adds the fields to a new document.
    pub(super) fn keep_up_new(&self, document: &mut RawDocumentBuf, at: Timestamp) {
        if let Some(name) = self.version_field() {
            document.append(&name, 0_i32);
        }
        if let Some(name) = self.updated_at_field() {
            document.append(&name, DateTime::from_millis(at.ms()));
        }
    }

    /// Adds the fields to an update. A version that is no number stays as it is.
    pub(super) fn keep_up(&self, stored: &RawDocument, update: &mut DocumentUpdate, at: Timestamp) {
        let version = self.version_field();
        let counts = |name: &CString| match stored.get(name.as_str()) {
            Ok(None) => true,
            Ok(Some(value)) => can_rise(value),
            Err(_) => false,
        };
        update.raise = version.filter(|name| update.changes_list && counts(name));
        if let Some(name) = self.updated_at_field() {
            update.set.append(&name, DateTime::from_millis(at.ms()));
        }
    }

    fn version_field(&self) -> Option<CString> {
        let name = self.modelled.upkeep.version_field.as_deref()?;
        CString::try_from(name).ok()
    }

    /// The field for the time, if the model has no field of this name.
    fn updated_at_field(&self) -> Option<CString> {
        let name = self.modelled.upkeep.updated_at_field.as_deref()?;
        let is_modelled = self.modelled.stored_field(name).is_some();
        (!is_modelled)
            .then(|| CString::try_from(name).ok())
            .flatten()
    }
}

/// Whether MongoDB adds one to the value.
fn can_rise(value: RawBsonRef<'_>) -> bool {
    match value {
        RawBsonRef::Int32(_) | RawBsonRef::Double(_) => true,
        RawBsonRef::Int64(number) => number < i64::MAX,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document as Stored, doc};
    use tidegate_core::{
        id::TypeName,
        model::Model,
        value::{Document, Value},
    };

    use super::*;
    use crate::store::mongo::layout::ModelLayout;

    const MODEL: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Order @collection(name: "orders", versionField: "__v", updatedAtField: "updatedAt") @scope(by: "public") {
  id: ID! title: String lines: [Line!] address: Address
}
type Line { n: Int }
type Address { city: String phones: [String!] }
"#;

    fn operators(stored: Stored, field: &str, value: Value) -> Stored {
        let layout = ModelLayout::of(&Model::parse("model.graphql", MODEL).unwrap());
        let orders = layout
            .document_type(&TypeName::new("Order").unwrap())
            .unwrap();
        let stored = RawDocumentBuf::try_from(&stored).unwrap();
        let mut body: Document = layout.read(&orders.fields, &stored).unwrap();
        body.insert(field.to_owned(), value);
        let mut update = layout.difference(&orders.fields, &stored, &body).unwrap();
        orders.keep_up(&stored, &mut update, Timestamp::EPOCH.plus_ms(5));
        Stored::try_from(update.operators()).unwrap()
    }

    fn lines(numbers: &[i32]) -> Value {
        let line = |n: &i32| Value::Object([("n".to_owned(), Value::Int(*n))].into());
        Value::List(numbers.iter().map(line).collect())
    }

    #[test]
    fn the_version_rises_with_each_write_of_a_list_and_the_time_is_that_of_the_write() {
        let at = DateTime::from_millis(5);
        let stored = doc! { "__v": 3, "title": "a", "lines": [{ "n": 1 }] };
        assert_eq!(
            operators(stored.clone(), "title", Value::String("b".to_owned())),
            doc! { "$set": { "title": "b", "updatedAt": at } }
        );
        let raised = |stored: Stored, field: &str, value: Value| {
            let operators = operators(stored, field, value);
            operators.get_document("$inc").ok().cloned()
        };
        let one = Some(doc! { "__v": 1 });
        assert_eq!(raised(stored.clone(), "lines", lines(&[2])), one);
        assert_eq!(raised(stored.clone(), "lines", lines(&[])), one);
        assert_eq!(
            raised(doc! {}, "lines", lines(&[])),
            one,
            "the first version"
        );
        let phones = Value::List(vec![Value::String("1".to_owned())]);
        let address = Value::Object([("phones".to_owned(), phones)].into());
        assert_eq!(raised(stored, "address", address.clone()), one);
        let listed = doc! { "address": { "phones": ["1"] } };
        assert_eq!(raised(listed, "address", Value::Null), one);
        for odd in [doc! { "__v": "3" }, doc! { "__v": i64::MAX }] {
            assert_eq!(raised(odd, "lines", lines(&[1])), None);
        }
    }
}
