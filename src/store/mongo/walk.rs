//! The importer's walks: over a collection in the order of its ids, over the entries of a type, and a look which
//! documents are missing. Each reads one snapshot, and keys only.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use mongodb::{
    bson::{Bson, Document, RawArrayBuf, RawDocument, doc, raw::RawBsonRef},
    options::{FindOptions, Hint},
};
use tidegate_core::id::{DocumentId, DocumentKey, TypeName};

use super::{
    MongoContext,
    error::MongoError,
    layout::{TypeLayout, id_to_bson, id_to_text},
    misfits::{ID_BYTES_MAX, IdRange, UnspellableId, UnspellableIds},
    names::{entry_id, records_of},
    reader::{KEYS_MAX, SessionReader, text},
    snapshot::MongoSnapshot,
};
use crate::store::{
    codec,
    collections::{DocumentWalk, WalkPosition},
};

/// Many records that expect no document may stand in a row. After a search that took too long they are passed in steps
/// of so many.
const STEP: u64 = 10_000;

impl MongoContext {
    /// The next documents of a collection, of all BSON types of ids. `$gt` would stay within the type of `after`, so the
    /// walk is bounded by `min`, which takes the place itself in too.
    pub(super) async fn documents(
        self: &Arc<Self>,
        type_name: &TypeName,
        after: Option<&WalkPosition>,
        limit: usize,
    ) -> Result<DocumentWalk, MongoError> {
        let Some(layout) = self.layout.document_type(type_name) else {
            return Ok(DocumentWalk::default());
        };
        if self.is_capped(&layout.collection).await? {
            return Ok(DocumentWalk::default());
        }
        let after = after.map(|WalkPosition(place)| Document::from_reader(place.as_slice()));
        let after = after.transpose()?;
        let mut size = limit.max(1);
        loop {
            let part = self.part(type_name, layout, after.as_ref(), size).await;
            let part = match part {
                Err(failure) if self.is_now_capped(layout, &failure).await? => {
                    return Ok(DocumentWalk::default());
                }
                part => part?,
            };
            // None of its ids can be kept as a place: the part is read once more, with those behind it.
            if part.walk.next.is_none() && !part.is_last {
                size = size.saturating_mul(8);
                continue;
            }
            self.remove_records(part.obsolete).await?;
            self.record_ids(part.unspellable).await?;
            return Ok(part.walk);
        }
    }

    async fn part(
        self: &Arc<Self>,
        type_name: &TypeName,
        layout: &TypeLayout,
        after: Option<&Document>,
        size: usize,
    ) -> Result<WalkPart, MongoError> {
        let asked = size + usize::from(after.is_some());
        let options = FindOptions::builder()
            .projection(doc! { "_id": 1 })
            .hint(Hint::Keys(doc! { "_id": 1 }))
            .sort(doc! { "_id": 1 })
            .min(after.cloned())
            .limit(i64::try_from(asked).unwrap_or(i64::MAX))
            .build();
        let passed_before = after.map(Document::to_vec).transpose()?;
        let (mut part, mut read) = (WalkPart::default(), 0);
        let take = |raw: &RawDocument| {
            read += 1;
            if passed_before.as_deref() != Some(raw.as_bytes()) {
                part.take(raw, self.read_id(type_name, raw));
            }
            Ok(true)
        };
        let mut snapshot = MongoSnapshot::open(self, &BTreeSet::new(), None).await?;
        let mut reader = snapshot.reader();
        reader
            .find_each(&layout.collection, doc! {}, options, take)
            .await?;
        part.is_last = read < asked;
        if part.is_last {
            part.walk.next = None;
        }
        let last = part.walk.next.as_ref();
        let last = last.map(|WalkPosition(place)| Document::from_reader(place.as_slice()));
        let last = last.transpose()?;
        let range = IdRange {
            after,
            last: last.as_ref(),
        };
        part.obsolete = reader.obsolete(type_name, layout, range).await?;
        Ok(part)
    }

    /// Entries of a type that expect a document; none at the end.
    pub(super) async fn expected(
        self: &Arc<Self>,
        type_name: &TypeName,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentKey>, MongoError> {
        let (first, end) = records_of(type_name);
        let mut from = after.map_or(first, |id| {
            entry_id(&DocumentKey {
                type_name: type_name.clone(),
                id: id.clone(),
            })
        });
        let mut snapshot = MongoSnapshot::open(self, &BTreeSet::new(), None).await?;
        let mut reader = snapshot.reader();
        let mut in_steps = false;
        loop {
            let step = match in_steps {
                true => reader.record_after(&from, &end, STEP).await?,
                false => None,
            };
            let last = step.as_ref().unwrap_or(&end);
            match reader.expecting(&from, last, limit).await {
                Err(failure) if failure.is_out_of_time() && !in_steps => in_steps = true,
                found => match (found?, step) {
                    (keys, Some(step)) if keys.is_empty() => from = step,
                    (keys, _) => return Ok(keys),
                },
            }
        }
    }

    /// Those of these documents that do not exist, as far as the model has their types.
    pub(super) async fn missing(
        self: &Arc<Self>,
        keys: &[DocumentKey],
    ) -> Result<Vec<DocumentKey>, MongoError> {
        let mut by_type: BTreeMap<&TypeName, Vec<&DocumentKey>> = BTreeMap::new();
        for key in keys {
            by_type.entry(&key.type_name).or_default().push(key);
        }
        let mut snapshot = MongoSnapshot::open(self, &BTreeSet::new(), None).await?;
        let mut missing = Vec::new();
        for (type_name, keys) in by_type {
            let Some(layout) = self.layout.document_type(type_name) else {
                continue;
            };
            if self.is_capped(&layout.collection).await? {
                continue;
            }
            for keys in keys.chunks(KEYS_MAX) {
                let found = self.found(&mut snapshot, layout, keys).await;
                let found = match found {
                    Err(failure) if self.is_now_capped(layout, &failure).await? => break,
                    found => found?,
                };
                let gone = keys.iter().filter(|key| !found.contains(key.id.as_str()));
                missing.extend(gone.map(|key| DocumentKey::clone(key)));
            }
        }
        Ok(missing)
    }

    /// Whether a read failed because the collection is capped.
    async fn is_now_capped(
        &self,
        layout: &TypeLayout,
        failure: &MongoError,
    ) -> Result<bool, MongoError> {
        self.suspect(&layout.collection, failure);
        self.is_capped(&layout.collection).await
    }

    async fn found(
        &self,
        snapshot: &mut MongoSnapshot,
        layout: &TypeLayout,
        keys: &[&DocumentKey],
    ) -> Result<HashSet<String>, MongoError> {
        let ids = keys.iter().filter_map(|key| {
            let id = id_to_bson(layout.id_type, key.id.as_str())?;
            Bson::try_from(id).ok()
        });
        let filter = doc! { "_id": { "$in": ids.collect::<Vec<_>>() } };
        let options = FindOptions::builder().projection(doc! { "_id": 1 }).build();
        let mut found = HashSet::new();
        let take = |raw: &RawDocument| {
            let id = raw.get("_id").ok().flatten();
            found.extend(id.and_then(|id| id_to_text(layout.id_type, id)));
            Ok(true)
        };
        let mut reader = snapshot.reader();
        reader
            .find_each(&layout.collection, filter, options, take)
            .await?;
        Ok(found)
    }
}

impl SessionReader<'_> {
    /// Entries in a range of keys that expect a document.
    async fn expecting(
        &mut self,
        from: &str,
        last: &str,
        limit: usize,
    ) -> Result<Vec<DocumentKey>, MongoError> {
        let context = self.context;
        let filter = doc! {
            "_id": { "$gt": from, "$lte": last },
            "left": { "$exists": false },
            "$or": [{ "b": { "$exists": true } }, { "h": { "$exists": true } }],
        };
        let options = FindOptions::builder()
            .projection(doc! { "_id": 0, "t": 1, "i": 1 })
            .hint(Hint::Keys(doc! { "_id": 1 }))
            .sort(doc! { "_id": 1 })
            .limit(i64::try_from(limit.max(1)).unwrap_or(i64::MAX))
            .build();
        let mut keys = Vec::new();
        let take = |raw: &RawDocument| {
            keys.push(codec::document_key(raw)?);
            Ok(true)
        };
        self.find_each(&context.names.feed, filter, options, take)
            .await?;
        Ok(keys)
    }

    /// The key of a record some records on, if the range has so many. The index alone answers.
    async fn record_after(
        &mut self,
        from: &str,
        end: &str,
        records: u64,
    ) -> Result<Option<String>, MongoError> {
        let context = self.context;
        let options = FindOptions::builder()
            .projection(doc! { "_id": 1 })
            .hint(Hint::Keys(doc! { "_id": 1 }))
            .sort(doc! { "_id": 1 })
            .skip(records - 1)
            .limit(1)
            .build();
        let filter = doc! { "_id": { "$gt": from, "$lt": end } };
        let found = self.find(&context.names.feed, filter, options).await?;
        let id = found.first().map(|raw| text(raw, "_id").map(str::to_owned));
        id.transpose()
    }
}

/// Part of a walk over a collection.
#[derive(Default)]
struct WalkPart {
    walk: DocumentWalk,
    unspellable: UnspellableIds,
    /// What removes the records of documents that do not exist.
    obsolete: RawArrayBuf,
    /// Whether the collection has no documents behind it.
    is_last: bool,
}

impl WalkPart {
    fn take(&mut self, document: &RawDocument, read: Result<DocumentKey, UnspellableId>) {
        self.walk.passed += 1;
        match read {
            Ok(key) => self.walk.keys.push(key),
            Err(id) => self.unspellable.record(id),
        }
        if is_place(document) {
            self.walk.next = Some(WalkPosition(document.as_bytes().to_vec()));
        }
    }
}

/// Whether a walk can go on from the id of this document. It must be short enough to be kept. `min` never finds the
/// greatest of all ids.
fn is_place(document: &RawDocument) -> bool {
    let is_greatest = matches!(document.get("_id"), Ok(Some(RawBsonRef::MaxKey)));
    let fits = document.as_bytes().len() <= ID_BYTES_MAX;
    fits && !is_greatest && Document::try_from(document).is_ok()
}
