//! A conflict of the inbox as BSON: an open one with all that is needed to resolve it, or a settled one.
//!
//! The core's `inbox` module says what it means.

use bson::{
    RawArrayBuf, RawDocument, RawDocumentBuf,
    raw::{CStr, cstr},
};
use tidegate_core::{
    id::{ClientId, ConflictId, MutationId, Scope, UserId, Version},
    inbox::{
        ClientChange, InboxPosition, InboxRecord, OpenConflict, PendingConflict, ResolvedConflict,
    },
    push::ResolutionHash,
    value::Document,
};

use super::{
    CodecError, binary,
    client::{decode_outcome, encode_outcome},
    date, document, document_key, instant, int, list, optional_bytes, optional_int, optional_text,
    text, value,
};

/// What a client wanted, and how that is stored.
const CREATED: &str = "C";
const CHANGED: &str = "U";
const DELETED: &str = "D";

/// Writes a record, its id first.
///
/// # Errors
/// [`CodecError::Bson`] when a field name contains U+0000.
pub(crate) fn encode_record(record: &InboxRecord) -> Result<RawDocumentBuf, CodecError> {
    let mut raw = RawDocumentBuf::new();
    raw.append(cstr!("_id"), record.id().as_str());
    match record {
        InboxRecord::Open(open) => append_open(&mut raw, open)?,
        InboxRecord::Resolved(settled) => append_resolved(&mut raw, settled),
    }
    Ok(raw)
}

/// Reads what [`encode_record`] wrote.
///
/// # Errors
/// [`CodecError`] when the bytes are not of that form.
pub(crate) fn decode_record(bytes: &[u8]) -> Result<InboxRecord, CodecError> {
    let raw = RawDocument::from_bytes(bytes)?;
    let settled = raw.get("x")?.is_some();
    Ok(if settled {
        InboxRecord::Resolved(decode_resolved(raw)?.into())
    } else {
        InboxRecord::Open(decode_open(raw)?.into())
    })
}

/// The position of an open conflict.
///
/// # Errors
/// [`CodecError`] when the record has none.
pub(crate) fn decode_position(bytes: &[u8]) -> Result<InboxPosition, CodecError> {
    let raw = RawDocument::from_bytes(bytes)?;
    Ok(InboxPosition {
        opened_at: instant(raw, "at")?,
        id: ConflictId::new(text(raw, "_id")?)?,
    })
}

fn append_open(raw: &mut RawDocumentBuf, open: &OpenConflict) -> Result<(), CodecError> {
    raw.append(cstr!("t"), open.key.type_name.as_str());
    raw.append(cstr!("i"), open.key.id.as_str());
    raw.append(cstr!("s"), open.scope.as_str());
    raw.append(cstr!("at"), date(open.opened_at));
    raw.append(cstr!("v"), open.version.0);
    raw.append(cstr!("u"), open.opened_by.as_str());
    if let Some(client) = &open.client {
        raw.append(cstr!("c"), client.as_str());
    }
    if let Some(mutation) = open.mutation {
        raw.append(cstr!("m"), mutation.0);
    }
    raw.append(cstr!("r"), texts(open.shown_in.iter().map(Scope::as_str)));
    raw.append(
        cstr!("f"),
        texts(open.pending.fields.iter().map(String::as_str)),
    );
    if let Some(enters) = &open.pending.enters {
        raw.append(cstr!("e"), enters.as_str());
    }
    let kind = match &open.pending.mine {
        ClientChange::Created(_) => CREATED,
        ClientChange::Changed(_) => CHANGED,
        ClientChange::Deleted => DELETED,
    };
    raw.append(cstr!("k"), kind);
    append_body(raw, cstr!("mine"), open.pending.mine.document())?;
    append_body(raw, cstr!("base"), open.pending.base.as_ref())?;
    append_body(raw, cstr!("theirs"), open.theirs.as_ref())
}

fn decode_open(raw: &RawDocument) -> Result<OpenConflict, CodecError> {
    let mine = body(raw, "mine")?;
    let mine = match (text(raw, "k")?, mine) {
        (CREATED, Some(mine)) => ClientChange::Created(mine),
        (CHANGED, Some(mine)) => ClientChange::Changed(mine),
        (DELETED, None) => ClientChange::Deleted,
        _ => return Err(CodecError::Field("k")),
    };
    let scopes = text_list(raw, "r")?.map(|scope| Ok(Scope::new(scope?)?));
    let fields = text_list(raw, "f")?.map(|field| Ok(field?.to_owned()));
    Ok(OpenConflict {
        id: ConflictId::new(text(raw, "_id")?)?,
        key: document_key(raw)?,
        scope: Scope::new(text(raw, "s")?)?,
        shown_in: scopes.collect::<Result<_, CodecError>>()?,
        opened_at: instant(raw, "at")?,
        opened_by: UserId::new(text(raw, "u")?)?,
        client: optional_text(raw, "c")?.map(ClientId::new).transpose()?,
        mutation: optional_int(raw, "m")?.map(MutationId),
        version: Version(int(raw, "v")?),
        pending: PendingConflict {
            fields: fields.collect::<Result<_, CodecError>>()?,
            base: body(raw, "base")?,
            mine,
            enters: optional_text(raw, "e")?.map(Scope::new).transpose()?,
        },
        theirs: body(raw, "theirs")?,
    })
}

fn append_resolved(raw: &mut RawDocumentBuf, settled: &ResolvedConflict) {
    raw.append(cstr!("x"), date(settled.at));
    raw.append(cstr!("t"), settled.key.type_name.as_str());
    raw.append(cstr!("i"), settled.key.id.as_str());
    raw.append(cstr!("u"), settled.user.as_str());
    raw.append(cstr!("h"), binary(&settled.hash.0));
    raw.append(cstr!("o"), encode_outcome(&settled.outcome));
}

fn decode_resolved(raw: &RawDocument) -> Result<ResolvedConflict, CodecError> {
    let hash = optional_bytes(raw, "h")?.map(ResolutionHash);
    let outcome = document(raw, "o")?.ok_or(CodecError::Field("o"))?;
    Ok(ResolvedConflict {
        id: ConflictId::new(text(raw, "_id")?)?,
        key: document_key(raw)?,
        user: UserId::new(text(raw, "u")?)?,
        hash: hash.ok_or(CodecError::Field("h"))?,
        outcome: decode_outcome(outcome)?,
        at: instant(raw, "x")?,
    })
}

fn texts<'t>(texts: impl Iterator<Item = &'t str>) -> RawArrayBuf {
    let mut array = RawArrayBuf::new();
    texts.for_each(|text| array.push(text));
    array
}

fn text_list<'a>(
    raw: &'a RawDocument,
    name: &'static str,
) -> Result<impl Iterator<Item = Result<&'a str, CodecError>>, CodecError> {
    Ok(list(raw, name)?.map(move |element| element?.as_str().ok_or(CodecError::Field(name))))
}

fn append_body(
    raw: &mut RawDocumentBuf,
    name: &CStr,
    body: Option<&Document>,
) -> Result<(), CodecError> {
    if let Some(body) = body {
        raw.append(name, value::encode(body)?);
    }
    Ok(())
}

fn body(raw: &RawDocument, name: &'static str) -> Result<Option<Document>, CodecError> {
    document(raw, name)?.map(value::decode).transpose()
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::{btree_set, vec},
        option,
        prelude::*,
    };
    use tidegate_core::{
        id::{DocumentId, DocumentKey, TypeName},
        outcome::Status,
        push::RememberedOutcome,
        value::Timestamp,
    };

    use super::{super::value::tests::arbitrary_body, *};

    fn name() -> impl Strategy<Value = String> {
        "[^\\x00]{1,20}"
    }

    fn scope() -> impl Strategy<Value = Scope> {
        name().prop_map(|name| Scope::new(&name).unwrap())
    }

    fn key() -> impl Strategy<Value = DocumentKey> {
        (name(), name()).prop_map(|(type_name, id)| DocumentKey {
            type_name: TypeName::new(&type_name).unwrap(),
            id: DocumentId::new(&id).unwrap(),
        })
    }

    fn mine() -> impl Strategy<Value = ClientChange> {
        prop_oneof![
            arbitrary_body().prop_map(ClientChange::Created),
            arbitrary_body().prop_map(ClientChange::Changed),
            Just(ClientChange::Deleted),
        ]
    }

    fn at() -> impl Strategy<Value = Timestamp> {
        (-62_167_219_200_000_i64..=253_402_300_799_999)
            .prop_map(|ms| Timestamp::from_ms(ms).unwrap())
    }

    prop_compose! {
        fn open()(
            (id, key, scope, shown_in) in (name(), key(), scope(), btree_set(scope(), 0..3)),
            (opened_at, opened_by, client) in (at(), name(), option::of(name())),
            (mutation, version) in (option::of(any::<i32>()), any::<i32>()),
            (fields, enters, mine) in (vec(name(), 0..3), option::of(scope()), mine()),
            (base, theirs) in (option::of(arbitrary_body()), option::of(arbitrary_body())),
        ) -> InboxRecord {
            InboxRecord::Open(OpenConflict {
                id: ConflictId::new(&id).unwrap(),
                key,
                scope,
                shown_in,
                opened_at,
                opened_by: UserId::new(&opened_by).unwrap(),
                client: client.map(|client| ClientId::new(&client).unwrap()),
                mutation: mutation.map(MutationId),
                version: Version(version),
                pending: PendingConflict { fields, base, mine, enters },
                theirs,
            }.into())
        }
    }

    prop_compose! {
        fn settled()(
            (id, key, user) in (name(), key(), name()),
            (hash, at, version) in (any::<[u8; 32]>(), at(), option::of(any::<i32>())),
        ) -> InboxRecord {
            InboxRecord::Resolved(ResolvedConflict {
                id: ConflictId::new(&id).unwrap(),
                key,
                user: UserId::new(&user).unwrap(),
                hash: ResolutionHash(hash),
                outcome: RememberedOutcome {
                    status: Status::Applied,
                    version: version.map(Version),
                    error: None,
                    inbox: None,
                },
                at,
            }.into())
        }
    }

    proptest! {
        #[test]
        fn a_conflict_is_kept_as_it_was(
            record in prop_oneof![open(), settled()],
            (cut, flip) in (any::<prop::sample::Index>(), any::<u8>()),
        ) {
            let mut bytes = encode_record(&record).unwrap().into_bytes();
            prop_assert_eq!(decode_record(&bytes).unwrap(), record);
            let at = cut.index(bytes.len());
            prop_assert!(decode_record(&bytes[..at]).is_err());
            bytes[at] ^= flip;
            let _: Result<InboxRecord, CodecError> = decode_record(&bytes);
        }
    }
}
