//! The one place that words failures for clients: every code of `extensions.code`, and the failure for each inner
//! error. Inner details go to the log.
//!
//! Rejected changes are no failures but outcomes, and are worded where they are decided (`tidegate_core::change`).

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value as Json, json};
use tidegate_core::{id::NameError, membership::DECLINED_MAX, push::PushRefusal};

use super::request::{RequestError, RequestErrorKind};
use crate::{
    auth::{AuthError, TOKEN_BYTES_MAX},
    quota::Exhausted,
    sync::SyncError,
};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $meaning:literal;)*) => {
        /// The stable codes of failures.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code: its name, the HTTP status of an answer without data, and its meaning.
            pub const ALL: &'static [(Self, &'static str, u16, &'static str)] =
                &[$((Self::$variant, $name, $status, $meaning),)*];
        }
    };
}

codes! {
    BadRequest = "BAD_REQUEST", 400, "The request is not a GraphQL request: the body is no JSON object, or `query` is missing.";
    ParseFailed = "GRAPHQL_PARSE_FAILED", 400, "The document is not GraphQL.";
    ValidationFailed = "GRAPHQL_VALIDATION_FAILED", 400, "The document does not fit the schema.";
    BadUserInput = "BAD_USER_INPUT", 400, "A variable or an argument does not fit its type; the message names its path.";
    ClientTooOld = "CLIENT_TOO_OLD", 400, "The operation does not fit the API, and the app was made for an earlier one; the app has to be updated.";
    OperationResolution = "OPERATION_RESOLUTION_FAILURE", 400, "`operationName` is missing, or names no operation of the document.";
    QueryTooLarge = "QUERY_TOO_LARGE", 400, "The operation is beyond a limit: its size, depth, aliases, directives, fragments, lists or cost.";
    PersistedQueryNotFound = "PERSISTED_QUERY_NOT_FOUND", 400, "The gateway does not know the document of this hash; send it along once.";
    BadCheckpoint = "BAD_CHECKPOINT", 200, "`checkpoint` is not one of this gateway's; send it back exactly as it came, or leave it out to start again.";
    BadLimit = "BAD_LIMIT", 200, "`limit` or `first` is out of bounds; `extensions.max` says how much may be asked for.";
    NotIndexed = "NOT_INDEXED", 200, "No `@index` of the model serves the list; the message has the line to add.";
    IndexBuilding = "INDEX_BUILDING", 503, "An index that the list needs is being built, as after a change of the model; try again later.";
    PushTooLarge = "PUSH_TOO_LARGE", 200, "The push carries more changes than `extensions.max`; send it in parts.";
    EpochChanged = "EPOCH_CHANGED", 200, "The store's history is another one; pull (it resets), then push what is left under a new client id.";
    EpochRequired = "EPOCH_REQUIRED", 200, "A push with `firstMutationId` needs `epoch`, as the last page gave it.";
    MutationIdReused = "MUTATION_ID_REUSED", 200, "These mutation ids were used by another push; a retry must be the same push.";
    MutationIdGap = "MUTATION_ID_GAP", 200, "Mutation ids are missing; `extensions.expected` is the next one.";
    TooManyClients = "TOO_MANY_CLIENTS", 200, "As many clients of the user as may have pushed within the retention; push under a client id that is known.";
    MutationIdRange = "MUTATION_ID_RANGE", 200, "Mutation ids count from 1 to 2147483646; begin a new client id.";
    DeclinesFull = "DECLINES_FULL", 200, "The user would decline more than 1,000 givers; take some back first.";
    ConflictNotFound = "CONFLICT_NOT_FOUND", 200, "There is no such open conflict, or none you may resolve.";
    PolicyNotAllowed = "POLICY_NOT_ALLOWED", 200, "The model does not let clients choose this policy for a type of the push.";
    Unauthenticated = "UNAUTHENTICATED", 401, "There is no token, or it is not accepted.";
    Forbidden = "FORBIDDEN", 403, "The token is accepted but may not do this.";
    NotFound = "NOT_FOUND", 404, "There is nothing at this path.";
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 405, "This path does not take this method; mutations need POST.";
    NotAcceptable = "NOT_ACCEPTABLE", 406, "The client takes none of the forms the answer can have.";
    RequestTimeout = "REQUEST_TIMEOUT", 408, "The body took too long to arrive.";
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", 413, "The body is larger than the gateway takes.";
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", 415, "Operations come as `application/json`.";
    TooManyOperations = "TOO_MANY_OPERATIONS", 429, "The socket carries as many operations as it may; complete one, then begin the next.";
    TooManyConnections = "TOO_MANY_CONNECTIONS", 429, "The user holds as many connections as one may; close one, then connect again.";
    RateLimited = "RATE_LIMITED", 429, "The user sends more operations than one may; go on after `extensions.retryAfter` seconds.";
    Internal = "INTERNAL_SERVER_ERROR", 500, "The gateway failed; its log says how.";
    Unavailable = "SERVICE_UNAVAILABLE", 503, "The store cannot be reached or written now, the key server cannot be reached, or the app was made for an API that the gateway does not serve yet; the message says which. Try again.";
    Overloaded = "OVERLOADED", 503, "The gateway carries as many operations or connections as it may; try again in a moment.";
    DeadlineExceeded = "DEADLINE_EXCEEDED", 504, "The operation took too long. A push may have been applied: the same push sent again applies it once and says what became of it.";
}

impl Code {
    fn row(self) -> &'static (Self, &'static str, u16, &'static str) {
        Self::ALL
            .iter()
            .find(|row| row.0 == self)
            .expect("the table has a row for each code")
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The setting of the limit that only such a request is beyond, without `limits.`. The limits on queries count as
    /// one, `query`.
    fn limit(self) -> Option<&'static str> {
        match self {
            Self::QueryTooLarge => Some("query"),
            Self::BadLimit => Some("page_changes"),
            Self::PushTooLarge => Some("push_changes"),
            Self::TooManyClients => Some("user_clients"),
            Self::PayloadTooLarge => Some("body_bytes"),
            Self::TooManyConnections => Some("user_connections"),
            Self::DeadlineExceeded => Some("request_time"),
            _ => None,
        }
    }

    /// The HTTP status of an answer that has no data because of it.
    pub fn status(self) -> u16 {
        self.row().2
    }
}

/// A failure as clients see it.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientError {
    /// Its code.
    pub code: Code,
    /// What is wrong and what to do, in sentences.
    pub message: String,
    /// Lines and columns in the document.
    pub locations: Vec<(usize, usize)>,
    /// Further members of `extensions`.
    pub extensions: Map<String, Json>,
    /// The setting of the limit that the request is beyond, without `limits.`. Clients do not see it.
    pub(crate) limit: Option<&'static str>,
}

impl ClientError {
    /// A failure with only a code and a message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            locations: Vec::new(),
            extensions: Map::new(),
            limit: code.limit(),
        }
    }

    /// The same, beyond this limit.
    pub(crate) fn beyond(self, limit: &'static str) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// A value of the request that is out of bounds.
    pub(super) fn unusable(what: &str, error: &NameError) -> Self {
        let message = format!("`{what}` is not usable: {error}.");
        Self::new(Code::BadUserInput, message)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// As a resolver returns it.
    pub(super) fn into_error(self) -> async_graphql::Error {
        let mut error = async_graphql::Error::new(self.message);
        let mut extensions = async_graphql::ErrorExtensionValues::default();
        extensions.set("code", self.code.name());
        for (name, value) in self.extensions {
            extensions.set(
                name,
                async_graphql::Value::from_json(value).unwrap_or_default(),
            );
        }
        error.extensions = Some(extensions);
        error
    }
}

/// `{message, locations, extensions: {code, …}}`.
impl Serialize for ClientError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("message", &self.message)?;
        if !self.locations.is_empty() {
            let locations: Vec<Json> = self
                .locations
                .iter()
                .map(|(line, column)| json!({ "line": line, "column": column }))
                .collect();
            map.serialize_entry("locations", &locations)?;
        }
        let mut extensions = self.extensions.clone();
        extensions.insert("code".to_owned(), self.code.name().into());
        map.serialize_entry("extensions", &extensions)?;
        map.end()
    }
}

impl From<RequestError> for ClientError {
    fn from(refusal: RequestError) -> Self {
        let code = match refusal.kind {
            RequestErrorKind::Parse => Code::ParseFailed,
            RequestErrorKind::Validation => Code::ValidationFailed,
            RequestErrorKind::Variables => Code::BadUserInput,
            RequestErrorKind::OperationChoice => Code::OperationResolution,
            RequestErrorKind::Limit => Code::QueryTooLarge,
            RequestErrorKind::PersistedQueryNotFound => Code::PersistedQueryNotFound,
            RequestErrorKind::PersistedQueryMismatch => Code::BadRequest,
        };
        let failure = Self {
            locations: refusal.locations,
            ..Self::new(code, refusal.message)
        };
        match refusal.path {
            Some(path) => failure.with("inputPath", path),
            None => failure,
        }
    }
}

impl From<AuthError> for ClientError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self::new(
                Code::Unauthenticated,
                "No token came with the request; send `Authorization: Bearer <token>`.",
            ),
            AuthError::Refused => Self::new(
                Code::Unauthenticated,
                "The token is not accepted; it may have expired. Get a new one and try again.",
            ),
            AuthError::TooLong => Self::new(
                Code::Unauthenticated,
                format!("The token has more than {TOKEN_BYTES_MAX} bytes. Give many scopes by memberships (`@grants`), and not by claims."),
            )
            .with("max", TOKEN_BYTES_MAX),
            AuthError::KeysUnavailable => Self::new(
                Code::Unavailable,
                "The token cannot be verified now, because the key server cannot be reached. Try again.",
            ),
        }
    }
}

impl From<Exhausted> for ClientError {
    fn from(exhausted: Exhausted) -> Self {
        match exhausted {
            Exhausted::User => Self::new(
                Code::RateLimited,
                "The user's requests and answers hold as many bytes as they may; read the answers under way, then try again. If this was a push, send the same push again: it is applied once.",
            )
            .with("retryAfter", 1)
            .beyond("user_buffer_bytes"),
            Exhausted::All => Self::new(
                Code::Overloaded,
                "The requests and answers of all users hold as many bytes as they may. Try again in a moment. If this was a push, send the same push again: it is applied once.",
            )
            .beyond("buffer_bytes"),
        }
    }
}

impl From<SyncError> for ClientError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::ReadOnly(_) => Self::new(
                Code::Unavailable,
                "The store cannot be written now; nothing of this request was applied. Reading still works. Try again later.",
            ),
            SyncError::NotPermitted(_) => Self::new(
                Code::Unavailable,
                "The gateway lacks a right to its store, which its operator has to grant; nothing of this request was applied. Try again later.",
            ),
            SyncError::Unavailable(_) => Self::new(
                Code::Unavailable,
                "The store cannot be reached now. Try again in a moment.",
            ),
            SyncError::Internal(_) => {
                Self::new(Code::Internal, "The gateway failed; its log says how.")
            }
            SyncError::Busy => {
                Self::new(Code::Unavailable, "The store is busy. Try again in a moment.")
            }
            SyncError::Push(refusal) => refusal.into(),
            SyncError::Exhausted(exhausted) => exhausted.into(),
            SyncError::Crowded => Self::new(
                Code::Overloaded,
                "The application could not be asked about all changes of this push in time, and nothing was applied. Send the same push again: it asks for the rest.",
            )
            .with("retryAfter", 1)
            .beyond("webhooks.concurrency"),
            SyncError::PushTooLarge { changes, max } => Self::new(
                Code::PushTooLarge,
                format!("A push may carry {max} changes, and this one carries {changes}; send it in parts."),
            )
            .with("max", max),
            SyncError::Limit {
                argument,
                limit,
                max,
            } => {
                let message = format!("`{argument}` must be from 1 to {max}, and it is {limit}.");
                Self::new(Code::BadLimit, message).with("max", max)
            }
            SyncError::DeclinesFull => Self::new(
                Code::DeclinesFull,
                format!("You may decline {DECLINED_MAX} givers; take some back first."),
            )
            .with("max", DECLINED_MAX),
            SyncError::NotIndexed(reason) => Self::new(Code::NotIndexed, reason),
            SyncError::ListTooLarge(reason) => Self::new(Code::QueryTooLarge, reason),
            SyncError::IndexBuilding => Self::new(
                Code::IndexBuilding,
                "An index that this list needs is being built. Try again later.",
            ),
            SyncError::Cursor => Self::new(
                Code::BadUserInput,
                "`after` is no place in this list, or no longer: send a cursor back exactly as it came, with the same arguments, or leave it out to start again.",
            ),
            SyncError::Checkpoint(_) => Self::new(
                Code::BadCheckpoint,
                "`checkpoint` is not one of this gateway's. Send it back exactly as it came, or leave it out to start again.",
            ),
            SyncError::Grants(_) => {
                let message = "The token's claims open more scopes than one user may have; memberships (`@grants`) that are too many are left out instead.";
                Self::new(Code::Forbidden, message).beyond("user_scopes")
            }
            SyncError::Expired => Self::from(AuthError::Refused),
        }
    }
}

impl From<PushRefusal> for ClientError {
    fn from(refusal: PushRefusal) -> Self {
        let (code, message) = match &refusal {
            PushRefusal::EpochChanged { .. } => (
                Code::EpochChanged,
                "The store's epoch changed, and nothing was applied. Pull, which resets; then push what is left under a new client id with baseVersion -1.".to_owned(),
            ),
            PushRefusal::EpochRequired => (
                Code::EpochRequired,
                "A push with `firstMutationId` needs `epoch`; send the epoch of the last page.".to_owned(),
            ),
            PushRefusal::MutationIdReused => (
                Code::MutationIdReused,
                "These mutation ids were used by another push, and nothing was applied. A retry must send the same push.".to_owned(),
            ),
            PushRefusal::MutationIdGap { expected } => (
                Code::MutationIdGap,
                format!("Mutation ids are missing, and nothing was applied; the next one is {expected}."),
            ),
            PushRefusal::TooLarge { max } => (
                Code::PushTooLarge,
                format!("The documents of this push are so large that only {max} of its changes fit; send it in parts."),
            ),
            PushRefusal::MutationIdRange => (
                Code::MutationIdRange,
                "Mutation ids count from 1 to 2147483646; begin a new client id.".to_owned(),
            ),
            PushRefusal::TooManyClients { max } => (
                Code::TooManyClients,
                format!("{max} clients of this user have pushed within the retention, which is as many as may, and nothing was applied. Push under a client id that has pushed before; a new one has room again once the oldest are collected."),
            ),
            PushRefusal::ConflictNotFound => (
                Code::ConflictNotFound,
                "There is no such open conflict, or none you may resolve; it may have been resolved already.".to_owned(),
            ),
            PushRefusal::NeedsWebhook(_) => (
                Code::Unavailable,
                "The application could not be asked what becomes of a change. Try again in a moment.".to_owned(),
            ),
            PushRefusal::Held { type_name } => (
                Code::Unavailable,
                format!("The collection of {type_name} may have lost documents, and an operator has to say what became of them. Nothing was applied; try again later."),
            ),
            PushRefusal::OtherModel { type_name } => (
                Code::Unavailable,
                format!("This gateway has another model than the one in force, and may not decide about this {type_name} now. Nothing was applied; try again later."),
            ),
            PushRefusal::PolicyNotAllowed { type_name } => (
                Code::PolicyNotAllowed,
                format!("The model does not let clients choose this policy for {type_name}; leave `policy` out."),
            ),
        };
        let failure = Self::new(code, message);
        match refusal {
            PushRefusal::EpochChanged { epoch } => failure.with("epoch", epoch.as_str()),
            PushRefusal::MutationIdGap { expected } => failure.with("expected", expected.0),
            PushRefusal::TooLarge { max } => failure.with("max", max),
            _ => failure,
        }
    }
}
