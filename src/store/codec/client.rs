//! What is kept of a client, as BSON.
//!
//! Its size depends on the client's last push only. The core's `push` module says what it means.

use bson::{RawArrayBuf, RawDocument, RawDocumentBuf, raw::cstr};
use tidegate_core::{
    change::{Rejection, RejectionCode},
    id::{ApiHash, ConflictId, MutationId, Version},
    outcome::Status,
    push::{ClientState, PushHash, RememberedOutcome},
    value::Timestamp,
};

use super::{
    CodecError, binary, date, document, instant, int, list, optional_bytes, optional_int,
    optional_text, text,
};

/// Each status and how it is stored.
const STATUSES: [(Status, &str); 4] = [
    (Status::Applied, "A"),
    (Status::Merged, "M"),
    (Status::Conflict, "C"),
    (Status::Rejected, "R"),
];

/// Writes a client's state.
pub(crate) fn encode_client(state: &ClientState) -> Vec<u8> {
    let mut raw = RawDocumentBuf::new();
    raw.append(cstr!("l"), state.last.0);
    raw.append(cstr!("f"), state.first.0);
    raw.append(cstr!("h"), binary(&state.hash.0));
    let mut outcomes = RawArrayBuf::new();
    for outcome in &state.outcomes {
        outcomes.push(encode_outcome(outcome));
    }
    raw.append(cstr!("o"), outcomes);
    if let Some(at) = state.at {
        raw.append(cstr!("x"), date(at));
    }
    if let Some(ApiHash(hash)) = state.api {
        raw.append(cstr!("a"), binary(&hash));
    }
    raw.into_bytes()
}

/// Reads what [`encode_client`] wrote.
///
/// # Errors
/// [`CodecError`] when the bytes are not of that form.
pub(crate) fn decode_client(bytes: &[u8]) -> Result<ClientState, CodecError> {
    let raw = RawDocument::from_bytes(bytes)?;
    let outcomes = list(raw, "o")?.map(|element| {
        let outcome = element?.as_document().ok_or(CodecError::Field("o"))?;
        decode_outcome(outcome)
    });
    Ok(ClientState {
        last: MutationId(int(raw, "l")?),
        first: MutationId(int(raw, "f")?),
        hash: PushHash(optional_bytes(raw, "h")?.ok_or(CodecError::Field("h"))?),
        outcomes: outcomes.collect::<Result<_, CodecError>>()?,
        at: pushed_at(raw)?,
        api: api(raw)?,
    })
}

/// The API that the client's app was made for, of a client's state.
///
/// # Errors
/// [`CodecError`] when the bytes are not of that form.
pub(crate) fn decode_api(bytes: &[u8]) -> Result<Option<ApiHash>, CodecError> {
    api(RawDocument::from_bytes(bytes)?)
}

/// Gateways of earlier versions stored none.
fn api(raw: &RawDocument) -> Result<Option<ApiHash>, CodecError> {
    Ok(optional_bytes(raw, "a")?.map(ApiHash))
}

/// The last id of a client's state.
///
/// # Errors
/// [`CodecError`] when the bytes are not of that form.
pub(crate) fn decode_last(bytes: &[u8]) -> Result<MutationId, CodecError> {
    Ok(MutationId(int(RawDocument::from_bytes(bytes)?, "l")?))
}

fn pushed_at(raw: &RawDocument) -> Result<Option<Timestamp>, CodecError> {
    match raw.get("x")? {
        Some(_) => instant(raw, "x").map(Some),
        None => Ok(None),
    }
}

pub(super) fn encode_outcome(outcome: &RememberedOutcome) -> RawDocumentBuf {
    let mut raw = RawDocumentBuf::new();
    let status = STATUSES
        .iter()
        .find(|(status, _)| *status == outcome.status);
    let (_, letter) = status.expect("STATUSES lists every status");
    raw.append(cstr!("s"), *letter);
    if let Some(version) = outcome.version {
        raw.append(cstr!("v"), version.0);
    }
    if let Some(error) = &outcome.error {
        raw.append(cstr!("e"), encode_rejection(error));
    }
    if let Some(conflict) = &outcome.inbox {
        raw.append(cstr!("k"), conflict.as_str());
    }
    raw
}

pub(super) fn decode_outcome(raw: &RawDocument) -> Result<RememberedOutcome, CodecError> {
    let letter = text(raw, "s")?;
    let status = STATUSES.iter().find(|(_, stored)| *stored == letter);
    let (status, _) = status.ok_or(CodecError::Field("s"))?;
    Ok(RememberedOutcome {
        status: *status,
        version: optional_int(raw, "v")?.map(Version),
        error: document(raw, "e")?.map(decode_rejection).transpose()?,
        inbox: optional_text(raw, "k")?.map(ConflictId::new).transpose()?,
    })
}

fn encode_rejection(rejection: &Rejection) -> RawDocumentBuf {
    let mut raw = RawDocumentBuf::new();
    raw.append(cstr!("c"), rejection.code.name());
    raw.append(cstr!("m"), rejection.message.as_str());
    if let Some(field) = &rejection.field {
        raw.append(cstr!("f"), field.as_str());
    }
    raw
}

fn decode_rejection(raw: &RawDocument) -> Result<Rejection, CodecError> {
    let name = text(raw, "c")?;
    let code = RejectionCode::ALL
        .iter()
        .find(|(_, stored, _)| *stored == name);
    let (code, ..) = code.ok_or(CodecError::Field("c"))?;
    Ok(Rejection {
        code: *code,
        message: text(raw, "m")?.to_owned(),
        field: optional_text(raw, "f")?.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*, sample::select};

    use super::*;

    fn outcomes() -> impl Strategy<Value = RememberedOutcome> {
        let statuses = select(&STATUSES[..]).prop_map(|(status, _)| status);
        let versions = option::of(any::<i32>().prop_map(Version));
        let codes = select(&RejectionCode::ALL[..]).prop_map(|(code, ..)| code);
        let errors = (codes, any::<String>(), option::of(any::<String>())).prop_map(
            |(code, message, field)| Rejection {
                code,
                message,
                field,
            },
        );
        let conflicts = option::of("[0-9a-f]{32}");
        (statuses, versions, option::of(errors), conflicts).prop_map(
            |(status, version, error, inbox)| RememberedOutcome {
                status,
                version,
                error,
                inbox: inbox.map(|id| ConflictId::new(&id).unwrap()),
            },
        )
    }

    proptest! {
        #[test]
        fn a_client_is_remembered_as_it_was(
            (last, first) in (any::<i32>(), any::<i32>()),
            hash in any::<[u8; 32]>(),
            outcomes in vec(outcomes(), 0..5),
            at in option::of(any::<u32>()),
            api in option::of(any::<[u8; 16]>().prop_map(ApiHash)),
            (cut, flip) in (any::<prop::sample::Index>(), any::<u8>()),
        ) {
            let state = ClientState {
                last: MutationId(last),
                first: MutationId(first),
                hash: PushHash(hash),
                outcomes,
                at: at.map(|ms| Timestamp::from_ms(ms.into()).unwrap()),
                api,
            };
            let mut bytes = encode_client(&state);
            prop_assert_eq!(decode_client(&bytes).unwrap(), state);
            let at = cut.index(bytes.len());
            prop_assert!(decode_client(&bytes[..at]).is_err());
            bytes[at] ^= flip;
            let _: Result<ClientState, CodecError> = decode_client(&bytes);
        }
    }

    #[test]
    fn every_status_and_every_code_comes_back() {
        let rejected = RejectionCode::ALL
            .iter()
            .map(|(code, ..)| RememberedOutcome {
                status: Status::Rejected,
                version: None,
                error: Some(Rejection::of_field(*code, "lines[2].price", "no")),
                inbox: None,
            });
        let reported = STATUSES.iter().map(|(status, _)| RememberedOutcome {
            status: *status,
            version: Some(Version(i32::MAX)),
            error: None,
            inbox: None,
        });
        let state = ClientState {
            last: MutationId(i32::MAX),
            first: MutationId(1),
            hash: PushHash([7; 32]),
            outcomes: rejected.chain(reported).collect(),
            at: None,
            api: None,
        };
        assert_eq!(decode_client(&encode_client(&state)).unwrap(), state);
    }
}
