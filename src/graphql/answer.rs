//! What a transport sends back: data and errors in the form of the GraphQL specification.

use std::collections::BTreeMap;

use super::error::{ClientError, Code};

/// The answer to one operation, or one event of a subscription.
#[derive(Debug)]
pub enum Answer {
    /// The operation was not executed: there are errors, and no `data`.
    Refused(Vec<ClientError>),
    /// It was executed, and this is its JSON text. Fields may have failed.
    Written(Vec<u8>),
}

impl Answer {
    /// Why nothing was executed, if so.
    pub fn refusal(&self) -> Option<&[ClientError]> {
        match self {
            Self::Refused(failures) => Some(failures),
            Self::Written(_) => None,
        }
    }

    /// The code of the first failure of an operation that was not executed.
    pub fn refusal_code(&self) -> Option<Code> {
        self.refusal().map(|failures| {
            failures
                .first()
                .map_or(Code::Internal, |failure| failure.code)
        })
    }

    /// As JSON text.
    pub fn into_json(self) -> Vec<u8> {
        match self {
            Self::Refused(failures) => serde_json::to_vec(&BTreeMap::from([("errors", failures)]))
                .expect("a failure has string keys and values that JSON can write"),
            Self::Written(text) => text,
        }
    }
}

impl From<ClientError> for Answer {
    fn from(failure: ClientError) -> Self {
        Self::Refused(vec![failure])
    }
}
