//! Statements of one kind on one collection, as one command, and the server's answer to them.
//!
//! The content of the statements and the order of the batches are not known here.

use mongodb::{
    ClientSession,
    bson::{Bson, Document, RawArrayBuf, RawDocumentBuf, rawdoc},
    error::Error,
};
use tidegate_core::id::DocumentKey;

use crate::store::{
    StoreError,
    mongo::{
        MongoContext,
        error::{MongoError, StatementError, code, is_of_collection},
    },
};

/// The statements of a command have at most so many bytes, plus one more statement. MongoDB takes 16 MiB, and no
/// statement comes near the rest.
const BYTES_MAX: usize = 6 << 20;

/// The most statements of a command.
const STATEMENTS_MAX: usize = 10_000;

/// The kinds in the order in which the application's documents are written: one document releases a unique value before
/// another takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store::mongo) enum StatementKind {
    Delete,
    /// An update of all documents that match, or none.
    Move,
    Update,
    Insert,
}

/// Statements of one kind on one collection.
pub(super) struct Batch {
    verb: StatementKind,
    collection: String,
    statements: Vec<Statement>,
    bytes: usize,
}

pub(super) struct Statement {
    pub(super) raw: RawDocumentBuf,
    /// The application's document it writes.
    pub(super) key: Option<DocumentKey>,
}

impl Batch {
    pub(super) fn new(verb: StatementKind, collection: &str, statement: Statement) -> Self {
        Self {
            verb,
            collection: collection.to_owned(),
            bytes: statement.raw.as_bytes().len(),
            statements: vec![statement],
        }
    }

    /// Whether the batch has room for a statement of this kind on this collection.
    pub(super) fn has_room(&self, verb: StatementKind, collection: &str) -> bool {
        self.verb == verb
            && self.collection == collection
            && self.bytes < BYTES_MAX
            && self.statements.len() < STATEMENTS_MAX
    }

    pub(super) fn push(&mut self, statement: Statement) {
        self.bytes += statement.raw.as_bytes().len();
        self.statements.push(statement);
    }

    pub(super) fn into_parts(self) -> (StatementKind, String, Vec<Statement>) {
        (self.verb, self.collection, self.statements)
    }

    /// Sends the batch. The first refused statement ends the transaction.
    pub(super) async fn send(
        &self,
        context: &MongoContext,
        session: &mut ClientSession,
    ) -> Result<(), MongoError> {
        let mut statements = RawArrayBuf::new();
        for statement in &self.statements {
            statements.push(statement.raw.as_ref());
        }
        let command = match self.verb {
            StatementKind::Insert => {
                rawdoc! { "insert": self.collection.as_str(), "documents": statements }
            }
            StatementKind::Move | StatementKind::Update => {
                rawdoc! { "update": self.collection.as_str(), "updates": statements }
            }
            StatementKind::Delete => {
                rawdoc! { "delete": self.collection.as_str(), "deletes": statements }
            }
        };
        let run = context.database.run_raw_command(command).session(session);
        match context.in_time(run).await {
            Err(MongoError::Driver(error)) => Err(self.of_command(error)),
            reply => self.check(&reply?),
        }
    }

    /// Some collections refuse the command as a whole: no document of the batch can be written there.
    fn of_command(&self, error: Box<Error>) -> MongoError {
        let keys = self.keys();
        match code(&error).filter(|code| is_of_collection(*code)) {
            Some(code) if !keys.is_empty() => MongoError::Statement(Box::new(StatementError {
                code,
                verb: self.verb,
                keys,
                fields: Vec::new(),
                index: Vec::new(),
            })),
            _ => MongoError::Driver(error),
        }
    }

    /// The application's documents it writes.
    fn keys(&self) -> Vec<DocumentKey> {
        let keys = self.statements.iter();
        keys.filter_map(|statement| statement.key.clone()).collect()
    }

    /// The driver treats a reply with refused statements as a success.
    fn check(&self, reply: &Document) -> Result<(), MongoError> {
        let errors = reply.get_array("writeErrors").ok();
        if let Some(error) = errors.and_then(|errors| errors.first()?.as_document()) {
            return Err(MongoError::Statement(Box::new(self.refused(error))));
        }
        let written = reply.get("n").and_then(Bson::as_i32).unwrap_or_default();
        let expected = i32::try_from(self.statements.len()).unwrap_or(i32::MAX);
        if matches!(self.verb, StatementKind::Delete | StatementKind::Move) || written == expected {
            return Ok(());
        }
        Err(MongoError::Final(StoreError::Corrupt(format!(
            "{} holds {written} of {expected} documents that were read in the same transaction",
            self.collection
        ))))
    }

    fn refused(&self, error: &Document) -> StatementError {
        if error.get_i32("code").is_ok_and(is_of_collection) {
            return StatementError::of(error, self.verb, self.keys());
        }
        let index = error.get_i32("index").ok();
        let statement = index.and_then(|index| self.statements.get(usize::try_from(index).ok()?));
        let key = statement.and_then(|statement| statement.key.clone());
        StatementError::of(error, self.verb, key.into_iter().collect())
    }
}
