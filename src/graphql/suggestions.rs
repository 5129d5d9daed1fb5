//! What to ask instead of a field that the API does not have: many users begin with `{ tasks { id } }`. Only a client
//! with a token reads this, and it may read the whole schema at `/schema.graphql`, so it reveals nothing.

use std::sync::Arc;

use tidegate_core::model::{DocumentType, Model};

use super::request::{RequestError, RequestErrorKind};

/// Longer field names get no advice.
const NAME_BYTES_MAX: usize = 256;

pub(super) struct QuerySuggestions(Arc<Model>);

impl QuerySuggestions {
    pub(super) fn new(model: &Arc<Model>) -> Self {
        Self(model.clone())
    }

    /// The refusal, with what to ask instead if that is known.
    pub(super) fn on(&self, mut refusal: RequestError) -> RequestError {
        let advice = match refusal.kind {
            RequestErrorKind::Validation => self.of(&refusal.message),
            _ => None,
        };
        if let Some(advice) = advice {
            refusal.message = format!("{}; {advice}", refusal.message);
        }
        refusal
    }

    fn of(&self, message: &str) -> Option<String> {
        let (owner, field) = unknown_field(message)?;
        if let Some(instead) = instead_of(owner, field) {
            return Some(format!("ask for `{instead}`"));
        }
        if let Some(operation) = operation_with(owner, field) {
            return Some(format!("`{field}` belongs to a {operation}"));
        }
        match owner {
            "Query" => {
                let one = &self.meant_by(field)?.singular;
                Some(format!(
                    "documents come by `changesSince`, page by page, and one by `{one}(id: …)`"
                ))
            }
            "Mutation" => {
                let one = &self.meant_by(field)?.singular;
                Some(format!(
                    "documents are written by `pushChanges(input: {{changes: [{{{one}: {{create: …}}}}]}})`, or `update` or `delete` in its place"
                ))
            }
            "Subscription" => Some("documents are followed by `changes`".to_owned()),
            "SyncChange" => {
                let name = &self.type_with(field)?.name;
                Some(format!(
                    "ask for `document {{ ... on {name} {{ {field} }} }}`"
                ))
            }
            "SyncDocument" => {
                let name = &self.type_with(field)?.name;
                Some(format!(
                    "what one type has is asked for inside `... on {name} {{ {field} }}`"
                ))
            }
            _ => None,
        }
    }

    /// The type that a name such as `allTasks` or `createTask` means: the longest one whose name is in it, or the
    /// first.
    fn meant_by(&self, field: &str) -> Option<&DocumentType> {
        let field = field.to_ascii_lowercase();
        let is_named = |document_type: &&Arc<DocumentType>| {
            [&document_type.singular, &document_type.plural]
                .iter()
                .any(|name| field.contains(&name.to_ascii_lowercase()))
        };
        let named = self.0.types.iter().filter(is_named);
        let longest = named.max_by_key(|document_type| document_type.singular.len());
        longest.or(self.0.types.first()).map(Arc::as_ref)
    }

    fn type_with(&self, field: &str) -> Option<&DocumentType> {
        let has = |document_type: &&Arc<DocumentType>| {
            let mut references = document_type.references.iter();
            document_type.field(field).is_some() || references.any(|it| it.name == field)
        };
        self.0.types.iter().find(has).map(Arc::as_ref)
    }
}

/// Names of other APIs, each with the name in this one.
fn instead_of(owner: &str, field: &str) -> Option<&'static str> {
    match (owner, field) {
        ("Query", "me" | "currentUser" | "whoami" | "myself") => Some("viewer { id }"),
        ("Query", "conflict") => Some("conflicts"),
        ("SyncChange", "id") => Some("documentId"),
        ("SyncPage", "edges" | "nodes" | "documents" | "items") => Some("changes"),
        ("SyncConflictConnection", "items") => Some("nodes"),
        ("SyncViewer", "userId") => Some("id"),
        _ => None,
    }
}

/// The kind of operation that has this root field, if it is another one.
fn operation_with(owner: &str, field: &str) -> Option<&'static str> {
    if !matches!(owner, "Query" | "Mutation" | "Subscription") {
        return None;
    }
    match field {
        "changesSince" | "viewer" => Some("query"),
        "pushChanges" | "resolveConflict" | "declineMemberships" => Some("mutation"),
        "changes" => Some("subscription"),
        "conflicts" => Some("query or a subscription"),
        _ => None,
    }
}

/// The type and its unknown field, from apollo-compiler's message.
fn unknown_field(message: &str) -> Option<(&str, &str)> {
    let (owner, rest) = message.strip_prefix("type `")?.split_once('`')?;
    let field = rest.strip_prefix(" does not have a field `")?;
    let field = field.strip_suffix('`')?;
    (field.len() <= NAME_BYTES_MAX).then_some((owner, field))
}
