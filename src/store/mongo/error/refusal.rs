//! Why a rule of the database refuses a change, in the words of the model.
//!
//! MongoDB's own message is never shown: it may hold another document's values, or fields of this one that the model
//! does not have.

use tidegate_core::{
    change::{Rejection, RejectionCode},
    model::STORED_ID,
    transaction::DatabaseRefusal,
};

use super::{DUPLICATE_KEY, StatementError};
use crate::store::mongo::{layout::ModelLayout, write::StatementKind};

impl StatementError {
    /// One refusal for each document.
    pub(in crate::store::mongo) fn refusals(&self, layout: &ModelLayout) -> Vec<DatabaseRefusal> {
        let refusals = self.keys.iter().map(|key| {
            let layout = layout.document_type(&key.type_name);
            let named = |stored: &str| {
                if stored == STORED_ID {
                    return Some("id");
                }
                let mut fields = layout?.fields.iter();
                let field = fields.find(|field| field.stored_as.as_str() == stored)?;
                Some(field.name.as_str())
            };
            let fields = self.fields.iter();
            let fields = fields.filter_map(|stored| Some((stored, named(stored)?)));
            let (fields, names): (Vec<_>, Vec<_>) = fields.unzip();
            DatabaseRefusal {
                key: key.clone(),
                rejection: Rejection {
                    code: RejectionCode::InvalidValue,
                    message: self.reason(),
                    field: names.first().map(|name| (*name).to_owned()),
                },
                fields: fields.into_iter().cloned().collect(),
                is_of_removal: self.verb == StatementKind::Delete,
            }
        });
        refusals.collect()
    }

    /// The reason. It does not name the other document, which an index would name.
    fn reason(&self) -> String {
        let reason = match self.code {
            DUPLICATE_KEY if self.is_of_id() => {
                "the collection has a document whose id it takes for the same, as by a collation"
            }
            DUPLICATE_KEY => "another document already has this value, which has to be unique",
            121 => "the collection's validator refuses the document",
            20 | 263 => {
                "the collection is capped or of time series, and takes no writes in transactions"
            }
            73 | 50_791 => "the collection is one of MongoDB's own",
            166 => "the collection is a view, which takes no writes",
            171 => "an index of the collection cannot hold two lists of one document",
            10_334 => "the document is larger than MongoDB takes, with what else is in it",
            13_027 | 16_755 => "an index of the collection takes only places, which this is not",
            16_766 => "an index of the collection takes no lists in this place",
            17_261 | 17_262 => "the text index of the collection does not know the language",
            66 => "the collection does not let this value change",
            code => return format!("the database refuses the document (code {code})"),
        };
        reason.to_owned()
    }
}

/// Whether the collection takes no document at all, whatever its content.
pub(in crate::store::mongo) fn is_of_collection(code: i32) -> bool {
    matches!(code, 20 | 73 | 166 | 263 | 50_791)
}
