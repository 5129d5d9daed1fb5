//! Records of withheld documents that do not exist any more. The stream removes the record of a document that is
//! deleted; a walk removes those whose deletion was lost with the history.

use std::collections::HashSet;

use mongodb::{
    bson::{Bson, Document, RawArrayBuf, RawDocument, RawDocumentBuf, doc, raw::cstr, rawdoc},
    options::FindOptions,
};
use tidegate_core::id::{IdType, TypeName};

use crate::store::mongo::{
    MongoContext,
    error::MongoError,
    layout::{TypeLayout, id_to_text},
    reader::{KEYS_MAX, SessionReader, unreadable},
};

/// A part of a collection, in the order of its ids.
pub(in crate::store::mongo) struct IdRange<'r> {
    /// The document before the part; `None` at the beginning.
    pub(in crate::store::mongo) after: Option<&'r Document>,
    /// The last document of the part; `None` at the end of the collection.
    pub(in crate::store::mongo) last: Option<&'r Document>,
}

impl IdRange<'_> {
    /// Selects the records of its documents, where ids are in the same order.
    fn records(&self, type_name: &TypeName) -> Document {
        let record = |id: Bson| doc! { "t": type_name.as_str(), "id": id };
        let id_of = |document: &Document| document.get("_id").cloned().unwrap_or(Bson::Null);
        let (bound, after) = match self.after {
            Some(after) => ("$gt", id_of(after)),
            None => ("$gte", Bson::MinKey),
        };
        let last = self.last.map_or(Bson::MaxKey, id_of);
        doc! { "_id": { bound: record(after), "$lte": record(last) } }
    }
}

impl SessionReader<'_> {
    /// The statements that remove the records of documents of a part that do not exist, of at most [`KEYS_MAX`] records.
    /// The next walk removes the others.
    pub(in crate::store::mongo) async fn obsolete(
        &mut self,
        type_name: &TypeName,
        layout: &TypeLayout,
        range: IdRange<'_>,
    ) -> Result<RawArrayBuf, MongoError> {
        let context = self.context;
        let options = FindOptions::builder()
            .projection(doc! { "_id": 1, "at": 1 })
            .limit(i64::try_from(KEYS_MAX).unwrap_or(i64::MAX))
            .build();
        let records = self.find(&context.names.misfits, range.records(type_name), options);
        let records = records.await?;
        let mut removals = RawArrayBuf::new();
        if records.is_empty() {
            return Ok(removals);
        }
        let ids: Vec<Bson> = records
            .iter()
            .map(|it| id_in(it))
            .collect::<Result<_, _>>()?;
        let mut existing = HashSet::new();
        let options = FindOptions::builder().projection(doc! { "_id": 1 }).build();
        let filter = doc! { "_id": { "$in": &ids } };
        let take = |raw: &RawDocument| {
            existing.insert(same_form(layout.id_type, raw, "_id"));
            Ok(true)
        };
        self.find_each(&layout.collection, filter, options, take)
            .await?;
        for record in &records {
            let key = record.get_document("_id").map_err(unreadable)?;
            if !existing.contains(&same_form(layout.id_type, key, "id")) {
                removals.push(rawdoc! { "q": record.clone(), "limit": 1 });
            }
        }
        Ok(removals)
    }
}

fn id_in(record: &RawDocument) -> Result<Bson, MongoError> {
    let key = record.get_document("_id").map_err(unreadable)?;
    let id = key.get("id").map_err(unreadable)?;
    Ok(id.map(Bson::try_from).transpose()?.unwrap_or(Bson::Null))
}

/// An id in one form for all BSON types that its type spells alike.
fn same_form(id_type: IdType, document: &RawDocument, name: &str) -> Vec<u8> {
    let Some(id) = document.get(name).ok().flatten() else {
        return Vec::new();
    };
    match id_to_text(id_type, id) {
        Some(text) => text.into_bytes(),
        None => {
            let mut alone = RawDocumentBuf::new();
            alone.append(cstr!("id"), id);
            alone.into_bytes()
        }
    }
}

impl MongoContext {
    /// Removes records, each if it was not written since.
    pub(in crate::store::mongo) async fn remove_records(
        &self,
        removals: RawArrayBuf,
    ) -> Result<(), MongoError> {
        if !removals.is_empty() {
            let misfits = self.names.misfits.as_str();
            self.run(rawdoc! { "delete": misfits, "deletes": removals })
                .await?;
        }
        Ok(())
    }
}
