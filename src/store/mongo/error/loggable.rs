//! What a log may contain of the driver's errors: kinds, codes and names. The server's messages are left out, since
//! they hold values of documents, commands and session ids.

use std::fmt;

use mongodb::error::{Error, ErrorKind, WriteFailure};

use super::{MongoError, StatementError};

/// An error in words that a log may contain.
pub(in crate::store::mongo) fn loggable(error: &Error) -> String {
    let by_code = |code: i32, name: &str| match name {
        "" => format!("MongoDB answers code {code}"),
        _ => format!("MongoDB answers code {code} ({name})"),
    };
    match &*error.kind {
        ErrorKind::Command(error) => by_code(error.code, &error.code_name),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => {
            by_code(error.code, &error.code_name)
        }
        ErrorKind::Write(WriteFailure::WriteError(error)) => by_code(error.code, ""),
        // The words of the system, of TLS and of the driver, which hold no documents.
        ErrorKind::Io(error) => error.to_string(),
        ErrorKind::ServerSelection { message, .. } => message.clone(),
        ErrorKind::Authentication { .. } => "MongoDB refuses the user".to_owned(),
        other => format!("the driver fails with {}", variant(other)),
    }
}

/// The name of a variant, without its content.
fn variant(kind: &impl fmt::Debug) -> String {
    let shown = format!("{kind:?}");
    let name = shown.split(|c: char| !c.is_ascii_alphanumeric());
    name.take(1).collect()
}

/// Leaves out the server's answer.
impl fmt::Debug for MongoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver(error) => write!(f, "{}", loggable(error)),
            Self::Late => write!(f, "MongoDB did not answer in time"),
            Self::Statement(error) => error.fmt(f),
            Self::Unknown(reason) => write!(f, "{reason}; whether it was written is not known"),
            Self::Final(error) => write!(f, "{error}"),
        }
    }
}

/// Leaves out the documents.
impl fmt::Debug for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MongoDB refuses a statement (code {})", self.code)
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;
    use tidegate_core::id::{DocumentId, DocumentKey, TypeName};

    use super::{super::StatementKind, *};

    const SECRET: &str = "of nobody's business";

    #[test]
    fn an_error_is_logged_by_its_kind_and_code_without_values() {
        let command = doc! { "code": 11_000, "codeName": "DuplicateKey", "errmsg": SECRET };
        let command: mongodb::error::CommandError =
            mongodb::bson::deserialize_from_document(command).unwrap();
        let error = Error::from(ErrorKind::Command(command));
        assert_eq!(
            loggable(&error),
            "MongoDB answers code 11000 (DuplicateKey)"
        );
        let failure = MongoError::from(error);
        assert_eq!(
            format!("{failure:?}"),
            "MongoDB answers code 11000 (DuplicateKey)"
        );
        let custom = Error::custom(SECRET);
        assert_eq!(loggable(&custom), "the driver fails with Custom");
        let refused = doc! {
            "code": 11_000, "errmsg": SECRET, "keyPattern": { "e": 1 }, "keyValue": { "e": SECRET },
        };
        let key = DocumentKey {
            type_name: TypeName::new("Task").unwrap(),
            id: DocumentId::new(SECRET).unwrap(),
        };
        let refused = StatementError::of(&refused, StatementKind::Insert, vec![key]);
        let refused = MongoError::Statement(Box::new(refused));
        assert!(!format!("{refused:?}").contains(SECRET));
        let error = crate::store::StoreError::from(refused);
        assert!(!format!("{error} {error:?}").contains(SECRET));
    }
}
