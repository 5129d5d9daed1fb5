//! The sums of a scope's live documents, from which its digest is made.

use bson::{
    RawDocument, RawDocumentBuf,
    raw::{CStr, cstr},
};
use tidegate_core::{
    digest::{KeptSums, ScopeSums, TypeSum},
    id::{Seq, TypeName},
};

use super::binary;

/// A count and its hashes.
const SUM_BYTES: usize = size_of::<i64>() + size_of::<u128>();

/// Appends the sums to what is kept of their scope.
pub(crate) fn append_sums(raw: &mut RawDocumentBuf, kept: &KeptSums) {
    raw.append(cstr!("d"), encode_sums(&kept.sums));
    if let Some(since) = kept.since {
        raw.append(cstr!("o"), since.0);
    }
}

/// The sums by type.
pub(crate) fn encode_sums(sums: &ScopeSums) -> RawDocumentBuf {
    let mut raw = RawDocumentBuf::new();
    for (type_name, TypeSum { count, bits }) in sums.iter() {
        let mut bytes = [0; SUM_BYTES];
        let (first, rest) = bytes.split_at_mut(size_of::<i64>());
        first.copy_from_slice(&count.to_be_bytes());
        rest.copy_from_slice(&bits.to_be_bytes());
        let name = <&CStr>::try_from(type_name.as_str()).expect("names have no U+0000");
        raw.append(name, binary(&bytes));
    }
    raw
}

/// Reads what [`append_sums`] wrote. `None` if there is nothing, or nothing that can be read: then they are counted from
/// the documents.
pub(crate) fn read_sums(raw: &RawDocument) -> Option<KeptSums> {
    let kept = raw.get("d").ok()??.as_document()?;
    let since = raw.get("o").ok()?;
    let since = match since {
        Some(seq) => Some(Seq(seq.as_i64()?)),
        None => None,
    };
    let mut sums = ScopeSums::default();
    for element in kept {
        let (name, sum) = element.ok()?;
        let bytes = sum.as_binary()?.bytes;
        let (count, bits) = bytes.split_at_checked(size_of::<i64>())?;
        let sum = TypeSum {
            count: i64::from_be_bytes(count.try_into().ok()?),
            bits: u128::from_be_bytes(bits.try_into().ok()?),
        };
        sums.join(TypeName::new(name.as_str()).ok()?, sum);
    }
    Some(KeptSums { since, sums })
}
