//! Indexes of documents: what each is made of, and what a record has in it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    condition::Column,
    key::{KeyPart, Rank, append_text},
};
use crate::{
    id::TypeName,
    model::{DocumentType, Scalar, Shape, UniqueRule, UniqueWithin},
    unique::UniqueKey,
    view::{RecordView, ValueView},
};

/// An index of the documents of a type: by scope, by the values of some fields, and by id. One for `@unique` may leave out
/// the scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IndexDefinition {
    /// The stored name of the type.
    pub type_name: TypeName,
    /// The fields. An index without any has the documents by scope and id.
    pub fields: Vec<IndexedField>,
    /// What is unique, if it is an index for `@unique`. Lists do not use such an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<UniqueIndex>,
}

/// What no two documents of an index have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UniqueIndex {
    /// Whether documents of different scopes have nothing in common either.
    pub across_scopes: bool,
    /// The kind of the values of each field. A store may leave out documents with other values.
    pub ranks: Vec<Rank>,
}

/// A field of an index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IndexedField {
    /// The name in documents.
    pub stored_as: String,
    /// Whether it is a list, each item of which is in the index.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_list: bool,
}

impl IndexDefinition {
    /// The indexes of a type: those that the model declares, and the one by id.
    pub fn all_of(document_type: &DocumentType) -> Vec<Arc<Self>> {
        let declared = document_type.list_indexes();
        let declared = declared.map(|fields| {
            let fields = fields.iter();
            let fields = fields.map(|stored_as| IndexedField::of(document_type, stored_as));
            Self {
                type_name: document_type.stored_as.clone(),
                fields: fields.collect(),
                unique: None,
            }
        });
        let by_id = Self {
            type_name: document_type.stored_as.clone(),
            fields: Vec::new(),
            unique: None,
        };
        declared.chain([by_id]).map(Arc::new).collect()
    }

    /// All that a store keeps of a type: the indexes for lists and those for `@unique`.
    pub fn kept_for(document_type: &DocumentType) -> Vec<Arc<Self>> {
        let rules = document_type.uniques.iter();
        let unique = rules.map(|rule| Arc::new(Self::of_unique(document_type, rule)));
        Self::all_of(document_type)
            .into_iter()
            .chain(unique)
            .collect()
    }

    fn of_unique(document_type: &DocumentType, rule: &UniqueRule) -> Self {
        let fields = rule.fields.iter();
        let fields = fields.map(|stored_as| IndexedField::of(document_type, stored_as));
        let ranks = rule.fields.iter().map(|stored_as| {
            let field = document_type.stored_field(stored_as);
            field.map_or(Rank::Text, |field| rank_of(&field.ty.shape))
        });
        Self {
            type_name: document_type.stored_as.clone(),
            fields: fields.collect(),
            unique: Some(UniqueIndex {
                across_scopes: rule.within == UniqueWithin::All,
                ranks: ranks.collect(),
            }),
        }
    }

    /// The index in which a document with this key is found.
    pub fn of_key(key: &UniqueKey) -> Self {
        let fields = key.fields.iter().map(|stored_as| IndexedField {
            stored_as: stored_as.clone(),
            is_list: false,
        });
        Self {
            type_name: key.type_name.clone(),
            fields: fields.collect(),
            unique: Some(UniqueIndex {
                across_scopes: key.scope.is_none(),
                ranks: key.values.iter().map(KeyPart::rank).collect(),
            }),
        }
    }

    /// Its columns: its fields, and the id.
    pub fn columns(&self) -> Vec<Column> {
        let fields = self.fields.iter();
        let fields = fields.map(|field| Column::new(&field.stored_as));
        fields.chain([Column::id()]).collect()
    }

    /// The keys of a record: a value of each field, without the id. A record without a document has none. One with a list
    /// has a key for each of its items.
    pub fn keys<R: RecordView>(&self, record: &R) -> Vec<Vec<KeyPart>> {
        let Some(body) = record
            .body()
            .filter(|_| record.type_name() == self.type_name.as_str())
        else {
            return Vec::new();
        };
        let mut keys = vec![Vec::with_capacity(self.fields.len())];
        for field in &self.fields {
            let value = field.find(body);
            if !field.is_list {
                let part = value.map_or(KeyPart::NULL, part_of);
                keys.iter_mut().for_each(|key| key.push(part.clone()));
                continue;
            }
            let mut items: Vec<KeyPart> = items_of(value);
            items.sort_unstable();
            items.dedup();
            let longer = keys.iter().flat_map(|key| {
                let with = |item: &KeyPart| key.iter().chain([item]).cloned().collect();
                items.iter().map(with).collect::<Vec<_>>()
            });
            keys = longer.collect();
        }
        keys
    }

    /// The values of the columns behind the first `pinned` ones, with the id: the place of a record in a list.
    pub fn order_key<R: RecordView>(&self, record: &R, pinned: usize) -> Vec<KeyPart> {
        let fields = self.fields.iter().skip(pinned);
        let mut key: Vec<KeyPart> = fields
            .map(|field| {
                let value = record.body().and_then(|body| field.find(body));
                value.map_or(KeyPart::NULL, part_of)
            })
            .collect();
        if pinned <= self.fields.len() {
            key.push(KeyPart::text(record.id()));
        }
        key
    }
}

impl IndexedField {
    fn of(document_type: &DocumentType, stored_as: &str) -> Self {
        let field = document_type.stored_field(stored_as);
        Self {
            stored_as: stored_as.to_owned(),
            is_list: field.is_some_and(|field| matches!(field.ty.shape, Shape::List(_))),
        }
    }

    fn find<'v, V: ValueView<'v>>(&self, body: V) -> Option<V> {
        let found = body.find(&[self.stored_as.as_str().into()]);
        found.ok().and_then(|mut found| found.pop()).flatten()
    }
}

/// The kind of the values that a field holds.
fn rank_of(shape: &Shape) -> Rank {
    match shape {
        Shape::Scalar(Scalar::Boolean) => Rank::Bool,
        Shape::Scalar(Scalar::DateTime) => Rank::Instant,
        Shape::Scalar(Scalar::Int | Scalar::Long | Scalar::Float | Scalar::Decimal) => Rank::Number,
        _ => Rank::Text,
    }
}

fn part_of<'v, V: ValueView<'v>>(value: V) -> KeyPart {
    value.see().map_or(KeyPart::NULL, KeyPart::of_seen)
}

fn items_of<'v, V: ValueView<'v>>(list: Option<V>) -> Vec<KeyPart> {
    let items = list.and_then(|list| list.items().ok());
    let items = items.into_iter().flatten();
    items.filter_map(Result::ok).map(part_of).collect()
}

/// The value that a record has in a column.
pub fn value_of<R: RecordView>(record: &R, column: &Column) -> KeyPart {
    if column.is_id() {
        return KeyPart::text(record.id());
    }
    let field = IndexedField {
        stored_as: column.as_str().to_owned(),
        is_list: false,
    };
    let value = record.body().and_then(|body| field.find(body));
    value.map_or(KeyPart::NULL, part_of)
}

/// The bytes with which the keys of a scope begin.
pub fn scope_bytes(scope: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(scope.len() + 2);
    append_text(scope, &mut bytes);
    bytes
}
