//! Lists of documents: a partial index of the feed for each index of a model, and finds that are always hinted with one.
//!
//! A find reads ranges of its index in order, and the server merges them. What would have to be sorted is not asked for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt;
use mongodb::{
    IndexModel,
    bson::{Bson, DateTime, Document, RawDocument, doc},
    error::Error,
    options::{FindOptions, Hint, IndexOptions, ReadConcern},
};
use tidegate_core::{
    generation::Generation,
    id::DocumentId,
    query::{IndexDefinition, IndexRead, KeyPart, NextColumn, Range, Rank},
};

use super::{
    MongoContext,
    error::{MongoError, NAMESPACE_NOT_FOUND, SNAPSHOT_UNAVAILABLE, UNAUTHORIZED, code},
    names::{LIVE, LIVE_END},
    reader::{SessionReader, text, unreadable},
    uniques,
};
use crate::store::{
    Listed, StoreError, codec,
    finding::{Finding, Topic},
    list::ListBuilder,
};

/// The beginning of the names of these indexes. No other index of the feed begins so.
const PREFIX: &str = "list";

/// Indexes of other models stay for so long after their last gateway was live.
const UNUSED_AFTER: Duration = Duration::from_secs(60);

const BAD_VALUE: i32 = 2;
const INDEX_NOT_FOUND: i32 = 27;
const NO_QUERY_EXECUTION_PLANS: i32 = 291;

/// The name of an index. That by id is one of all types.
pub(super) fn name_of(index: &IndexDefinition) -> String {
    if index.fields.is_empty() {
        return PREFIX.to_owned();
    }
    let fields = index.fields.iter().map(|field| field.stored_as.as_str());
    let fields: Vec<&str> = fields.collect();
    match &index.unique {
        Some(unique) => uniques::name_of(index, unique),
        None => format!("{PREFIX} {} by {}", index.type_name, fields.join(", ")),
    }
}

/// The path of a column in the feed.
fn paths(index: &IndexDefinition) -> Vec<String> {
    let fields = index.fields.iter();
    let fields = fields.map(|field| format!("b.{}", field.stored_as));
    fields.chain(["i".to_owned()]).collect()
}

fn model_of(index: &IndexDefinition) -> IndexModel {
    if let Some(unique) = &index.unique {
        return uniques::model_of(index, unique);
    }
    let has_body = doc! { "b": { "$exists": true } };
    let (mut keys, partial) = match index.fields.is_empty() {
        true => (doc! { "t": 1, "s": 1 }, has_body),
        false => {
            let mut partial = doc! { "t": index.type_name.as_str() };
            partial.extend(has_body);
            (doc! { "s": 1 }, partial)
        }
    };
    keys.extend(paths(index).into_iter().map(|path| (path, Bson::Int32(1))));
    let options = IndexOptions::builder()
        .name(name_of(index))
        .partial_filter_expression(partial)
        .build();
    IndexModel::builder().keys(keys).options(options).build()
}

/// The find of a read: its filter and its sort.
fn find_of(read: &IndexRead) -> Result<(Document, Document), MongoError> {
    let scopes = read.scopes.iter();
    let scopes: Vec<Bson> = scopes.map(|scope| scope.as_str().into()).collect();
    let mut filter = doc! {
        "t": read.index.type_name.as_str(),
        "b": { "$exists": true },
        "s": any_of(scopes),
    };
    let mut columns = paths(&read.index).into_iter();
    for (values, path) in read.points.iter().zip(columns.by_ref()) {
        filter.insert(path, any_of(bson_of(values)?));
    }
    let columns: Vec<String> = columns.collect();
    if let Some(next) = columns.first() {
        match &read.next {
            NextColumn::All => {}
            NextColumn::Points(values) => {
                filter.insert(next, any_of(bson_of(values)?));
            }
            NextColumn::Range(range) => {
                filter.insert(next, bounds_of(range)?);
            }
        }
    }
    let direction = if read.descending { -1 } else { 1 };
    let sort = columns
        .into_iter()
        .map(|path| (path, Bson::Int32(direction)));
    Ok((filter, sort.collect()))
}

fn any_of(mut values: Vec<Bson>) -> Bson {
    match values.len() {
        1 => values.remove(0),
        _ => Bson::Document(doc! { "$in": values }),
    }
}

pub(super) fn bson_of(values: &[KeyPart]) -> Result<Vec<Bson>, MongoError> {
    let values = values.iter();
    values
        .map(|value| {
            let raw = codec::encode_value(value.value())?;
            Ok(Bson::try_from(raw)?)
        })
        .collect()
}

/// MongoDB compares within the type of an operand, so that one bound holds the rank.
fn bounds_of(range: &Range) -> Result<Document, MongoError> {
    let mut bounds = Document::new();
    for (bound, inclusive, exclusive) in [(&range.from, "$gte", "$gt"), (&range.to, "$lte", "$lt")]
    {
        if let Some((value, is_inclusive)) = bound {
            let operator = if *is_inclusive { inclusive } else { exclusive };
            let mut value = bson_of(std::slice::from_ref(value))?;
            bounds.insert(operator, value.remove(0));
        }
    }
    if bounds.is_empty() {
        bounds.insert("$gte", first_of(range.rank));
    }
    Ok(bounds)
}

/// The first value of a rank.
fn first_of(rank: Rank) -> Bson {
    match rank {
        Rank::Null => Bson::Null,
        Rank::Number => Bson::Double(f64::NEG_INFINITY),
        Rank::Text => Bson::String(String::new()),
        Rank::Bool => Bson::Boolean(false),
        Rank::Instant => Bson::DateTime(DateTime::MIN),
    }
}

impl SessionReader<'_> {
    /// Reads a part of an index. Records stay in the driver's buffers.
    pub(super) async fn list(&mut self, read: &IndexRead) -> Result<Listed, MongoError> {
        let context = self.context;
        let (mut filter, mut sort) = find_of(read)?;
        let mut hint = Hint::Name(name_of(&read.index));
        if let Some(ids) = read.ids() {
            // The keys of entries sort as ids do, and are in one index of all scopes.
            let ids = ids.iter().filter_map(|id| id.value().as_str());
            let keys = ids.map(|id| Bson::String(format!("{}\0{id}", read.index.type_name)));
            filter.insert("_id", doc! { "$in": keys.collect::<Vec<Bson>>() });
            filter.remove("i");
            sort = doc! { "_id": if read.descending { -1 } else { 1 } };
            hint = Hint::Keys(doc! { "_id": 1 });
        }
        let limit = i64::try_from(read.items_max).unwrap_or(i64::MAX);
        let mut options = FindOptions::builder()
            .sort((!sort.is_empty()).then_some(sort))
            .hint(hint)
            .limit(limit)
            .batch_size(u32::try_from(read.items_max).unwrap_or(u32::MAX))
            .build();
        let mut list = ListBuilder::new(read);
        let found = if read.ids_only {
            options.projection = Some(doc! { "_id": 0, "i": 1 });
            let each = |raw: &RawDocument| {
                let id = DocumentId::new(text(raw, "i")?).map_err(unreadable)?;
                list.take_id(id);
                Ok(true)
            };
            self.find_each(&context.names.feed, filter, options, each)
                .await
        } else {
            let each = |record: Bytes| Ok(list.take(codec::seq_of(&record)?, record));
            self.find_records(filter, options, each).await
        };
        found.map_err(of_hint)?;
        Ok(list.into())
    }
}

/// A hint that cannot be followed names an index that is not there yet.
pub(super) fn of_hint(failure: MongoError) -> MongoError {
    let is_about_hint = |error: &Error| match code(error) {
        // The index is younger than the snapshot.
        Some(SNAPSHOT_UNAVAILABLE) => true,
        Some(BAD_VALUE | NO_QUERY_EXECUTION_PLANS) => error.to_string().contains("hint"),
        _ => false,
    };
    match &failure {
        MongoError::Driver(error) if is_about_hint(error) => {
            MongoError::Final(StoreError::IndexBuilding)
        }
        _ => failure,
    }
}

impl MongoContext {
    /// Builds what is missing, and drops what no live gateway uses. The server builds an index while the feed is written.
    pub(super) async fn keep_indexes(
        &self,
        indexes: &[Arc<IndexDefinition>],
    ) -> Result<(), MongoError> {
        let wanted = indexes
            .iter()
            .map(|index| (name_of(index), model_of(index)));
        let wanted: BTreeMap<String, IndexModel> = wanted.collect();
        let feed = self.database.collection::<Document>(&self.names.feed);
        if !self.serves_beside_others().await? {
            let known = self.list_indexes().await?.into_iter();
            for name in known.filter(|name| !wanted.contains_key(name)) {
                let dropped = self.in_time(feed.drop_index(&name)).await;
                match dropped {
                    Err(MongoError::Driver(error)) if code(&error) == Some(INDEX_NOT_FOUND) => {}
                    Err(MongoError::Driver(error)) if code(&error) == Some(UNAUTHORIZED) => {
                        tracing::warn!(
                            index = name,
                            "an index is no longer used, and the user may not drop it: grant dropIndex, or drop it"
                        );
                    }
                    dropped => dropped?,
                }
            }
        }
        let (unique, lists): (Vec<_>, Vec<_>) = wanted.into_values().partition(uniques::is_unique);
        if !lists.is_empty() {
            feed.create_indexes(lists).await?;
        }
        self.create_uniques(unique).await
    }

    /// The names of the indexes of lists that the feed has.
    async fn list_indexes(&self) -> Result<Vec<String>, MongoError> {
        let feed = self.database.collection::<Document>(&self.names.feed);
        let listed = async { feed.list_index_names().await };
        let names = match self.in_time(listed).await {
            Err(MongoError::Driver(error)) if code(&error) == Some(NAMESPACE_NOT_FOUND) => {
                Vec::new()
            }
            Err(MongoError::Driver(error)) if code(&error) == Some(UNAUTHORIZED) => Vec::new(),
            names => names?,
        };
        Ok(names.into_iter().filter(|name| is_of_lists(name)).collect())
    }

    /// Whether a gateway with another model was live a moment ago. It may use other indexes.
    async fn serves_beside_others(&self) -> Result<bool, MongoError> {
        let Generation(own) = self.models.own();
        let within = i64::try_from(UNUSED_AFTER.as_millis()).unwrap_or(i64::MAX);
        let age = doc! { "$abs": { "$subtract": ["$$NOW", "$at"] } };
        let others = doc! {
            "_id": { "$gte": LIVE, "$lt": LIVE_END },
            "generation": { "$ne": i64::from(own) },
            "$expr": { "$lte": [age, within] },
        };
        let records = self.state();
        let find = records
            .find_one(others)
            .read_concern(ReadConcern::majority());
        Ok(self.in_time(find).await?.is_some())
    }

    /// What `doctor` says of these indexes.
    pub(super) async fn examine_list_indexes(&self) -> Result<Vec<Finding>, MongoError> {
        let feed = self.database.collection::<Document>(&self.names.feed);
        let listed = async { feed.list_indexes().await?.try_collect().await };
        let found: Vec<IndexModel> = match self.in_time(listed).await {
            // What is missing is reported with the other indexes.
            Err(MongoError::Driver(error))
                if [Some(NAMESPACE_NOT_FOUND), Some(UNAUTHORIZED)].contains(&code(&error)) =>
            {
                return Ok(Vec::new());
            }
            found => found?,
        };
        let types = self.layout.types();
        let wanted = types.flat_map(|(_, layout)| IndexDefinition::kept_for(&layout.modelled));
        let wanted = wanted.map(|index| (name_of(&index), model_of(&index)));
        let wanted: BTreeMap<String, IndexModel> = wanted.collect();
        let name = |model: &IndexModel| {
            let options = model.options.as_ref();
            options
                .and_then(|options| options.name.clone())
                .unwrap_or_default()
        };
        let is_there = |(wanted, model): &(&String, &IndexModel)| {
            let mut found = found.iter();
            found.any(|it| name(it) == **wanted && it.keys.iter().eq(model.keys.iter()))
        };
        let missing = wanted.iter().filter(|it| !is_there(it)).map(|(name, _)| {
            let effect = match uniques::is_name(name) {
                true => "pushes that write such values are answered with SERVICE_UNAVAILABLE",
                false => "lists by it are refused with INDEX_BUILDING",
            };
            Finding::warning(
                Topic::Indexes,
                format!("the index {name:?} of the feed is missing, so that {effect}; a running gateway builds it"),
            )
        });
        let unused = found.iter().map(name);
        let unused = unused.filter(|name| is_of_lists(name) && !wanted.contains_key(name));
        let collection = &self.names.feed;
        let unused = unused.map(|name| {
            Finding::warning(
                Topic::Indexes,
                format!("the index {name:?} of the feed serves nothing in this model; a gateway drops it when no other model is served, or drop it: db[\"{collection}\"].dropIndex(\"{name}\")"),
            )
        });
        let mut findings: Vec<Finding> = missing.chain(unused).collect();
        if findings.is_empty() {
            let good = "the feed has the indexes of all lists";
            findings.push(Finding::good(Topic::Indexes, good));
        }
        Ok(findings)
    }
}

fn is_of_lists(name: &str) -> bool {
    name == PREFIX || name.starts_with(&format!("{PREFIX} ")) || uniques::is_name(name)
}
