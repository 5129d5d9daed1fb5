//! Legacy UUIDs: binary values of subtype 3. Each driver ordered their bytes in its own way, so that one of them may be any
//! of three UUIDs. None is read, and no document is made beside one.
//!
//! The BSON specification has subtype 4 for UUIDs, with one order.

use std::collections::{BTreeMap, HashMap};

use mongodb::{
    bson::{
        Binary, Bson, RawDocument, Uuid, doc,
        raw::{RawBinaryRef, RawBsonRef},
        spec::BinarySubtype,
    },
    options::FindOptions,
};
use tidegate_core::{
    id::{DocumentKey, IdType, TypeName},
    transaction::{ForeignState, Misfit},
};

use super::{error::MongoError, reader::SessionReader};

/// What is wrong with one, and what to do about it.
pub(super) const PROBLEM: &str =
    "is a legacy UUID (binary subtype 3), which drivers read differently; store it with subtype 4";

/// Whether a value is a legacy UUID.
pub(super) fn is_legacy_uuid(value: RawBsonRef<'_>) -> bool {
    let is_old = |it: RawBinaryRef<'_>| it.subtype == BinarySubtype::UuidOld;
    value.as_binary().is_some_and(is_old)
}

/// The bytes that drivers wrote for a UUID: those of Python, of C# and of Java.
fn spellings(uuid: Uuid) -> [[u8; 16]; 3] {
    let python = uuid.bytes();
    let (mut csharp, mut java) = (python, python);
    for part in [0..4, 4..6, 6..8] {
        csharp[part].reverse();
    }
    for half in [0..8, 8..16] {
        java[half].reverse();
    }
    [python, csharp, java]
}

impl SessionReader<'_> {
    /// Those of these documents whose UUID a legacy one may be. It is withheld, and a create would make a second document.
    pub(super) async fn legacy_uuids(
        &mut self,
        keys: impl Iterator<Item = &DocumentKey>,
    ) -> Result<BTreeMap<DocumentKey, ForeignState>, MongoError> {
        let context = self.context;
        let mut by_type: BTreeMap<&TypeName, HashMap<[u8; 16], &DocumentKey>> = BTreeMap::new();
        let has_uuid = |key: &&DocumentKey| {
            let layout = context.layout.document_type(&key.type_name);
            layout.is_some_and(|layout| layout.id_type == IdType::Uuid)
        };
        for key in keys.filter(has_uuid) {
            let uuid = Uuid::parse_str(key.id.as_str());
            let spelled = uuid.into_iter().flat_map(spellings);
            let of_type = by_type.entry(&key.type_name).or_default();
            of_type.extend(spelled.map(|bytes| (bytes, key)));
        }
        let mut legacy = BTreeMap::new();
        for (type_name, spelled) in by_type {
            let Some(layout) = context.layout.document_type(type_name) else {
                continue;
            };
            if context.is_capped(&layout.collection).await? {
                continue;
            }
            let ids = spelled.keys().map(|bytes| {
                Bson::Binary(Binary {
                    subtype: BinarySubtype::UuidOld,
                    bytes: bytes.to_vec(),
                })
            });
            let filter = doc! { "_id": { "$in": ids.collect::<Vec<_>>() } };
            let take = |stored: &RawDocument| {
                let id = stored.get("_id").ok().flatten();
                let bytes = id.and_then(RawBsonRef::as_binary);
                let bytes = bytes.and_then(|it| <[u8; 16]>::try_from(it.bytes).ok());
                if let Some(key) = bytes.and_then(|bytes| spelled.get(&bytes)) {
                    let state = ForeignState::Misfit {
                        misfit: Misfit {
                            path: "id".to_owned(),
                            found: "binData".to_owned(),
                            problem: PROBLEM.to_owned(),
                        },
                        readable: context.layout.read_what_fits(&layout.fields, stored),
                    };
                    legacy.insert(DocumentKey::clone(key), state);
                }
                Ok(true)
            };
            self.find_each(&layout.collection, filter, FindOptions::default(), take)
                .await?;
        }
        Ok(legacy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The orders are those of `LEGACY_UUID` in the drivers' specification of UUIDs.
    #[test]
    fn a_uuid_has_the_bytes_of_each_driver() {
        let uuid = Uuid::parse_str("00112233-4455-6677-8899-aabbccddeeff").unwrap();
        let spelled = spellings(uuid).map(|bytes| Uuid::from_bytes(bytes).to_string());
        let expected = [
            "00112233-4455-6677-8899-aabbccddeeff",
            "33221100-5544-7766-8899-aabbccddeeff",
            "77665544-3322-1100-ffee-ddccbbaa9988",
        ];
        assert_eq!(spelled, expected);
    }
}
