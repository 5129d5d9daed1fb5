//! Values that the tests of several modules need.

use std::{collections::BTreeMap, path::Path};

use tidegate_core::{
    change::{Action, Change, Submission},
    checkpoint::TokenKey,
    entry::{Entry, FeedItem, Marker, Record},
    id::{DocumentId, DocumentKey, Epoch, Scope, Seq, TypeName, UserId, Version},
    push::Push,
    value::{Document, Timestamp, Value},
};

use crate::store::embedded::{EmbeddedOptions, EmbeddedStore};

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn scope(name: &str) -> Scope {
    Scope::new(name).unwrap()
}

pub(crate) fn key(type_name: &str, id: &str) -> DocumentKey {
    DocumentKey {
        type_name: TypeName::new(type_name).unwrap(),
        id: DocumentId::new(id).unwrap(),
    }
}

/// A document whose fields are texts.
pub(crate) fn texts(fields: &[(&str, &str)]) -> Document {
    let fields = fields.iter();
    let fields = fields.map(|(name, text)| ((*name).to_owned(), Value::String((*text).to_owned())));
    fields.collect()
}

/// A document of version 1.
pub(crate) fn entry(key: DocumentKey, scope_name: &str, body: Document) -> Entry {
    Entry {
        key,
        scope: scope(scope_name),
        version: Version(1),
        began: Version(1),
        run: Version(1),
        field_versions: BTreeMap::new(),
        writers: BTreeMap::new(),
        body: Some(body),
        withheld: false,
        at: Timestamp::EPOCH,
        membership: None,
    }
}

/// A task that left a scope.
pub(crate) fn marker(scope_name: &str, seq: i64, id: &str) -> FeedItem {
    FeedItem {
        seq: Seq(seq),
        record: Record::Marker(Marker {
            key: key("Task", id),
            scope: scope(scope_name),
            version: Version(1),
            at: Timestamp::EPOCH,
        }),
    }
}

/// A push of a client without a name.
pub(crate) fn push(changes: impl IntoIterator<Item = (DocumentKey, Action)>) -> Push {
    let submissions = changes.into_iter().map(|(key, action)| Submission {
        type_name: key.type_name.clone(),
        id: key.id.to_string(),
        change: Ok(Change {
            key,
            action,
            changed_at: None,
        }),
    });
    Push {
        client: None,
        changes: submissions.collect(),
        atomic: false,
        policy: None,
        epoch: None,
    }
}

/// A store of the epoch `e1`.
pub(crate) fn embedded(directory: &Path) -> EmbeddedStore {
    let options = EmbeddedOptions::new(Epoch::new("e1").unwrap(), TokenKey([7; 32]));
    EmbeddedStore::open(directory, &options).unwrap()
}
