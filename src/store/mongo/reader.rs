//! Reading within a session, which is a transaction or a snapshot: entries, documents, ranges of a feed.
//!
//! The caller owns the session and interprets what was read. [`super::state`] reads scopes and clients,
//! [`super::members`] memberships.

mod bounded;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::Hash,
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use mongodb::{
    ClientSession,
    bson::{Bson, Document, RawDocument, RawDocumentBuf, doc, raw::RawBsonRef},
    options::{FindOptions, Hint},
    raw_batch_cursor::RawBatch,
};
use tidegate_core::{
    entry::{Entry, FeedItem, Record},
    id::{DocumentKey, Scope, TypeName},
    transaction::ExpiryQuery,
};

pub(super) use self::bounded::{Parts, ReadBudget};
use super::{
    MongoContext,
    error::MongoError,
    layout::{id_to_bson, id_to_text},
    names::{entry_id, markers_of, record_id},
};
use crate::store::{
    Entries, Found, Scan, ScanBuilder, ScanRange, StoreError, WALK_BYTES_MAX,
    codec::{self, CodecError},
    or_logged,
};

/// How many keys one command asks for. With 256 bytes for each part they stay far below the limit of a command.
pub(super) const KEYS_MAX: usize = 4_096;

/// The application's documents.
#[derive(Default)]
pub(super) struct ApplicationDocuments {
    pub(super) found: HashMap<DocumentKey, RawDocumentBuf>,
    /// Those that no transaction can read. They may exist or not.
    pub(super) unread: HashSet<DocumentKey>,
}

/// Reads in one session.
pub(super) struct SessionReader<'a> {
    pub(super) context: &'a MongoContext,
    pub(super) session: &'a mut ClientSession,
}

impl SessionReader<'_> {
    /// The entries of these keys, if there is room for all of them.
    pub(super) async fn entries(
        &mut self,
        keys: impl IntoIterator<Item = &DocumentKey>,
        budget: &mut ReadBudget,
    ) -> Result<Option<HashMap<DocumentKey, Arc<Entry>>>, MongoError> {
        let context = self.context;
        let ids = keys.into_iter().map(entry_id);
        let mut entries = HashMap::new();
        let keep = |raw: &RawDocument| {
            if let Record::Entry(entry) = item(raw)?.record {
                entries.insert(entry.key.clone(), entry);
            }
            Ok(())
        };
        let fit = self
            .each_by_id(&context.names.feed, ids, budget, keep)
            .await?;
        Ok(fit.then_some(entries))
    }

    /// The entries of these keys as far as there is room for them, in no order. At least one has room, if any exists.
    pub(super) async fn entries_within(
        &mut self,
        keys: &BTreeSet<DocumentKey>,
        bytes_max: usize,
    ) -> Result<Entries, MongoError> {
        let context = self.context;
        let keys: Vec<&DocumentKey> = keys.iter().collect();
        let (mut entries, mut bytes_left) = (Entries::default(), bytes_max);
        let mut chunks = keys.chunks(KEYS_MAX);
        for keys in chunks.by_ref() {
            let ids = keys.iter().map(|key| entry_id(key).into()).collect();
            let mut fits = true;
            let take = |raw: &RawDocument| {
                let bytes = raw.as_bytes().len();
                fits = bytes <= bytes_left || entries.found.is_empty();
                let record = raw.as_bytes();
                let item = || or_logged(record, codec::decode_item(record));
                if fits && let Some(Record::Entry(entry)) = item().map(|item| item.record) {
                    entries.found.insert(entry.key.clone(), entry);
                }
                bytes_left = bytes_left.saturating_sub(bytes);
                Ok(fits)
            };
            self.find_by_ids(&context.names.feed, ids, take).await?;
            if !fits {
                let unread = keys.iter().filter(|key| !entries.found.contains_key(**key));
                entries.left_out = unread.map(|key| DocumentKey::clone(key)).collect();
                break;
            }
        }
        let later = chunks.flatten().map(|key| DocumentKey::clone(key));
        entries.left_out.extend(later);
        Ok(entries)
    }

    /// The application's documents of these keys, as far as the model has their types, if there is room for all of them.
    pub(super) async fn documents(
        &mut self,
        keys: impl IntoIterator<Item = &DocumentKey>,
        budget: &mut ReadBudget,
    ) -> Result<Option<ApplicationDocuments>, MongoError> {
        let context = self.context;
        let mut by_type: BTreeMap<&TypeName, Vec<&DocumentKey>> = BTreeMap::new();
        for key in keys {
            by_type.entry(&key.type_name).or_default().push(key);
        }
        let mut documents = ApplicationDocuments::default();
        for (type_name, keys) in by_type {
            let Some(layout) = context.layout.document_type(type_name) else {
                continue;
            };
            if context.is_capped(&layout.collection).await? {
                documents.unread.extend(keys.into_iter().cloned());
                continue;
            }
            let ids = keys.iter().filter_map(|key| {
                let id = id_to_bson(layout.id_type, key.id.as_str())?;
                Bson::try_from(id).ok()
            });
            let mut found = HashMap::new();
            let keep = |raw: &RawDocument| {
                let id = raw.get("_id").ok().flatten();
                if let Some(text) = id.and_then(|id| id_to_text(layout.id_type, id)) {
                    found.insert(text, raw.to_owned());
                }
                Ok(())
            };
            let fit = self.each_by_id(&layout.collection, ids, budget, keep).await;
            let fit = fit.inspect_err(|failure| context.suspect(&layout.collection, failure))?;
            if !fit {
                return Ok(None);
            }
            for key in keys {
                if let Some(document) = found.remove(key.id.as_str()) {
                    documents.found.insert(key.clone(), document);
                }
            }
        }
        Ok(Some(documents))
    }

    /// Old tombstones and markers, the oldest first. Before a tombstone come all markers that its document has left. So
    /// a document without an entry has no markers, and a create need not look for one.
    pub(super) async fn expired(
        &mut self,
        expired: ExpiryQuery,
    ) -> Result<Vec<FeedItem>, MongoError> {
        let context = self.context;
        let Some(limit) = i64::try_from(expired.limit).ok().filter(|limit| *limit > 0) else {
            return Ok(Vec::new());
        };
        let before = mongodb::bson::DateTime::from_millis(expired.before.ms());
        let options = FindOptions::builder()
            .sort(doc! { "x": 1 })
            .limit(limit)
            .build();
        let filter = doc! { "x": { "$lt": before } };
        let found = self.find(&context.names.feed, filter, options).await?;
        let expired: Vec<FeedItem> = items(&found)?;
        let tombstones = expired.iter().filter_map(|item| match &item.record {
            Record::Entry(tombstone) => Some(&tombstone.key),
            Record::Marker(_) => None,
        });
        let markers = self.markers(tombstones).await?;
        let mut taken = BTreeSet::new();
        let all = markers.into_iter().chain(expired);
        Ok(all
            .filter(|item| taken.insert(record_id(&item.record)))
            .collect())
    }

    /// The markers of these documents.
    async fn markers(
        &mut self,
        keys: impl Iterator<Item = &DocumentKey>,
    ) -> Result<Vec<FeedItem>, MongoError> {
        /// The planner sees each as a range of its own.
        const RANGES_MAX: usize = 250;
        let context = self.context;
        let ranges: Vec<Document> = keys
            .map(|key| {
                let (first, end) = markers_of(key);
                doc! { "_id": { "$gte": first, "$lt": end } }
            })
            .collect();
        let mut markers = Vec::new();
        for ranges in ranges.chunks(RANGES_MAX) {
            let filter = doc! { "$or": ranges.to_vec() };
            let found = self.find(&context.names.feed, filter, FindOptions::default());
            markers.extend(items(&found.await?)?);
        }
        Ok(markers)
    }

    /// All entries in the order of their keys.
    pub(super) async fn walk(
        &mut self,
        after: Option<&DocumentKey>,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, MongoError> {
        let context = self.context;
        let mut last = after.map(entry_id).unwrap_or_default();
        let filter = doc! { "_id": { "$gt": &last }, "left": { "$exists": false } };
        let options = FindOptions::builder()
            .sort(doc! { "_id": 1 })
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .build();
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let each = |raw: &RawDocument| {
            if let Record::Entry(entry) = item(raw)?.record {
                let id = entry_id(&entry.key);
                // A record under the id of another document would make the walk go round.
                if id <= last {
                    return Err(corrupt(
                        "a record of the feed has the id of another document",
                    ));
                }
                last = id;
                entries.push(entry);
            }
            bytes += raw.as_bytes().len();
            Ok(bytes < WALK_BYTES_MAX)
        };
        self.find_each(&context.names.feed, filter, options, each)
            .await?;
        Ok(entries)
    }

    /// One index range for each type; the server merges them by seq. Records stay in the driver's buffers: what is held
    /// beyond the bounds is the rest of one batch of the server, which has 16 MiB at most.
    pub(super) async fn scan(&mut self, range: &ScanRange) -> Result<Scan, MongoError> {
        if range.after >= range.through {
            return Ok(Scan::default());
        }
        let types = match &range.types {
            Some(types) => types.iter().map(|name| name.as_str().to_owned()).collect(),
            None => self.types_in(&range.scope).await?,
        };
        let mut filter = doc! {
            "s": range.scope.as_str(),
            "t": { "$in": types },
            "q": { "$gt": range.after.0, "$lte": range.through.0 },
        };
        let index = if range.removals {
            doc! { "s": 1, "t": 1, "q": 1 }
        } else {
            filter.insert("b", doc! { "$exists": true });
            doc! { "t": 1, "s": 1, "q": 1 }
        };
        let one_more = range.items_max.saturating_add(1);
        let options = FindOptions::builder()
            .sort(doc! { "q": 1 })
            .hint(Hint::Keys(index))
            .limit(i64::try_from(one_more).unwrap_or(i64::MAX))
            .batch_size(u32::try_from(one_more).unwrap_or(u32::MAX))
            .build();
        let mut gathered = ScanBuilder::new(range);
        let each = |record: Bytes| Ok(gathered.take(codec::seq_of(&record)?, record));
        self.find_records(filter, options, each).await?;
        Ok(gathered.into())
    }

    /// Hands over records of the feed, in the driver's buffers, until `each` has enough.
    pub(super) async fn find_records(
        &mut self,
        filter: Document,
        options: FindOptions,
        mut each: impl FnMut(Bytes) -> Result<bool, MongoError> + Send,
    ) -> Result<(), MongoError> {
        let context = self.context;
        let all = |batch: RawBatch| {
            let (records, places) = places_in(batch)?;
            for place in places {
                if !each(records.slice(place))? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        self.find_batches(&context.names.feed, filter, options, all)
            .await
    }

    /// The types in a scope's feed, found with one index lookup for each type.
    pub(super) async fn types_in(&mut self, scope: &Scope) -> Result<Vec<String>, MongoError> {
        let context = self.context;
        let feed = context
            .database
            .collection::<RawDocumentBuf>(&context.names.feed);
        let distinct = feed
            .distinct("t", doc! { "s": scope.as_str() })
            .max_time(context.call_max)
            .session(&mut *self.session);
        let names = context.in_time(distinct).await?;
        let names = names.iter().filter_map(Bson::as_str);
        Ok(names.map(str::to_owned).collect())
    }

    pub(super) async fn by_ids(
        &mut self,
        collection: &str,
        ids: impl IntoIterator<Item = impl Into<Bson>>,
    ) -> Result<Vec<RawDocumentBuf>, MongoError> {
        let mut found = Vec::new();
        let keep = |raw: &RawDocument| {
            found.push(raw.to_owned());
            Ok(())
        };
        self.each_by_id(collection, ids, &mut ReadBudget::unlimited(), keep)
            .await?;
        Ok(found)
    }

    /// What stands under these keys, in their order, as far as it has room. The first that exists always has.
    pub(super) async fn in_order<K: Clone + Eq + Hash + Ord + Send + Sync, V: Send>(
        &mut self,
        collection: &str,
        keys: &[K],
        bytes_max: usize,
        id: impl Fn(&K) -> String + Sync,
        decode: impl Fn(&RawDocument) -> Result<(K, V), MongoError> + Sync,
    ) -> Result<Found<K, V>, MongoError> {
        let (mut all, mut budget) = (Found::default(), ReadBudget::of(bytes_max));
        let mut parts = Parts::of(keys);
        while let Some(part) = parts.next() {
            let (mut found, mut left) = (HashMap::new(), budget);
            let keep = |raw: &RawDocument| {
                let (key, value) = decode(raw)?;
                found.insert(key, value);
                Ok(())
            };
            let ids = part.iter().map(&id);
            if self.each_by_id(collection, ids, &mut left, keep).await? {
                budget = left;
                all.found.extend(found);
                parts.advance();
            } else if parts.shrink() {
                continue;
            } else if all.found.is_empty() {
                // The part is the key of the first record. No other record has room then.
                let first = self.by_ids(collection, part.iter().map(&id)).await?;
                let first = first.iter().map(|raw| decode(raw));
                all.found = first.collect::<Result<_, _>>()?;
                budget = ReadBudget::of(0);
                parts.advance();
            } else {
                break;
            }
        }
        all.left_out = parts.rest().iter().cloned().collect();
        Ok(all)
    }

    /// Hands over what stands under these ids, as far as there is room; returns whether there was for all of it.
    pub(super) async fn each_by_id(
        &mut self,
        collection: &str,
        ids: impl IntoIterator<Item = impl Into<Bson>>,
        budget: &mut ReadBudget,
        mut each: impl FnMut(&RawDocument) -> Result<(), MongoError> + Send,
    ) -> Result<bool, MongoError> {
        let ids: Vec<Bson> = ids.into_iter().map(Into::into).collect();
        for ids in ids.chunks(KEYS_MAX) {
            let mut fits = true;
            let take = |raw: &RawDocument| {
                fits = budget.take(raw.as_bytes().len());
                if fits {
                    each(raw)?;
                }
                Ok(fits)
            };
            self.find_by_ids(collection, ids.to_vec(), take).await?;
            if !fits {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Hands over what stands under at most [`KEYS_MAX`] ids until `each` has enough.
    async fn find_by_ids(
        &mut self,
        collection: &str,
        ids: Vec<Bson>,
        each: impl FnMut(&RawDocument) -> Result<bool, MongoError> + Send,
    ) -> Result<(), MongoError> {
        // With a batch of exactly so many the server would keep the cursor, to be asked for more.
        let beyond_all = u32::try_from(ids.len() + 1).unwrap_or(u32::MAX);
        let options = FindOptions::builder().batch_size(beyond_all).build();
        let filter = doc! { "_id": { "$in": ids } };
        self.find_each(collection, filter, options, each).await
    }

    pub(super) async fn find(
        &mut self,
        collection: &str,
        filter: Document,
        options: FindOptions,
    ) -> Result<Vec<RawDocumentBuf>, MongoError> {
        let mut found = Vec::new();
        let keep = |raw: &RawDocument| {
            found.push(raw.to_owned());
            Ok(true)
        };
        self.find_each(collection, filter, options, keep).await?;
        Ok(found)
    }

    /// Hands over what is found until `each` has enough.
    pub(super) async fn find_each(
        &mut self,
        collection: &str,
        filter: Document,
        options: FindOptions,
        mut each: impl FnMut(&RawDocument) -> Result<bool, MongoError> + Send,
    ) -> Result<(), MongoError> {
        let all = |batch: RawBatch| {
            for found in batch.doc_slices()? {
                if !each(document(found?)?)? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        self.find_batches(collection, filter, options, all).await
    }

    /// The same, in the server's batches.
    async fn find_batches(
        &mut self,
        collection: &str,
        filter: Document,
        mut options: FindOptions,
        mut each: impl FnMut(RawBatch) -> Result<bool, MongoError> + Send,
    ) -> Result<(), MongoError> {
        let context = self.context;
        options.max_time = Some(context.call_max);
        let collection = context.database.collection::<RawDocumentBuf>(collection);
        let find = collection.find(filter).with_options(options);
        let mut cursor = context
            .in_time(find.session(&mut *self.session).batch())
            .await?;
        let mut batches = cursor.stream(&mut *self.session);
        while let Some(batch) = context.in_time(batches.try_next()).await? {
            if !each(batch)? {
                break;
            }
        }
        Ok(())
    }
}

/// The bytes of a batch, and the ranges of its documents in them.
fn places_in(batch: RawBatch) -> Result<(Bytes, Vec<Range<usize>>), MongoError> {
    struct Reply(RawBatch);
    impl AsRef<[u8]> for Reply {
        fn as_ref(&self) -> &[u8] {
            self.0.as_raw_document().as_bytes()
        }
    }
    let reply = Reply(batch);
    let start = reply.as_ref().as_ptr().addr();
    let documents = reply.0.doc_slices()?.into_iter();
    let places = documents.map(|found| {
        let found = document(found?)?.as_bytes();
        let begin = found.as_ptr().addr() - start;
        Ok::<_, MongoError>(begin..begin + found.len())
    });
    let places = places.collect::<Result<_, _>>()?;
    Ok((Bytes::from_owner(reply), places))
}

/// An element of a batch as a document.
pub(super) fn document(found: RawBsonRef<'_>) -> Result<&RawDocument, MongoError> {
    let document = found.as_document();
    document.ok_or_else(|| corrupt("a batch holds something that is no document"))
}

fn items(found: &[RawDocumentBuf]) -> Result<Vec<FeedItem>, MongoError> {
    found.iter().map(|raw| item(raw)).collect()
}

/// Reads a record of the feed.
pub(super) fn item(raw: &RawDocument) -> Result<FeedItem, MongoError> {
    Ok(codec::decode_item(raw.as_bytes())?)
}

pub(super) fn text<'r>(raw: &'r RawDocument, name: &'static str) -> Result<&'r str, MongoError> {
    let found = raw.get(name)?.and_then(RawBsonRef::as_str);
    found.ok_or_else(|| CodecError::Field(name).into())
}

/// Drops the error, which may name a value.
pub(super) fn unreadable<E>(_error: E) -> MongoError {
    corrupt("a field of a record is missing, or not of its type")
}

pub(super) fn corrupt(problem: &str) -> MongoError {
    MongoError::Final(StoreError::Corrupt(problem.to_owned()))
}
