//! The importer's progress: one document, whose changes are written field by field.
//!
//! What cannot be read of it counts as not imported.

use std::collections::{BTreeMap, BTreeSet};

use mongodb::{
    bson::{Binary, Bson, Document, doc, spec::BinarySubtype},
    options::ReadConcern,
};
use tidegate_core::{id::TypeName, transaction::Fence};

use super::{MongoContext, error::MongoError, lease, names::IMPORT};
use crate::store::{
    StoreError,
    collections::{
        CollectionId, HeldType, ImportPosition, ImportProgress, ScanPhase, TypeImport, TypeScan,
        WalkPosition,
    },
};

impl MongoContext {
    pub(super) async fn progress(&self) -> Result<ImportProgress, MongoError> {
        let state = self.state();
        let find = state
            .find_one(doc! { "_id": IMPORT })
            .read_concern(ReadConcern::majority());
        let found = self.in_time(find).await?;
        Ok(found.as_ref().map(decode).unwrap_or_default())
    }

    /// Writes these changes, if no later holder of the lease has raised the fence.
    pub(super) async fn save(
        &self,
        Fence(number): Fence,
        changes: &ImportProgress,
    ) -> Result<(), MongoError> {
        let mut changed = FieldChanges::default();
        if let Some(ImportPosition(bytes)) = &changes.position {
            let position = Document::from_reader(bytes.as_slice())?;
            changed.put("position".to_owned(), Some(position.into()));
        }
        for (type_name, import) in &changes.types {
            changed.put_type(type_name, import);
        }
        if changed.is_empty() {
            return Ok(());
        }
        let filter = doc! { "_id": IMPORT, "fence": number };
        let state = self.state();
        let update = state.update_one(filter, changed.into_update());
        match self.in_time(update).await?.matched_count {
            0 => Err(MongoError::Final(StoreError::Deposed)),
            _ => Ok(()),
        }
    }

    /// Only a held type takes it, so that it is not kept for a later hold.
    pub(super) async fn accept_deletes(&self, type_name: &TypeName) -> Result<(), MongoError> {
        let held = format!("types.{type_name}.held");
        let accepts = format!("types.{type_name}.acceptsDeletes");
        let filter = doc! { "_id": IMPORT, held: { "$exists": true } };
        let update = doc! { "$set": { accepts: true } };
        self.in_time(self.state().update_one(filter, update))
            .await?;
        Ok(())
    }
}

/// The update that marks types for a scan from the beginning, and takes no more changes of earlier holders.
pub(super) fn marked(fence: Fence, types: &BTreeSet<TypeName>) -> Vec<Document> {
    let mut update = lease::raised(fence);
    let begun = encode_scan(&TypeScan::default());
    let marks = types.iter().map(|name| {
        // Without `$literal` the fields of the scan before would stay beside these.
        let begun = doc! { "$literal": begun.clone() };
        (format!("types.{name}.scan"), Bson::from(begun))
    });
    let marks: Document = marks.collect();
    if !marks.is_empty() {
        update.push(doc! { "$set": marks });
    }
    update
}

/// The fields to set and to remove.
#[derive(Default)]
struct FieldChanges {
    set: Document,
    unset: Document,
}

impl FieldChanges {
    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.unset.is_empty()
    }

    fn put(&mut self, path: String, value: Option<Bson>) {
        match value {
            Some(value) => self.set.insert(path, value),
            None => self.unset.insert(path, ""),
        };
    }

    /// An operator may have accepted deletes since the type was read. That ends with the scan, if nothing is held.
    fn put_type(&mut self, type_name: &TypeName, import: &TypeImport) {
        let path = |field| format!("types.{type_name}.{field}");
        let collection = import.collection.as_ref();
        let collection = collection.map(|CollectionId(id)| Bson::from(id.as_str()));
        self.put(path("collection"), collection);
        self.put(path("shape"), Some(import.shape.as_str().into()));
        self.put(path("scan"), import.scan.as_ref().map(encode_scan));
        self.put(path("held"), import.held.map(encode_held));
        if import.scan.is_none() && import.held.is_none() {
            self.put(path("acceptsDeletes"), None);
        }
    }

    fn into_update(self) -> Document {
        let mut update = Document::new();
        for (operator, fields) in [("$set", self.set), ("$unset", self.unset)] {
            if !fields.is_empty() {
                update.insert(operator, fields);
            }
        }
        update
    }
}

/// Reads the progress.
pub(super) fn decode(found: &Document) -> ImportProgress {
    let position = found.get_document("position").ok();
    let position = position.and_then(|position| position.to_vec().ok());
    let types = found.get_document("types").into_iter().flatten();
    let types = types.filter_map(|(name, import)| {
        let name = TypeName::new(name).ok()?;
        Some((name, decode_type(import.as_document()?)))
    });
    ImportProgress {
        position: position.map(ImportPosition),
        types: types.collect::<BTreeMap<_, _>>(),
    }
}

fn decode_type(found: &Document) -> TypeImport {
    let collection = found.get_str("collection").ok();
    let held = found.get_document("held").ok();
    TypeImport {
        collection: collection.map(|id| CollectionId(id.to_owned())),
        shape: found.get_str("shape").unwrap_or_default().to_owned(),
        scan: found.get_document("scan").ok().map(decode_scan),
        held: held.map(|held| HeldType {
            missing: number(held, "missing"),
            expected: number(held, "expected"),
        }),
        accepts_deletes: found.get_bool("acceptsDeletes").unwrap_or_default(),
    }
}

fn decode_scan(found: &Document) -> TypeScan {
    let phase = match found.get_str("phase") {
        Ok(COUNT) => ScanPhase::Count,
        Ok(ENTRIES) => ScanPhase::Entries,
        _ => ScanPhase::Documents,
    };
    TypeScan {
        phase,
        after: bytes(found, "after").map(WalkPosition),
        done: number(found, "done"),
        total: number(found, "total"),
    }
}

fn encode_scan(scan: &TypeScan) -> Bson {
    let phase = match scan.phase {
        ScanPhase::Documents => "documents",
        ScanPhase::Count => COUNT,
        ScanPhase::Entries => ENTRIES,
    };
    let mut encoded = doc! {
        "phase": phase,
        "done": long(scan.done),
        "total": long(scan.total),
    };
    if let Some(WalkPosition(bytes)) = &scan.after {
        encoded.insert("after", binary(bytes));
    }
    encoded.into()
}

const COUNT: &str = "count";
const ENTRIES: &str = "entries";

fn encode_held(held: HeldType) -> Bson {
    doc! { "missing": long(held.missing), "expected": long(held.expected) }.into()
}

fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(found: &Document, name: &str) -> u64 {
    let number = found.get_i64(name).unwrap_or_default();
    u64::try_from(number).unwrap_or_default()
}

fn binary(bytes: &[u8]) -> Bson {
    Bson::Binary(Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    })
}

fn bytes(found: &Document, name: &str) -> Option<Vec<u8>> {
    found.get_binary_generic(name).ok().cloned()
}
