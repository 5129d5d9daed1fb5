//! Unique values: a partial unique index of the feed for each `@unique`, and who has a value by it.
//!
//! The index has the documents whose values are of the types of the fields: no tombstone, and no null. A commit looks up
//! who has a value before it decides. The index is for two commits at a time: the later one meets a conflict, and decides
//! again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mongodb::{
    IndexModel,
    bson::{Binary, Bson, Document, RawDocument, doc, spec::BinarySubtype},
    error::Error,
    options::{FindOptions, Hint, IndexOptions},
};
use sha2::{Digest, Sha256};
use tidegate_core::{
    id::DocumentKey,
    query::{IndexDefinition, Rank, UniqueIndex},
    unique::UniqueKey,
};

use super::{
    MongoContext,
    error::{DUPLICATE_KEY, MongoError, code},
    lists::{self, bson_of, of_hint},
    reader::{SessionReader, unreadable},
};
use crate::store::{StoreError, codec};

/// The beginning of the names of these indexes.
const PREFIX: &str = "unique ";

/// How many values are looked up at a time: MongoDB merges as many ranges of an index without trouble.
const VALUES_MAX: usize = 100;

/// The name says all that makes the index another one.
pub(super) fn name_of(index: &IndexDefinition, unique: &UniqueIndex) -> String {
    let within = if unique.across_scopes { "all" } else { "scope" };
    let fields = index.fields.iter().zip(&unique.ranks);
    let fields = fields.map(|(field, rank)| format!("{} ({})", field.stored_as, type_of(*rank)));
    let fields: Vec<String> = fields.collect();
    format!(
        "{PREFIX}{} by {} within {within}",
        index.type_name,
        fields.join(", ")
    )
}

pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(PREFIX)
}

pub(super) fn is_unique(model: &IndexModel) -> bool {
    let options = model.options.as_ref();
    options.and_then(|options| options.unique) == Some(true)
}

pub(super) fn model_of(index: &IndexDefinition, unique: &UniqueIndex) -> IndexModel {
    let mut keys = doc! { "t": 1 };
    let mut partial = doc! { "t": index.type_name.as_str() };
    if !unique.across_scopes {
        keys.insert("s", 1);
    }
    for (field, rank) in index.fields.iter().zip(&unique.ranks) {
        let path = format!("b.{}", field.stored_as);
        keys.insert(path.as_str(), 1);
        partial.insert(path, doc! { "$type": type_of(*rank) });
    }
    let options = IndexOptions::builder()
        .name(name_of(index, unique))
        .unique(true)
        .partial_filter_expression(partial)
        .build();
    IndexModel::builder().keys(keys).options(options).build()
}

/// MongoDB's name of a kind of values.
fn type_of(rank: Rank) -> &'static str {
    match rank {
        Rank::Number => "number",
        Rank::Bool => "bool",
        Rank::Instant => "date",
        Rank::Text | Rank::Null => "string",
    }
}

/// The filter for the documents with a key. It implies the filter of the index.
fn filter_of(key: &UniqueKey) -> Result<Document, MongoError> {
    let mut filter = doc! { "t": key.type_name.as_str() };
    if let Some(scope) = &key.scope {
        filter.insert("s", scope.as_str());
    }
    let values = bson_of(&key.values)?.into_iter();
    for ((field, value), part) in key.fields.iter().zip(values).zip(&key.values) {
        let found = doc! { "$eq": value, "$type": type_of(part.rank()) };
        filter.insert(format!("b.{field}"), found);
    }
    Ok(filter)
}

/// What stands for a key in the record of a withheld document.
pub(super) fn hash_of(key: &UniqueKey) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: Sha256::digest(key.bytes()).to_vec(),
    }
}

impl SessionReader<'_> {
    /// Who has each of these values, by their indexes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if an index is missing.
    pub(super) async fn holders(
        &mut self,
        keys: &BTreeSet<UniqueKey>,
    ) -> Result<BTreeMap<UniqueKey, Option<DocumentKey>>, MongoError> {
        let mut by_index: BTreeMap<IndexDefinition, Vec<&UniqueKey>> = BTreeMap::new();
        for key in keys {
            let index = IndexDefinition::of_key(key);
            by_index.entry(index).or_default().push(key);
        }
        let mut holders: BTreeMap<_, _> = keys.iter().map(|key| (key.clone(), None)).collect();
        for (name, keys) in by_index {
            for keys in keys.chunks(VALUES_MAX) {
                self.find_holders(&name, keys, &mut holders)
                    .await
                    .map_err(not_there)?;
            }
        }
        Ok(holders)
    }

    async fn find_holders(
        &mut self,
        index: &IndexDefinition,
        keys: &[&UniqueKey],
        holders: &mut BTreeMap<UniqueKey, Option<DocumentKey>>,
    ) -> Result<(), MongoError> {
        let context = self.context;
        let filters = keys.iter().map(|key| filter_of(key));
        let mut filters = filters.collect::<Result<Vec<Document>, _>>()?;
        let filter = match filters.len() {
            1 => filters.remove(0),
            _ => doc! { "$or": filters },
        };
        let Some(rule) = keys.first().map(|key| key.rule()) else {
            return Ok(());
        };
        let fields = rule.fields.iter().map(|field| format!("b.{field}"));
        let mut projection = doc! { "_id": 0, "t": 1, "i": 1, "s": 1 };
        projection.extend(fields.map(|path| (path, Bson::Int32(1))));
        let options = FindOptions::builder()
            .projection(projection)
            .hint(Hint::Name(lists::name_of(index)))
            .build();
        let each = |raw: &RawDocument| {
            let (holder, scope) = codec::whereabouts(raw.as_bytes()).map_err(unreadable)?;
            let body = raw.get_document("b").map_err(unreadable)?;
            let body = codec::decode_body(body).map_err(unreadable)?;
            let key = UniqueKey::of(&holder.type_name, &rule, &scope, &body);
            holders.extend(key.map(|key| (key, Some(holder))));
            Ok(true)
        };
        self.find_each(&context.names.feed, filter, options, each)
            .await
    }
}

/// An index that a hint names and that is not there is built before long.
fn not_there(failure: MongoError) -> MongoError {
    match of_hint(failure) {
        MongoError::Final(StoreError::IndexBuilding) => {
            let reason = "an index of unique values is not complete yet";
            MongoError::Final(StoreError::Unavailable(reason.to_owned()))
        }
        failure => failure,
    }
}

impl MongoContext {
    /// Builds the indexes of unique values, and what finds the documents that wait for one.
    pub(super) async fn build_uniques(
        &self,
        indexes: &[Arc<IndexDefinition>],
    ) -> Result<(), StoreError> {
        let unique = indexes
            .iter()
            .filter_map(|index| Some((index, index.unique.as_ref()?)));
        let unique = unique.map(|(index, unique)| model_of(index, unique));
        match self.create_uniques(unique.collect()).await {
            Err(MongoError::Driver(error)) if is_duplicate(&error) => {
                Err(StoreError::Unsuitable(
                    "two documents have values that the model says are unique; `tidegate check` names them: change one of each pair, or remove the @unique".to_owned(),
                ))
            }
            built => Ok(built?),
        }
    }

    /// Whether a commit broke an index of unique values of which the own model does not know. No decision would keep it.
    pub(super) fn is_of_another_model(&self, failure: &MongoError) -> bool {
        let MongoError::Statement(error) = failure else {
            return false;
        };
        let Some(broken) = error.unique_values() else {
            return false;
        };
        let types = self.layout.types();
        let own = types.flat_map(|(_, layout)| IndexDefinition::kept_for(&layout.modelled));
        let mut own = own.filter_map(|index| Some(model_of(&index, index.unique.as_ref()?)));
        !own.any(|index| index.keys.keys().eq(broken))
    }

    /// The server builds an index while the feed is written.
    pub(super) async fn create_uniques(&self, unique: Vec<IndexModel>) -> Result<(), MongoError> {
        if unique.is_empty() {
            return Ok(());
        }
        let waiting = ["u", "p"].map(|field| {
            let options = IndexOptions::builder().sparse(true).build();
            let keys = doc! { field: 1 };
            IndexModel::builder().keys(keys).options(options).build()
        });
        let misfits = self.database.collection::<Document>(&self.names.misfits);
        misfits.create_indexes(waiting).await?;
        let feed = self.database.collection::<Document>(&self.names.feed);
        feed.create_indexes(unique).await?;
        Ok(())
    }
}

fn is_duplicate(error: &Error) -> bool {
    code(error) == Some(DUPLICATE_KEY)
}
