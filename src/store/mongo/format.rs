//! The document of the format: which version of Tidegate reads the collections, and the store's epoch.
//!
//! Every commit and every snapshot reads it, so that no gateway goes on in a store that another version has converted.

use mongodb::{
    bson::{Document, RawDocument, RawDocumentBuf, doc, rawdoc},
    options::ReadConcern,
};
use tidegate_core::id::Epoch;

use super::{
    MongoContext,
    error::MongoError,
    names::FORMAT,
    reader::{text, unreadable},
};
use crate::store::{StoreError, finding::StorePresence};

/// The format of the collections. It rises with every change that an older or a newer gateway could not read.
pub(super) const FORMAT_VERSION: i32 = 3;

/// The format that a start converts.
pub(super) const FORMAT_BEFORE: i32 = 2;

/// The field of the document that exists while the store is being converted.
pub(super) const STEP: &str = "step";

/// The document of a store of this format.
pub(super) fn format_of(epoch: &Epoch) -> RawDocumentBuf {
    rawdoc! { "_id": FORMAT, "v": FORMAT_VERSION, "epoch": epoch.as_str() }
}

/// The epoch of a store of this format.
///
/// # Errors
/// [`StoreError::Unavailable`] while the store is being converted, and if it has another format.
pub(super) fn epoch_of(format: &RawDocument) -> Result<Epoch, MongoError> {
    let found = format.get_i32("v").unwrap_or_default();
    let reason = match (found, format.get(STEP)?) {
        (FORMAT_VERSION, None) => {
            return Epoch::new(text(format, "epoch")?).map_err(unreadable);
        }
        (FORMAT_VERSION, Some(_)) => format!("it is being converted to format {found}"),
        _ => format!(
            "it has format {found} now, and this gateway needs format {FORMAT_VERSION}; start a gateway of the version that the others have"
        ),
    };
    Err(MongoError::Final(StoreError::Unavailable(reason)))
}

impl MongoContext {
    /// Whether there is a store, and whether it has this format.
    ///
    /// # Errors
    /// [`StoreError::OtherFormat`] if this version neither reads nor converts it.
    pub(super) async fn presence(&self) -> Result<StorePresence, MongoError> {
        // A store of format 1 lacks the collection in which later ones have their format.
        let of_format_1 = &self.names.meta_of_format_1;
        if let Some(found) = self.format_in(of_format_1).await? {
            return Err(self.other_format(of_format_1, number(&found)));
        }
        let Some(format) = self.format_in(&self.names.state).await? else {
            return Ok(StorePresence::None);
        };
        match (number(&format), format.contains_key(STEP)) {
            (FORMAT_VERSION, false) => Ok(StorePresence::Current),
            (FORMAT_VERSION, true) | (FORMAT_BEFORE, _) => Ok(StorePresence::Convertible),
            (other, _) => Err(self.other_format(&self.names.state, other)),
        }
    }

    async fn format_in(&self, name: &str) -> Result<Option<Document>, MongoError> {
        let collection = self.database.collection::<Document>(name);
        let find = collection.find_one(doc! { "_id": FORMAT });
        self.in_time(find.read_concern(ReadConcern::majority()))
            .await
    }

    pub(super) fn other_format(&self, collection: &str, found: i32) -> MongoError {
        let number = |version: i32| u32::try_from(version).unwrap_or_default();
        MongoError::Final(StoreError::OtherFormat {
            path: format!("{}.{collection}", self.database.name()),
            found: number(found),
            known: number(FORMAT_VERSION),
        })
    }
}

fn number(format: &Document) -> i32 {
    format.get_i32("v").unwrap_or_default()
}
