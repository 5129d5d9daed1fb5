//! Feed items, client states and the inbox as BSON, the form in which every store keeps them.
//!
//! The names are short because each record carries them. Each store decides where the bytes go. The BSON of application
//! documents is not here: the model gives its shape.

mod client;
mod inbox;
pub(crate) mod raw;
#[cfg(test)]
mod round_trips;
mod sums;
mod value;
mod view;

use std::{collections::BTreeMap, sync::Arc};

use bson::{
    DateTime, RawArrayBuf, RawDocument, RawDocumentBuf,
    error::Error as BsonError,
    raw::{CStr, RawBinaryRef, RawBsonRef, cstr},
    spec::{BinarySubtype, ElementType},
};
use thiserror::Error;
use tidegate_core::{
    entry::{Entry, FeedItem, Marker, Membership, Record, Writer},
    id::{
        ClientId, DocumentId, DocumentKey, MutationId, NameError, Scope, Seq, TypeName, UserId,
        Version,
    },
    model::Role,
    transaction::Misfit,
    value::{Document, Timestamp, TimestampError},
    view::Unreadable,
};

use self::raw::RawElements;
pub use self::view::StoredView;
pub(crate) use self::{
    client::{decode_api, decode_client, decode_last, encode_client},
    inbox::{decode_position, decode_record, encode_record},
    raw::type_name,
    sums::{append_sums, encode_sums, read_sums},
    value::{decode_decimal, encode_value},
};
use crate::withheld;

/// Why bytes are no record, or a record has no bytes.
#[derive(Debug, Error)]
pub(crate) enum CodecError {
    /// The text of the inner error may hold a value.
    #[error("bytes that are no BSON of a record")]
    Bson(#[from] BsonError),
    #[error("the field {0:?} is missing or not of its type")]
    Field(&'static str),
    #[error("BSON of type {0:?} holds no value")]
    Type(ElementType),
    #[error("bytes that are no BSON document")]
    Bytes,
    #[error("a value is nested too deeply")]
    Depth,
    #[error("a Decimal128 that is not a finite number")]
    Decimal,
    #[error("a name is out of bounds: {0}")]
    Name(#[from] NameError),
    #[error("an instant is out of bounds: {0}")]
    Timestamp(#[from] TimestampError),
}

/// Writes a feed item. The body comes last, so that readers of the other fields need not step over it.
///
/// # Errors
/// [`CodecError::Bson`] when a field name contains U+0000.
pub(crate) fn encode_item(item: &FeedItem) -> Result<Vec<u8>, CodecError> {
    let mut raw = RawDocumentBuf::new();
    append_item(&mut raw, item)?;
    Ok(raw.into_bytes())
}

/// The same, appended to fields that a store keeps beside it under names of its own.
///
/// # Errors
/// [`CodecError::Bson`] when a field name contains U+0000.
pub(crate) fn append_item(raw: &mut RawDocumentBuf, item: &FeedItem) -> Result<(), CodecError> {
    let key = item.record.key();
    raw.append(cstr!("t"), key.type_name.as_str());
    raw.append(cstr!("i"), key.id.as_str());
    raw.append(cstr!("s"), item.record.scope().as_str());
    raw.append(cstr!("q"), item.seq.0);
    raw.append(cstr!("v"), item.record.version().0);
    raw.append(cstr!("at"), date(item.record.at()));
    match &item.record {
        Record::Entry(entry) => append_entry(raw, entry)?,
        Record::Marker(_) => raw.append(cstr!("left"), true),
    }
    Ok(())
}

/// Reads what [`encode_item`] wrote.
///
/// # Errors
/// [`CodecError`] when the bytes are not of that form.
pub(crate) fn decode_item(bytes: &[u8]) -> Result<FeedItem, CodecError> {
    let raw = RawDocument::from_bytes(bytes)?;
    let left = raw.get("left")?.is_some();
    let record = if left {
        Record::Marker(Marker {
            key: document_key(raw)?,
            scope: Scope::new(text(raw, "s")?)?,
            version: Version(int(raw, "v")?),
            at: instant(raw, "at")?,
        })
    } else {
        Record::Entry(Arc::new(decode_entry(raw)?))
    };
    Ok(FeedItem {
        seq: Seq(long(raw, "q")?),
        record,
    })
}

/// The position of a record in its feed.
///
/// # Errors
/// [`CodecError`] when the record has none.
pub(crate) fn seq_of(record: &[u8]) -> Result<Seq, CodecError> {
    for element in RawElements::of(record)? {
        let element = element?;
        if element.name == b"q" {
            return element.int64().map(Seq).ok_or(CodecError::Field("q"));
        }
    }
    Err(CodecError::Field("q"))
}

/// Why a record shows no document.
pub(crate) fn unreadable(error: CodecError) -> Misfit {
    Unreadable::from(error).misfit()
}

/// Reads the fields of a document.
///
/// # Errors
/// [`CodecError`] when a value is none that a document holds.
pub(crate) fn decode_body(body: &RawDocument) -> Result<Document, CodecError> {
    value::decode(body)
}

/// The document of a record, and its scope.
///
/// # Errors
/// [`CodecError`] when the record names none.
pub(crate) fn whereabouts(record: &[u8]) -> Result<(DocumentKey, Scope), CodecError> {
    let raw = RawDocument::from_bytes(record)?;
    Ok((document_key(raw)?, Scope::new(text(raw, "s")?)?))
}

fn append_entry(raw: &mut RawDocumentBuf, entry: &Entry) -> Result<(), CodecError> {
    raw.append(cstr!("k"), entry.began.0);
    raw.append(cstr!("r"), entry.run.0);
    let mut field_versions = RawDocumentBuf::new();
    for (field, version) in &entry.field_versions {
        field_versions.append(<&CStr>::try_from(field.as_str())?, version.0);
    }
    raw.append(cstr!("f"), field_versions);
    let mut writers = RawArrayBuf::new();
    for (version, writer) in &entry.writers {
        writers.push(encode_writer(*version, writer));
    }
    raw.append(cstr!("w"), writers);
    if let Some(membership) = &entry.membership {
        raw.append(cstr!("g"), encode_membership(membership));
    }
    if entry.withheld {
        raw.append(cstr!("h"), true);
    }
    if let Some(body) = &entry.body {
        raw.append(cstr!("b"), value::encode(body)?);
    }
    Ok(())
}

/// An entry is withheld if more of it cannot be read than where its document is, its version and its time.
fn decode_entry(raw: &RawDocument) -> Result<Entry, CodecError> {
    let version = Version(int(raw, "v")?);
    let head = Entry {
        key: document_key(raw)?,
        scope: Scope::new(text(raw, "s")?)?,
        version,
        began: version,
        run: version,
        field_versions: BTreeMap::new(),
        writers: BTreeMap::new(),
        body: None,
        withheld: true,
        at: instant(raw, "at")?,
        membership: None,
    };
    decode_rest(raw, &head).or_else(|error| {
        withheld::log_key(&head.key, version, &unreadable(error));
        Ok(head)
    })
}

fn decode_rest(raw: &RawDocument, head: &Entry) -> Result<Entry, CodecError> {
    Ok(Entry {
        began: Version(int(raw, "k")?),
        run: Version(int(raw, "r")?),
        field_versions: decode_field_versions(raw)?,
        writers: decode_writers(raw)?,
        body: document(raw, "b")?.map(value::decode).transpose()?,
        withheld: raw.get("h")?.is_some(),
        membership: document(raw, "g")?.map(decode_membership).transpose()?,
        ..head.clone()
    })
}

fn decode_field_versions(raw: &RawDocument) -> Result<BTreeMap<String, Version>, CodecError> {
    let fields = document(raw, "f")?.ok_or(CodecError::Field("f"))?;
    fields
        .iter()
        .map(|element| {
            let (field, version) = element?;
            let version = version.as_i32().ok_or(CodecError::Field("f"))?;
            Ok((field.as_str().to_owned(), Version(version)))
        })
        .collect()
}

fn encode_writer(version: Version, writer: &Writer) -> RawDocumentBuf {
    let mut raw = RawDocumentBuf::new();
    raw.append(cstr!("v"), version.0);
    raw.append(cstr!("e"), date(writer.edited_at));
    if let Some(user) = &writer.user {
        raw.append(cstr!("u"), user.as_str());
    }
    if let Some(client) = &writer.client {
        raw.append(cstr!("c"), client.as_str());
    }
    if let Some(mutation) = writer.mutation {
        raw.append(cstr!("m"), mutation.0);
    }
    raw
}

fn decode_writers(raw: &RawDocument) -> Result<BTreeMap<Version, Writer>, CodecError> {
    list(raw, "w")?
        .map(|element| {
            let raw = element?.as_document().ok_or(CodecError::Field("w"))?;
            Ok((Version(int(raw, "v")?), decode_writer(raw)?))
        })
        .collect()
}

fn decode_writer(raw: &RawDocument) -> Result<Writer, CodecError> {
    Ok(Writer {
        user: optional_text(raw, "u")?.map(UserId::new).transpose()?,
        client: optional_text(raw, "c")?.map(ClientId::new).transpose()?,
        edited_at: instant(raw, "e")?,
        mutation: optional_int(raw, "m")?.map(MutationId),
    })
}

fn encode_membership(membership: &Membership) -> RawDocumentBuf {
    let mut raw = RawDocumentBuf::new();
    raw.append(cstr!("u"), membership.user.as_str());
    raw.append(cstr!("s"), membership.scope.as_str());
    raw.append(cstr!("w"), membership.role == Role::Write);
    if let Role::Named(name) = &membership.role {
        raw.append(cstr!("r"), &**name);
    }
    if let Some(giver) = &membership.giver {
        raw.append(cstr!("b"), giver.as_str());
    }
    raw.append(cstr!("a"), date(membership.since));
    raw
}

/// Reads a membership. A record of an earlier version names neither the giver nor the time: it counts as the oldest,
/// and as given by a service. One that gives a named role says READ to such a version. An index has null where there is no
/// value.
///
/// # Errors
/// [`CodecError`] when the bytes are not of that form.
pub(crate) fn decode_membership(raw: &RawDocument) -> Result<Membership, CodecError> {
    let may_write = raw.get("w")?.and_then(RawBsonRef::as_bool);
    Ok(Membership {
        user: UserId::new(text(raw, "u")?)?,
        scope: Scope::new(text(raw, "s")?)?,
        role: match (raw.get("r")?, may_write.ok_or(CodecError::Field("w"))?) {
            (None | Some(RawBsonRef::Null), true) => Role::Write,
            (None | Some(RawBsonRef::Null), false) => Role::Read,
            (Some(_), _) => Role::of(text(raw, "r")?).ok_or(CodecError::Field("r"))?,
        },
        giver: match raw.get("b")? {
            None | Some(RawBsonRef::Null) => None,
            Some(_) => Some(UserId::new(text(raw, "b")?)?),
        },
        since: match raw.get("a")? {
            None | Some(RawBsonRef::Null) => Timestamp::EPOCH,
            Some(_) => instant(raw, "a")?,
        },
    })
}

/// The document of a record.
///
/// # Errors
/// [`CodecError`] when the record names none.
pub(crate) fn document_key(raw: &RawDocument) -> Result<DocumentKey, CodecError> {
    Ok(DocumentKey {
        type_name: TypeName::new(text(raw, "t")?)?,
        id: DocumentId::new(text(raw, "i")?)?,
    })
}

fn binary(bytes: &[u8]) -> RawBinaryRef<'_> {
    let subtype = BinarySubtype::Generic;
    RawBinaryRef { subtype, bytes }
}

fn optional_bytes<const N: usize>(
    raw: &RawDocument,
    name: &'static str,
) -> Result<Option<[u8; N]>, CodecError> {
    optional(raw, name, |found| found.as_binary()?.bytes.try_into().ok())
}

fn date(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.ms())
}

fn instant(raw: &RawDocument, name: &'static str) -> Result<Timestamp, CodecError> {
    let date = raw.get(name)?.and_then(RawBsonRef::as_datetime);
    let date = date.ok_or(CodecError::Field(name))?;
    Ok(Timestamp::from_ms(date.timestamp_millis())?)
}

fn text<'a>(raw: &'a RawDocument, name: &'static str) -> Result<&'a str, CodecError> {
    optional_text(raw, name)?.ok_or(CodecError::Field(name))
}

fn optional_text<'a>(
    raw: &'a RawDocument,
    name: &'static str,
) -> Result<Option<&'a str>, CodecError> {
    optional(raw, name, RawBsonRef::as_str)
}

fn int(raw: &RawDocument, name: &'static str) -> Result<i32, CodecError> {
    optional_int(raw, name)?.ok_or(CodecError::Field(name))
}

fn optional_int(raw: &RawDocument, name: &'static str) -> Result<Option<i32>, CodecError> {
    optional(raw, name, RawBsonRef::as_i32)
}

fn long(raw: &RawDocument, name: &'static str) -> Result<i64, CodecError> {
    optional(raw, name, RawBsonRef::as_i64)?.ok_or(CodecError::Field(name))
}

fn document<'a>(
    raw: &'a RawDocument,
    name: &'static str,
) -> Result<Option<&'a RawDocument>, CodecError> {
    optional(raw, name, RawBsonRef::as_document)
}

fn list<'a>(
    raw: &'a RawDocument,
    name: &'static str,
) -> Result<impl Iterator<Item = Result<RawBsonRef<'a>, CodecError>>, CodecError> {
    let array = optional(raw, name, RawBsonRef::as_array)?.ok_or(CodecError::Field(name))?;
    Ok(array.into_iter().map(|element| Ok(element?)))
}

/// `None` if the field is absent; an error if it has another type.
fn optional<'a, T>(
    raw: &'a RawDocument,
    name: &'static str,
    read: impl FnOnce(RawBsonRef<'a>) -> Option<T>,
) -> Result<Option<T>, CodecError> {
    match raw.get(name)? {
        None => Ok(None),
        Some(found) => read(found).map(Some).ok_or(CodecError::Field(name)),
    }
}

#[cfg(test)]
mod tests;
