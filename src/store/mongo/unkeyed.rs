//! Lists whose stored items hold what the model does not name, and have no key: an edit of such an item that does not
//! say which one it is is REJECTED with ITEM_UNIDENTIFIED. `check` and `doctor` name them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use mongodb::{
    bson::{RawDocument, RawDocumentBuf, doc, raw::RawBsonRef},
    error::Error,
};
use tokio::time::Duration;

use super::{
    MongoContext,
    error::loggable,
    layout::{FieldKind, FieldLayout, ModelLayout, TypeLayout},
};
use crate::store::finding::{Finding, Topic};

/// The most documents of a collection that are read.
const DOCUMENTS_MAX: i64 = 1_000;
/// How long they may take.
const READ_MAX: Duration = Duration::from_secs(5);
/// How many of the names in the items a finding has.
const NAMES_MAX: usize = 5;

/// The names in the items of one list that the model does not have.
#[derive(Debug, Default, PartialEq)]
struct UnkeyedList {
    names: BTreeSet<String>,
    documents: u64,
}

/// The lists of a collection, by their paths.
type UnkeyedLists = BTreeMap<String, UnkeyedList>;

impl MongoContext {
    /// Looks at the first documents of each collection.
    pub(super) async fn unkeyed_lists(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (_, layout) in self.layout.types() {
            let mut fields = layout.fields.iter();
            let may_hold = |field: &FieldLayout| {
                self.layout
                    .may_hold_lists(&field.holds, &mut BTreeSet::new())
            };
            if !fields.any(may_hold) {
                continue;
            }
            let mut lists = UnkeyedLists::new();
            let read = self.unkeyed_lists_of(layout, &mut lists).await;
            if let Err(error) = read {
                let error = loggable(&error);
                let message = format!(
                    "the documents of the collection {} cannot be read: {error}; run `tidegate doctor` again",
                    layout.collection
                );
                findings.push(Finding::warning(Topic::Model, message));
            }
            let name = layout.modelled.name.as_str().to_owned();
            let lists = lists.into_iter();
            findings.extend(lists.map(|(path, list)| list.finding(&format!("{name}.{path}"))));
        }
        findings
    }

    async fn unkeyed_lists_of(
        &self,
        layout: &TypeLayout,
        lists: &mut UnkeyedLists,
    ) -> Result<(), Error> {
        let documents = self
            .database
            .collection::<RawDocumentBuf>(&layout.collection);
        let find = documents.find(doc! {}).limit(DOCUMENTS_MAX);
        let mut found = find.max_time(READ_MAX).await?;
        while let Some(document) = found.try_next().await? {
            for (path, names) in self.layout.unkeyed(&layout.fields, &document) {
                let list = lists.entry(path).or_default();
                list.names.extend(names);
                list.documents += 1;
            }
        }
        Ok(())
    }
}

impl ModelLayout {
    /// Whether a value of this kind may hold a list of embedded documents, itself or in types that none of `seen` is.
    fn may_hold_lists<'l>(&'l self, holds: &'l FieldKind, seen: &mut BTreeSet<&'l str>) -> bool {
        match holds {
            FieldKind::List(item) => {
                matches!(**item, FieldKind::Embedded(_)) || self.may_hold_lists(item, seen)
            }
            FieldKind::Embedded(name) => {
                let mut fields = self.embedded(name).iter();
                seen.insert(name) && fields.any(|field| self.may_hold_lists(&field.holds, seen))
            }
            FieldKind::Scalar(_) | FieldKind::Id(_) | FieldKind::Date(_) => false,
        }
    }

    /// The paths of the lists without a key in whose items the model does not have these names.
    fn unkeyed(
        &self,
        fields: &[FieldLayout],
        stored: &RawDocument,
    ) -> BTreeMap<String, BTreeSet<String>> {
        let mut found = BTreeMap::new();
        for field in fields {
            if let Ok(Some(value)) = field.find(stored) {
                self.note_unkeyed(&field.holds, field.has_key, &field.name, value, &mut found);
            }
        }
        found
    }

    fn note_unkeyed(
        &self,
        holds: &FieldKind,
        has_key: bool,
        path: &str,
        value: RawBsonRef<'_>,
        found: &mut BTreeMap<String, BTreeSet<String>>,
    ) {
        match (holds, value) {
            (FieldKind::Embedded(name), RawBsonRef::Document(document)) => {
                for (inside, names) in self.unkeyed(self.embedded(name), document) {
                    let names_inside = found.entry(format!("{path}.{inside}")).or_default();
                    names_inside.extend(names);
                }
            }
            (FieldKind::List(item), RawBsonRef::Array(items)) => {
                for value in items.into_iter().flatten() {
                    if let (false, FieldKind::Embedded(name), RawBsonRef::Document(document)) =
                        (has_key, &**item, value)
                    {
                        let names = self.foreign_names(self.embedded(name), document);
                        if !names.is_empty() {
                            found.entry(path.to_owned()).or_default().extend(names);
                        }
                    }
                    self.note_unkeyed(item, false, path, value, found);
                }
            }
            _ => {}
        }
    }

    /// What an item holds and the model does not name, itself or in embedded documents.
    fn foreign_names(&self, fields: &[FieldLayout], stored: &RawDocument) -> Vec<String> {
        let mut names = Vec::new();
        for (name, value) in stored.into_iter().flatten() {
            let name = name.as_str();
            let field = fields.iter().find(|field| field.has_name(name));
            match (field.map(|field| &field.holds), value) {
                (None, _) => names.push(name.to_owned()),
                (Some(FieldKind::Embedded(inner)), RawBsonRef::Document(document)) => {
                    let inside = self.foreign_names(self.embedded(inner), document);
                    names.extend(inside.iter().map(|inside| format!("{name}.{inside}")));
                }
                _ => {}
            }
        }
        names
    }
}

impl UnkeyedList {
    fn finding(self, list: &str) -> Finding {
        let Self { names, documents } = self;
        let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(String::as_str).collect();
        let more = if names.len() > shown.len() {
            ", …"
        } else {
            ""
        };
        let message = format!(
            "the items of {list} hold {}{more} in the database, which the model does not have, and the list has no @key: edits that do not show which item is which are REJECTED with ITEM_UNIDENTIFIED; write @key(field: …) with a field that identifies an item",
            shown.join(", ")
        );
        let finding = Finding::warning(Topic::Model, message);
        finding.about(documents, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::Document;
    use tidegate_core::{id::TypeName, model::Model};

    use super::*;

    const MODEL: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Order @collection(name: "orders") @scope(by: "public") {
  id: ID! lines: [Line!] keyed: [Line!] @key(field: "code") address: Address tags: [String!]
}
type Line { code: ID! place: Place }
type Place { city: String inner: Place }
type Address { phones: [Phone!] }
type Phone { number: String }
"#;

    #[test]
    fn lists_are_named_whose_items_hold_more_than_the_model_and_have_no_key() {
        let layout = ModelLayout::of(&Model::parse("model.graphql", MODEL).unwrap());
        let orders = layout
            .document_type(&TypeName::new("Order").unwrap())
            .unwrap();
        let found = |stored: Document| {
            let stored = RawDocumentBuf::try_from(&stored).unwrap();
            layout.unkeyed(&orders.fields, &stored)
        };
        let named = |path: &str, names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned());
            let names: BTreeSet<String> = names.collect();
            (path.to_owned(), names)
        };
        let line = doc! { "_id": 1, "code": "a", "place": { "city": "Ulm", "geo": 1 } };
        assert_eq!(
            found(doc! { "lines": [&line, { "code": "b" }], "keyed": [&line] }),
            [named("lines", &["_id", "place.geo"])].into()
        );
        assert_eq!(
            found(doc! { "address": { "zip": 1, "phones": [{ "kind": "home" }] } }),
            [named("address.phones", &["kind"])].into()
        );
        assert_eq!(
            found(doc! { "lines": [{ "code": "a" }], "tags": ["x"] }),
            [].into()
        );
        let may_hold = |name: &str| {
            let field = orders
                .fields
                .iter()
                .find(|field| field.name == name)
                .unwrap();
            layout.may_hold_lists(&field.holds, &mut BTreeSet::new())
        };
        assert!(may_hold("lines") && may_hold("address") && !may_hold("tags"));
    }
}
