//! Values that no two documents may have (`@unique`): which ones a document has.
//!
//! Who holds a value is looked up by a store. What follows from that is decided in [`crate::push`].

use crate::{
    entry::Entry,
    id::{Scope, TypeName},
    model::{DocumentType, UniqueRule, UniqueWithin},
    query::KeyPart,
    value::Document,
};

/// The values of a document under one `@unique`. No other living document has an equal key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UniqueKey {
    /// The stored name of the type.
    pub type_name: TypeName,
    /// The stored names of the fields.
    pub fields: Vec<String>,
    /// The scope within which the values are unique; `None` in all scopes.
    pub scope: Option<Scope>,
    /// A value for each field, none of them null.
    pub values: Vec<KeyPart>,
}

impl UniqueKey {
    /// The key that a document has by this rule. A document that lacks one of the fields has none.
    pub fn of(
        type_name: &TypeName,
        rule: &UniqueRule,
        scope: &Scope,
        body: &Document,
    ) -> Option<Self> {
        let values = rule.fields.iter().map(|field| {
            let value = KeyPart::from(body.get(field)?.clone());
            (!value.is_null()).then_some(value)
        });
        Some(Self {
            type_name: type_name.clone(),
            fields: rule.fields.clone(),
            scope: (rule.within == UniqueWithin::Scope).then(|| scope.clone()),
            values: values.collect::<Option<_>>()?,
        })
    }

    /// The keys of an entry, one for each rule by which it has one. A tombstone has none.
    pub fn all_of(document_type: &DocumentType, entry: &Entry) -> Vec<Self> {
        let Some(body) = &entry.body else {
            return Vec::new();
        };
        let rules = document_type.uniques.iter();
        rules
            .filter_map(|rule| Self::of(&document_type.stored_as, rule, &entry.scope, body))
            .collect()
    }

    /// The rule that makes such keys.
    pub fn rule(&self) -> UniqueRule {
        UniqueRule {
            fields: self.fields.clone(),
            within: match self.scope {
                Some(_) => UniqueWithin::Scope,
                None => UniqueWithin::All,
            },
        }
    }

    /// Whether the entry has this key.
    pub fn is_of(&self, entry: &Entry) -> bool {
        let in_scope = self
            .scope
            .as_ref()
            .is_none_or(|scope| *scope == entry.scope);
        let has = |body: &Document| {
            let mut values = self.fields.iter().zip(&self.values);
            values.all(|(field, value)| {
                let found = body.get(field).cloned().map(KeyPart::from);
                found.as_ref() == Some(value)
            })
        };
        entry.key.type_name == self.type_name && in_scope && entry.body.as_ref().is_some_and(has)
    }

    /// Bytes that differ between any two keys.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let names = [self.type_name.as_str()].into_iter();
        let names = names.chain(self.fields.iter().map(String::as_str));
        let scope = self.scope.as_ref().map_or("", Scope::as_str);
        for name in names.chain([scope]) {
            KeyPart::text(name).append_to(&mut bytes);
        }
        let values = self.values.iter();
        values.for_each(|value| value.append_to(&mut bytes));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Model, value::Value};

    const MODEL: &str = r#"
extend schema @grant(scope: "team:{team}", access: WRITE)
type Part @collection(name: "parts") @scope(by: "team:{team}")
  @unique(fields: ["code"], within: ALL) @unique(fields: ["shelf", "place"]) {
  id: ID!
  team: String!
  code: String
  shelf: String
  place: Int
}
"#;

    fn keys(scope: &str, fields: &[(&str, Value)]) -> Vec<UniqueKey> {
        let model = Model::parse("model.graphql", MODEL).unwrap();
        let part = &model.types[0];
        let body = fields.iter().cloned();
        let body: Document = body.map(|(name, value)| (name.to_owned(), value)).collect();
        let scope = Scope::new(scope).unwrap();
        let rules = part.uniques.iter();
        rules
            .filter_map(|rule| UniqueKey::of(&part.stored_as, rule, &scope, &body))
            .collect()
    }

    #[test]
    fn a_key_has_all_fields_and_the_scope_where_that_counts() {
        let text = |text: &str| Value::String(text.to_owned());
        let both = [
            ("code", text("a")),
            ("shelf", text("b")),
            ("place", Value::Int(1)),
        ];
        let (red, blue) = (keys("team:red", &both), keys("team:blue", &both));
        assert_eq!((red.len(), blue.len()), (2, 2));
        assert_eq!(red[0], blue[0], "within ALL");
        assert_ne!(red[1], blue[1], "within SCOPE");
        for lacking in [
            vec![("code", Value::Null), ("shelf", text("b"))],
            vec![("shelf", text("b")), ("place", Value::Null)],
        ] {
            assert_eq!(keys("team:red", &lacking), []);
        }
    }

    #[test]
    fn equal_keys_have_equal_bytes_and_no_others() {
        let text = |text: &str| Value::String(text.to_owned());
        let place = |shelf: &str, place: Value| {
            keys("team:red", &[("shelf", text(shelf)), ("place", place)])
        };
        let rows = [
            place("a", Value::Int(1)),
            place("a", Value::Int(2)),
            place("a\0", Value::Int(1)),
            keys(
                "team:blue",
                &[("shelf", text("a")), ("place", Value::Int(1))],
            ),
            keys("team:red", &[("code", text("a"))]),
        ];
        for (i, row) in rows.iter().enumerate() {
            for (j, other) in rows.iter().enumerate() {
                assert_eq!(
                    row[0].bytes() == other[0].bytes(),
                    i == j,
                    "{row:?} {other:?}"
                );
            }
        }
        let long = place("a", Value::Long(1));
        assert_eq!(
            long[0].bytes(),
            rows[0][0].bytes(),
            "numbers are equal by value"
        );
        assert_eq!(long, rows[0]);
    }
}
