//! What a transport sends back: data and errors as the GraphQL specification shapes them.

use async_graphql::Response;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::error::{Code, Failure};

/// The answer to one operation, or one event of a subscription.
#[derive(Debug)]
pub enum Answer {
    /// The operation was not executed: there are errors, and no `data` at all.
    Refused(Vec<Failure>),
    /// It was executed; fields may have failed.
    Executed(Box<Response>),
}

impl Answer {
    /// Why nothing was executed, if so.
    pub fn refusal(&self) -> Option<&[Failure]> {
        match self {
            Self::Refused(failures) => Some(failures),
            Self::Executed(_) => None,
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
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self)
            .expect("an answer holds only string keys and values JSON can write")
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        Self::Refused(vec![failure])
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Refused(failures) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("errors", failures)?;
                map.end()
            }
            Self::Executed(response) => response.serialize(serializer),
        }
    }
}
