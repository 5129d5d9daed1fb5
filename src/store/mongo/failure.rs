//! What went wrong in MongoDB, and what is to be made of it: repeat, put it down to a document, or give up.
//!
//! The numbers are those of MongoDB's `error_codes.yml`.

use mongodb::{
    bson::{Bson, Document},
    error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT},
};
use tidegate_core::id::DocumentKey;

use crate::store::{StoreError, codec::CodecError};

const WRITE_CONFLICT: i32 = 112;
const DUPLICATE_KEY: i32 = 11_000;
const DOCUMENT_VALIDATION: i32 = 121;
const OUT_OF_DISK_SPACE: i32 = 14_031;
const MAX_TIME_EXPIRED: i32 = 50;
/// The session or the operation was ended from outside, as gateways do to those that they take for dead.
const INTERRUPTED: i32 = 11_601;

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The driver or the server says so.
    Driver(Box<Error>),
    /// The answer did not come in time.
    Late,
    /// The server refused one statement of a batch.
    Statement(Box<StatementError>),
    /// Whether the transaction was committed is not known.
    Unknown(String),
    /// Nothing that trying again would help.
    Final(StoreError),
}

/// Why the server refused a statement.
#[derive(Debug)]
pub(super) struct StatementError {
    pub(super) code: i32,
    pub(super) message: String,
    /// The application's document it would have written, if it was one.
    pub(super) key: Option<DocumentKey>,
    /// The fields the rule speaks of, by their stored names.
    pub(super) fields: Vec<String>,
    /// Whether it would have changed what is there. Other updates may have to come first then.
    pub(super) is_of_update: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Driver(Box::new(error))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Final(error)
    }
}

/// What a commit does about a failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Another transaction wrote the same: run again.
    RepeatAfterConflict,
    /// It passes by itself: run again.
    Repeat,
    /// Say it.
    GiveUp,
}

impl Failure {
    pub(super) fn remedy(&self) -> Remedy {
        match self {
            Self::Late | Self::Unknown(_) => Remedy::Repeat,
            Self::Final(_) => Remedy::GiveUp,
            Self::Statement(error) if error.is_conflict() => Remedy::RepeatAfterConflict,
            Self::Statement(_) => Remedy::GiveUp,
            Self::Driver(error) if code(error) == Some(WRITE_CONFLICT) => {
                Remedy::RepeatAfterConflict
            }
            Self::Driver(error) if is_passing(error) => Remedy::Repeat,
            Self::Driver(_) => Remedy::GiveUp,
        }
    }

    /// Whether it may be because something is there that was taken for absent: a duplicate key, or what is refused for good.
    pub(super) fn may_be_of_presence(&self) -> bool {
        let duplicate = matches!(self, Self::Statement(error) if error.code == DUPLICATE_KEY);
        duplicate || self.remedy() == Remedy::GiveUp
    }

    /// What became of a commit that failed like this: it may have happened unless the server itself says that it did not.
    pub(super) fn of_commit(self) -> Self {
        match &self {
            Self::Driver(error) if is_aborted(error) => self,
            Self::Driver(error) => Self::Unknown(error.kind.to_string()),
            Self::Late => Self::Unknown("the commit was not answered in time".to_owned()),
            _ => self,
        }
    }

    /// The application's document that a rule of the database's own refuses, with the fields the rule speaks of.
    pub(super) fn refused(&self) -> Option<(&DocumentKey, &StatementError)> {
        match self {
            Self::Statement(error) if error.is_refusal() => Some((error.key.as_ref()?, error)),
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

impl StatementError {
    /// Reads the first error of a reply to a batch.
    pub(super) fn of(error: &Document, key: Option<DocumentKey>) -> Self {
        let info = error.get_document("errInfo").ok();
        let pattern = error.get_document("keyPattern").ok();
        let unique = pattern.into_iter().flat_map(Document::keys);
        let mut fields: Vec<String> = unique.map(|path| top(path)).collect();
        if let Some(info) = info {
            collect_properties(&Bson::Document(info.clone()), &mut fields);
        }
        Self {
            code: error.get_i32("code").unwrap_or_default(),
            message: error.get_str("errmsg").unwrap_or_default().to_owned(),
            key,
            fields,
            is_of_update: false,
        }
    }

    /// A duplicate of one of Tidegate's own keys, or of a document's id, means that somebody wrote it meanwhile: the
    /// next attempt sees it. A unique index over other fields stays as it is.
    fn is_conflict(&self) -> bool {
        let own = self.key.is_none() || self.fields.iter().all(|field| field == "_id");
        self.code == WRITE_CONFLICT || (self.code == DUPLICATE_KEY && own)
    }

    /// Whatever else the server has against an application's document — a validator, 16 MiB with what others keep in
    /// it, a shard key — it will have against it the next time too.
    fn is_refusal(&self) -> bool {
        self.key.is_some() && !self.is_conflict()
    }

    pub(super) fn is_validation(&self) -> bool {
        self.code == DOCUMENT_VALIDATION
    }

    /// Whether another document had the value that only one may have, and may yet give it up.
    pub(super) fn is_too_early(&self) -> bool {
        self.is_of_update && self.is_unique()
    }

    pub(super) fn is_unique(&self) -> bool {
        self.code == DUPLICATE_KEY && !self.is_conflict()
    }
}

/// The field a path begins in.
fn top(path: &str) -> String {
    path.split('.').next().unwrap_or(path).to_owned()
}

/// The properties that a validator's `errInfo` names: those of the outermost level, whose rules were not satisfied.
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

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Final(error) => error,
            Failure::Late => Self::Unavailable("MongoDB did not answer in time".to_owned()),
            Failure::Unknown(reason) => {
                Self::Unavailable(format!("{reason}; whether it was written is not known"))
            }
            Failure::Driver(error) if code(&error) == Some(OUT_OF_DISK_SPACE) => {
                Self::NotWritable(error.kind.to_string())
            }
            // What the server answered in full would fill the log with bytes.
            Failure::Driver(error) => Self::Unavailable(error.kind.to_string()),
            Failure::Statement(error) => {
                Self::Undecided(format!("{} (code {})", error.message, error.code))
            }
        }
    }
}

impl From<CodecError> for Failure {
    fn from(error: CodecError) -> Self {
        Self::Final(StoreError::Corrupt(error.to_string()))
    }
}

impl From<mongodb::bson::error::Error> for Failure {
    fn from(error: mongodb::bson::error::Error) -> Self {
        CodecError::from(error).into()
    }
}
