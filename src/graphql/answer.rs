//! What a transport sends back: data and errors as the GraphQL specification shapes them.

use std::collections::BTreeMap;

use async_graphql::Response;

use super::error::{Code, Failure};

/// The answer to one operation, or one event of a subscription.
#[derive(Debug)]
pub enum Answer {
    /// The operation was not executed: there are errors, and no `data` at all.
    Refused(Vec<Failure>),
    /// It was executed; fields may have failed.
    Executed(Box<Response>),
    /// It was executed, and written down at once as JSON text.
    Written(Vec<u8>),
}

impl Answer {
    /// Why nothing was executed, if so.
    pub fn refusal(&self) -> Option<&[Failure]> {
        match self {
            Self::Refused(failures) => Some(failures),
            Self::Executed(_) | Self::Written(_) => None,
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
        let written = match self {
            Self::Refused(failures) => serde_json::to_vec(&BTreeMap::from([("errors", failures)])),
            Self::Executed(response) => serde_json::to_vec(&response),
            Self::Written(text) => Ok(text),
        };
        written.expect("an answer holds only string keys and values JSON can write")
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        Self::Refused(vec![failure])
    }
}
