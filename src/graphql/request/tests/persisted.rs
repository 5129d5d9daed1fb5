//! Documents by their hash: what is kept, what is not, and how much of it.

use std::num::NonZeroUsize;

use sha2::{Digest, Sha256};

use super::{super::persisted::QueryHash, *};

fn hash_of(query: &str) -> QueryHash {
    let digits: String = Sha256::digest(query)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    QueryHash::parse(&digits).unwrap()
}

/// The result of a request with this text, and the hash of that one.
fn ask(validator: &RequestValidator, text: &str, hashed: &str) -> Result<(), RequestErrorKind> {
    let request = RawRequest {
        hash: Some(hash_of(hashed)),
        ..raw(text, json!({}))
    };
    let validated = validator.validate(request).map(drop);
    validated.map_err(|refusals| refusals[0].kind)
}

const NOT_FOUND: Result<(), RequestErrorKind> = Err(RequestErrorKind::PersistedQueryNotFound);

#[test]
fn a_document_is_known_by_its_hash_once_it_came_along() {
    let validator = validator();
    let query = "{ echo }";
    assert_eq!(ask(&validator, "", query), NOT_FOUND);
    assert_eq!(ask(&validator, query, query), Ok(()));
    assert_eq!(ask(&validator, "", query), Ok(()));
    assert_eq!(
        ask(&validator, "{ echo(limit: 1) }", query),
        Err(RequestErrorKind::PersistedQueryMismatch)
    );
    assert_eq!(ask(&validator, "", query), Ok(()), "nothing took its place");
}

#[test]
fn what_does_not_pass_validation_is_not_kept() {
    let validator = validator();
    for bad in ["{ nothing }", "{"] {
        assert!(ask(&validator, bad, bad).is_err());
        assert_eq!(ask(&validator, "", bad), NOT_FOUND, "{bad}");
    }
}

#[test]
fn no_more_documents_are_kept_than_may_be() {
    let limits = Limits {
        cached_documents: NonZeroUsize::new(2).unwrap(),
        ..Limits::default()
    };
    let by_number = RequestValidator::new(&sdl(), within(limits)).unwrap();
    let limits = Limits {
        cached_bytes: 60,
        ..Limits::default()
    };
    let by_bytes = RequestValidator::new(&sdl(), within(limits)).unwrap();
    let queries = [1, 2, 3].map(|limit| format!("{{ echo(limit: {limit}) id: echo }}"));
    for validator in [by_number, by_bytes] {
        for query in &queries {
            assert_eq!(ask(&validator, query, query), Ok(()));
        }
        assert_eq!(
            ask(&validator, "", &queries[0]),
            NOT_FOUND,
            "the oldest is gone"
        );
        assert_eq!(ask(&validator, "", &queries[1]), Ok(()));
        assert_eq!(ask(&validator, "", &queries[2]), Ok(()));
    }
}
