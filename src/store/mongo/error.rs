//! Failures of MongoDB, and the reaction to each: repeat, refuse a document, or give up.
//!
//! The numbers are those of MongoDB's `error_codes.yml`. [`refusal`] words the reason for a refused change, and
//! [`mod@loggable`] says what a log may contain.

mod loggable;
mod refusal;

use mongodb::{
    bson::{Bson, Document},
    error::{
        Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT,
        WriteFailure,
    },
};
use tidegate_core::id::DocumentKey;

pub(super) use self::{loggable::loggable, refusal::is_of_collection};
use super::write::StatementKind;
use crate::store::{StoreError, codec::CodecError, collections::FollowError};

const WRITE_CONFLICT: i32 = 112;
pub(super) const DUPLICATE_KEY: i32 = 11_000;
/// The user may not run the command.
pub(super) const UNAUTHORIZED: i32 = 13;
/// The database or the collection does not exist.
pub(super) const NAMESPACE_NOT_FOUND: i32 = 26;
/// What is read is younger than the snapshot.
pub(super) const SNAPSHOT_UNAVAILABLE: i32 = 246;
const OUT_OF_DISK_SPACE: i32 = 14_031;
/// `setUserWriteBlockMode`.
const USER_WRITES_BLOCKED: i32 = 371;
/// Hosted services refuse writes with this code, for example beyond a quota.
const ATLAS: i32 = 8_000;
/// The codes of a server that shuts down, steps down or is no primary any more.
const OF_PASSING_SERVERS: [i32; 9] = [24, 91, 189, 10_058, 10_107, 11_600, 11_602, 13_435, 13_436];
const MAX_TIME_EXPIRED: i32 = 50;
/// The session or the operation was ended from outside. Gateways do that to gateways that they consider dead.
const INTERRUPTED: i32 = 11_601;

/// Why a call failed.
pub(super) enum MongoError {
    /// The driver or the server reports it.
    Driver(Box<Error>),
    /// The answer did not come in time.
    Late,
    /// The server refused one statement of a batch.
    Statement(Box<StatementError>),
    /// The outcome of the transaction is unknown.
    Unknown(String),
    /// Trying again does not help.
    Final(StoreError),
}

/// Why the server refused a statement.
pub(super) struct StatementError {
    pub(super) code: i32,
    /// The kind of the statement.
    pub(super) verb: StatementKind,
    /// The application's documents that cannot be written for this reason: one, or all of a batch whose collection
    /// takes none. Empty if the statement was on one of Tidegate's collections.
    pub(super) keys: Vec<DocumentKey>,
    /// The fields of the rule that was broken, by their stored names.
    pub(super) fields: Vec<String>,
    /// The keys of the index that was broken.
    pub(super) index: Vec<String>,
}

impl From<Error> for MongoError {
    fn from(error: Error) -> Self {
        Self::Driver(Box::new(error))
    }
}

impl From<StoreError> for MongoError {
    fn from(error: StoreError) -> Self {
        Self::Final(error)
    }
}

/// What a commit does about a failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RetryAction {
    /// Another transaction wrote the same data: run again.
    RepeatAfterConflict,
    /// The failure is transient: run again.
    Repeat,
    /// Report it.
    GiveUp,
}

impl MongoError {
    pub(super) fn remedy(&self) -> RetryAction {
        match self {
            Self::Late | Self::Unknown(_) => RetryAction::Repeat,
            Self::Final(_) => RetryAction::GiveUp,
            Self::Statement(error) if error.is_conflict() => RetryAction::RepeatAfterConflict,
            Self::Statement(error) if is_passing_code(error.code) => RetryAction::Repeat,
            Self::Statement(_) => RetryAction::GiveUp,
            Self::Driver(error) if code(error) == Some(WRITE_CONFLICT) => {
                RetryAction::RepeatAfterConflict
            }
            Self::Driver(error) if is_passing(error) => RetryAction::Repeat,
            Self::Driver(_) => RetryAction::GiveUp,
        }
    }

    /// Whether the cause may be that a document taken for absent exists: a duplicate key, or any refusal for good.
    pub(super) fn may_be_duplicate_insert(&self) -> bool {
        self.is_duplicate_insert() || self.remedy() == RetryAction::GiveUp
    }

    /// Whether another transaction has inserted the same document.
    pub(super) fn is_duplicate_insert(&self) -> bool {
        match self {
            Self::Driver(error) => code(error) == Some(DUPLICATE_KEY),
            Self::Statement(error) => error.code == DUPLICATE_KEY,
            _ => false,
        }
    }

    /// Whether the server refuses a command, and not because it shuts down, is no primary any more, or is busy.
    pub(super) fn is_refused_command(&self) -> bool {
        match self {
            Self::Driver(error) => {
                let refused = code(error).is_some_and(|code| !is_passing_code(code));
                refused && !is_passing(error)
            }
            _ => false,
        }
    }

    /// Whether a call took longer than it may.
    pub(super) fn is_out_of_time(&self) -> bool {
        match self {
            Self::Late => true,
            Self::Driver(error) => code(error) == Some(MAX_TIME_EXPIRED),
            _ => false,
        }
    }

    /// The failure of a commit. It may have happened unless the server itself reports that it did not.
    pub(super) fn after_commit(self) -> Self {
        match &self {
            Self::Driver(error) if is_aborted(error) => self,
            Self::Driver(error) => Self::Unknown(loggable(error)),
            Self::Late => Self::Unknown("the commit was not answered in time".to_owned()),
            _ => self,
        }
    }

    /// The statement about the application's documents that rules of the database refuse.
    pub(super) fn refused(&self) -> Option<&StatementError> {
        match self {
            Self::Statement(error) if error.is_refusal() => Some(error),
            _ => None,
        }
    }
}

fn is_passing(error: &Error) -> bool {
    error.contains_label(TRANSIENT_TRANSACTION_ERROR) || is_network(error) || is_broken_off(error)
}

fn is_network(error: &Error) -> bool {
    matches!(
        *error.kind,
        ErrorKind::Io(_)
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::ServerSelection { .. }
    )
}

fn is_broken_off(error: &Error) -> bool {
    matches!(code(error), Some(MAX_TIME_EXPIRED | INTERRUPTED))
}

fn is_passing_code(code: i32) -> bool {
    matches!(code, MAX_TIME_EXPIRED | INTERRUPTED) || OF_PASSING_SERVERS.contains(&code)
}

/// What the operator has to repair, if the code says so. No change is to blame for it.
fn of_operator(code: i32) -> Option<StoreError> {
    let reason = match code {
        UNAUTHORIZED => {
            let reason = "it may not read or write a collection (code 13)";
            return Some(StoreError::NotPermitted(reason.to_owned()));
        }
        OUT_OF_DISK_SPACE => "MongoDB has no room on its disk",
        USER_WRITES_BLOCKED => "MongoDB blocks the writes of users (setUserWriteBlockMode)",
        ATLAS => "the service that hosts MongoDB refuses writes (code 8000), as beyond a quota",
        _ => return None,
    };
    Some(StoreError::NotWritable(reason.to_owned()))
}

fn is_aborted(error: &Error) -> bool {
    code(error).is_some()
        && !is_broken_off(error)
        && !error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT)
}

/// The server's code, where it gave one.
pub(super) fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(error) => Some(error.code),
        _ => None,
    }
}

/// The same, also where the server refuses a write alone.
fn refusal_code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        _ => code(error),
    }
}

/// Whether the server refuses the name and the password. Operations that wait for a connection get that only in a message.
fn is_refused_user(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Authentication { .. } => true,
        ErrorKind::ConnectionPoolCleared { message, .. }
        | ErrorKind::ServerSelection { message, .. } => {
            message.contains("failure: Authentication failed")
        }
        _ => false,
    }
}

impl StatementError {
    /// Reads the first error of a reply to a batch.
    pub(super) fn of(error: &Document, verb: StatementKind, keys: Vec<DocumentKey>) -> Self {
        let info = error.get_document("errInfo").ok();
        let pattern = error.get_document("keyPattern").ok();
        let unique = pattern.into_iter().flat_map(Document::keys);
        let index: Vec<String> = unique.cloned().collect();
        let mut fields: Vec<String> = index.iter().map(|path| top(path)).collect();
        if let Some(info) = info {
            collect_properties(&Bson::Document(info.clone()), &mut fields);
        }
        Self {
            code: error.get_i32("code").unwrap_or_default(),
            verb,
            keys,
            fields,
            index,
        }
    }

    /// A duplicate of one of Tidegate's own keys means that another transaction wrote it meanwhile; the next attempt
    /// sees it. A duplicate id of the application is no such case: a document that was not found and is then written by
    /// two causes a write conflict.
    fn is_conflict(&self) -> bool {
        let own = self.keys.is_empty();
        self.code == WRITE_CONFLICT || (self.code == DUPLICATE_KEY && own)
    }

    /// Any other objection to an application's document, such as a validator, 16 MiB together with others' content, or
    /// a shard key, will be raised the next time too.
    fn is_refusal(&self) -> bool {
        let of_document = !self.keys.is_empty() && !self.is_conflict();
        of_document && !is_passing_code(self.code) && of_operator(self.code).is_none()
    }

    /// The keys of the index of the feed that says that a value is unique, if that is broken.
    pub(super) fn unique_values(&self) -> Option<&[String]> {
        let is_of_body = |path: &String| path.starts_with("b.");
        let is_broken = self.keys.is_empty() && self.code == DUPLICATE_KEY;
        (is_broken && self.index.iter().any(is_of_body)).then_some(&*self.index)
    }

    /// Whether a document exists whose id is the same, or equal under the collation.
    pub(super) fn is_of_id(&self) -> bool {
        self.code == DUPLICATE_KEY && self.fields.iter().any(|field| field == "_id")
    }

    /// Whether another document had a unique value that a later write may release.
    pub(super) fn is_unique_order(&self) -> bool {
        self.verb == StatementKind::Update && self.code == DUPLICATE_KEY
    }
}

/// The first field of a path.
fn top(path: &str) -> String {
    path.split('.').next().unwrap_or(path).to_owned()
}

/// The properties that a validator's `errInfo` names: those of the outermost level whose rules were not satisfied.
fn collect_properties(info: &Bson, fields: &mut Vec<String>) {
    match info {
        Bson::Document(document) => {
            let name = document.get_str("propertyName");
            let missing = document.get_array("missingProperties");
            fields.extend(name.as_ref().map(|name| (*name).to_owned()));
            fields.extend(
                missing
                    .into_iter()
                    .flatten()
                    .filter_map(Bson::as_str)
                    .map(str::to_owned),
            );
            if name.is_err() {
                document
                    .values()
                    .for_each(|value| collect_properties(value, fields));
            }
        }
        Bson::Array(items) => items
            .iter()
            .for_each(|item| collect_properties(item, fields)),
        _ => {}
    }
}

impl From<MongoError> for StoreError {
    fn from(failure: MongoError) -> Self {
        match failure {
            MongoError::Final(error) => error,
            MongoError::Late => Self::Unavailable("MongoDB did not answer in time".to_owned()),
            MongoError::Unknown(reason) => {
                Self::Unavailable(format!("{reason}; whether it was written is not known"))
            }
            MongoError::Driver(error) if is_refused_user(&error) => {
                Self::NotPermitted("MongoDB no longer takes its name and password".to_owned())
            }
            MongoError::Driver(error) => refusal_code(&error)
                .and_then(of_operator)
                .unwrap_or_else(|| Self::Unavailable(loggable(&error))),
            MongoError::Statement(error) => of_operator(error.code).unwrap_or_else(|| {
                Self::DecisionFailed(format!("MongoDB refuses it (code {})", error.code))
            }),
        }
    }
}

impl From<MongoError> for FollowError {
    fn from(failure: MongoError) -> Self {
        Self::Store(failure.into())
    }
}

impl From<CodecError> for MongoError {
    fn from(error: CodecError) -> Self {
        Self::Final(StoreError::Corrupt(error.to_string()))
    }
}

impl From<mongodb::bson::error::Error> for MongoError {
    fn from(error: mongodb::bson::error::Error) -> Self {
        CodecError::from(error).into()
    }
}
