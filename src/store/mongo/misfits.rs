//! Documents that are withheld because they do not fit the model: one record each, which goes once the document fits or
//! is deleted.
//!
//! The record of a document that waits for a unique value has it in `u`, and `p` once it is free.
//!
//! A stamp writes the records of documents with ids that the type can spell. Those of other ids are written here, as the
//! importer comes by.

mod obsolete;

use std::collections::{BTreeMap, BTreeSet};

use mongodb::{
    bson::{
        Bson, Document, RawArrayBuf, RawDocument, RawDocumentBuf, doc,
        raw::{RawBsonRef, cstr},
        rawdoc,
    },
    options::{FindOptions, ReadConcern},
};
use tidegate_core::{
    id::{DocumentId, DocumentKey, TypeName},
    transaction::Misfit,
    unique::UniqueKey,
};

pub(super) use self::obsolete::IdRange;
use super::{
    MongoContext,
    document::bson_type,
    error::MongoError,
    layout::{id_to_bson, id_to_text},
    legacy_uuids::{self, is_legacy_uuid},
    reader::{KEYS_MAX, SessionReader, text, unreadable},
    uniques::hash_of,
};
use crate::store::{
    StoreError,
    collections::{WalkPosition, WithheldDocument, WithheldPage},
};

/// The most bytes of an id that is recorded, or kept as a place in a walk.
pub(super) const ID_BYTES_MAX: usize = 1_024;

/// An id that its type cannot spell, of a document that exists or did.
pub(super) struct UnspellableId {
    type_name: TypeName,
    /// `None` if it is too long to be recorded, or no text of UTF-8.
    record: Option<RawDocumentBuf>,
    misfit: Misfit,
}

/// Unspellable ids to record or to remove; of an id, the last counts.
#[derive(Default)]
pub(super) struct UnspellableIds {
    /// By the bytes of their records' ids.
    changes: BTreeMap<Vec<u8>, Option<(TypeName, Misfit)>>,
    /// One that is not recorded, with its type.
    beyond: Option<(TypeName, Misfit)>,
}

impl UnspellableIds {
    pub(super) fn record(&mut self, id: UnspellableId) {
        match id.record {
            Some(record) => {
                let withheld = Some((id.type_name, id.misfit));
                self.changes.insert(record.into_bytes(), withheld);
            }
            None => self.beyond = Some((id.type_name, id.misfit)),
        }
    }

    pub(super) fn remove(&mut self, id: UnspellableId) {
        if let Some(record) = id.record {
            self.changes.insert(record.into_bytes(), None);
        }
    }
}

impl MongoContext {
    /// The key of a document, if its type can spell its `_id`.
    pub(super) fn read_id(
        &self,
        type_name: &TypeName,
        document: &RawDocument,
    ) -> Result<DocumentKey, UnspellableId> {
        let id = document.get("_id").ok().flatten();
        let problem = match self.spell(type_name, id) {
            Ok(id) => {
                return Ok(DocumentKey {
                    type_name: type_name.clone(),
                    id,
                });
            }
            Err(problem) => problem,
        };
        let fits = document.as_bytes().len() <= ID_BYTES_MAX;
        let id_to_record = id.filter(|_| fits);
        Err(UnspellableId {
            type_name: type_name.clone(),
            record: id_to_record.map(|id| record_id(type_name, id)),
            misfit: Misfit {
                path: "id".to_owned(),
                found: id.map_or("unknown", bson_type).to_owned(),
                problem,
            },
        })
    }

    fn spell(
        &self,
        type_name: &TypeName,
        id: Option<RawBsonRef<'_>>,
    ) -> Result<DocumentId, String> {
        let layout = self.layout.document_type(type_name);
        let text = layout.and_then(|layout| id_to_text(layout.id_type, id?));
        match (text, id) {
            (Some(text), _) => DocumentId::new(&text)
                .map_err(|error| format!("cannot be an id of a document: {error}")),
            (None, Some(id)) if is_legacy_uuid(id) => Err(legacy_uuids::PROBLEM.to_owned()),
            (None, Some(id)) => Err(format!("is {}, and not an id of its type", bson_type(id))),
            (None, None) => Err("is not readable".to_owned()),
        }
    }

    /// Records ids that no type can spell, and removes the records of those that are gone. New ones are logged.
    pub(super) async fn record_ids(&self, ids: UnspellableIds) -> Result<(), MongoError> {
        if let Some((type_name, misfit)) = &ids.beyond {
            tracing::warn!(
                r#type = %type_name, found = misfit.found,
                "an _id of this type is too long or not readable: its document is withheld without a record"
            );
        }
        let (mut updates, mut deletes) = (RawArrayBuf::new(), RawArrayBuf::new());
        let mut example = None;
        for (id, misfit) in ids.changes {
            let id = RawDocumentBuf::from_bytes(id)?;
            match misfit {
                Some((type_name, misfit)) => {
                    updates.push(record(id, &misfit, None));
                    example = Some((type_name, misfit));
                }
                None => deletes.push(removal(id)),
            }
        }
        let misfits = self.names.misfits.as_str();
        if !updates.is_empty() {
            let reply = self.run(rawdoc! { "update": misfits, "updates": updates });
            let reply = reply.await?;
            let new = reply.get_array("upserted").map_or(0, Vec::len);
            if let Some((type_name, misfit)) = example.filter(|_| new > 0) {
                tracing::warn!(
                    r#type = %type_name, found = misfit.found, documents = new,
                    "documents have _ids that the model's idType cannot spell, and are withheld; `tidegate doctor` lists them"
                );
            }
        }
        self.remove_records(deletes).await
    }

    /// Runs a command of independent statements.
    async fn run(&self, mut command: RawDocumentBuf) -> Result<Document, MongoError> {
        command.append(cstr!("ordered"), false);
        command.append(
            cstr!("writeConcern"),
            rawdoc! { "w": "majority", "j": true },
        );
        let reply = self.in_time(self.database.run_raw_command(command)).await?;
        match reply.get_array("writeErrors") {
            Ok(_) => Err(MongoError::Final(StoreError::Unavailable(
                "withheld documents could not be recorded".to_owned(),
            ))),
            Err(_) => Ok(reply),
        }
    }

    /// Documents whose value is free, or that wait for one.
    pub(super) async fn freed(
        &self,
        all: bool,
        limit: usize,
    ) -> Result<Vec<DocumentKey>, MongoError> {
        let misfits = self
            .database
            .collection::<RawDocumentBuf>(&self.names.misfits);
        if all {
            let waiting = doc! { "u": { "$exists": true } };
            let marked = misfits.update_many(waiting, doc! { "$set": { "p": true } });
            self.in_time(marked).await?;
        }
        let find = misfits
            .find(doc! { "p": true })
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .read_concern(ReadConcern::majority());
        let mut freed = Vec::new();
        for record in self.all(find).await? {
            let key = record.get_document("_id").map_err(unreadable)?;
            let type_name = TypeName::new(text(key, "t")?).map_err(unreadable)?;
            let id = self.spell(&type_name, key.get("id")?);
            freed.extend(id.ok().map(|id| DocumentKey { type_name, id }));
        }
        Ok(freed)
    }

    /// The records after a place, in their order.
    pub(super) async fn withheld(
        &self,
        after: Option<&WalkPosition>,
        limit: usize,
    ) -> Result<WithheldPage, MongoError> {
        let filter = match after {
            Some(WalkPosition(place)) => {
                let place = Document::from_reader(place.as_slice())?;
                doc! { "_id": { "$gt": place.get("_id").cloned() } }
            }
            None => doc! {},
        };
        let misfits = self
            .database
            .collection::<RawDocumentBuf>(&self.names.misfits);
        let find = misfits
            .find(filter)
            .sort(doc! { "_id": 1 })
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .read_concern(ReadConcern::majority());
        let found = self.all(find).await?;
        let documents = found.iter().map(|record| self.withheld_document(record));
        let is_full = found.len() == limit;
        let last = found.last().filter(|_| is_full);
        Ok(WithheldPage {
            documents: documents.collect::<Result<_, _>>()?,
            next: last.map(place_of).transpose()?,
        })
    }

    fn withheld_document(&self, record: &RawDocument) -> Result<WithheldDocument, MongoError> {
        let key = record.get_document("_id").map_err(unreadable)?;
        let type_name = TypeName::new(text(key, "t")?).map_err(unreadable)?;
        let id = key.get("id")?.unwrap_or(RawBsonRef::Null);
        let layout = self.layout.document_type(&type_name);
        let spelled = layout.and_then(|layout| id_to_text(layout.id_type, id));
        let id = match spelled {
            Some(text) => text,
            None => Bson::try_from(id)?.to_string(),
        };
        let text = |name| text(record, name).map(str::to_owned);
        Ok(WithheldDocument {
            type_name,
            id,
            misfit: Misfit {
                path: text("path")?,
                found: text("found")?,
                problem: text("problem")?,
            },
        })
    }
}

/// Where a record stands in its order.
fn place_of(record: &RawDocumentBuf) -> Result<WalkPosition, MongoError> {
    let id = record.get_document("_id").map_err(unreadable)?;
    Ok(WalkPosition(rawdoc! { "_id": id.to_owned() }.into_bytes()))
}

impl SessionReader<'_> {
    /// Those of these documents that are recorded as withheld.
    pub(super) async fn misfits(
        &mut self,
        keys: impl Iterator<Item = &DocumentKey>,
    ) -> Result<BTreeSet<DocumentKey>, MongoError> {
        let context = self.context;
        let ids: Vec<Bson> = keys
            .filter_map(|key| record_id_of(context, key))
            .map(|id| Ok(Document::try_from(&*id)?.into()))
            .collect::<Result<_, MongoError>>()?;
        let mut recorded = BTreeSet::new();
        for ids in ids.chunks(KEYS_MAX) {
            let options = FindOptions::builder().projection(doc! { "_id": 1 }).build();
            let filter = doc! { "_id": { "$in": ids.to_vec() } };
            let take = |raw: &RawDocument| {
                let id = raw.get_document("_id").map_err(unreadable)?;
                let type_name = TypeName::new(text(id, "t")?).map_err(unreadable)?;
                let id = id.get("id")?;
                recorded.extend(
                    context
                        .spell(&type_name, id)
                        .ok()
                        .map(|id| DocumentKey { type_name, id }),
                );
                Ok(true)
            };
            self.find_each(&context.names.misfits, filter, options, take)
                .await?;
        }
        Ok(recorded)
    }
}

/// The id of a document's record.
pub(super) fn record_id_of(context: &MongoContext, key: &DocumentKey) -> Option<RawDocumentBuf> {
    let layout = context.layout.document_type(&key.type_name)?;
    let id = id_to_bson(layout.id_type, key.id.as_str())?;
    Some(record_id(&key.type_name, id.as_raw_bson_ref()))
}

fn record_id(type_name: &TypeName, id: RawBsonRef<'_>) -> RawDocumentBuf {
    let mut record = rawdoc! { "t": type_name.as_str() };
    record.append(cstr!("id"), id);
    record
}

/// The statement that records a document. One that waits for a value is proposed once that is free.
pub(super) fn record(
    id: RawDocumentBuf,
    misfit: &Misfit,
    waits_for: Option<&UniqueKey>,
) -> RawDocumentBuf {
    let mut found = rawdoc! {
        "path": misfit.path.as_str(),
        "found": misfit.found.as_str(),
        "problem": misfit.problem.as_str(),
    };
    let mut obsolete = rawdoc! { "p": "" };
    match waits_for {
        Some(key) => found.append(cstr!("u"), hash_of(key)),
        None => obsolete.append(cstr!("u"), ""),
    }
    rawdoc! {
        "q": { "_id": id },
        "u": { "$set": found, "$unset": obsolete, "$currentDate": { "at": true } },
        "upsert": true,
    }
}

/// The statement that marks the documents that wait for a value: it is free.
pub(super) fn is_free(key: &UniqueKey) -> RawDocumentBuf {
    rawdoc! {
        "q": { "u": hash_of(key) },
        "u": { "$set": { "p": true } },
        "multi": true,
    }
}

/// The statement that removes a record.
pub(super) fn removal(id: RawDocumentBuf) -> RawDocumentBuf {
    rawdoc! { "q": { "_id": id }, "limit": 1 }
}
