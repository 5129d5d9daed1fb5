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
            RequestErrorKind::Validation => {
                let of_list = || self.of_list(&refusal.message);
                self.of(&refusal.message).or_else(of_list)
            }
            RequestErrorKind::Variables => self.of_list(&refusal.message),
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
                let DocumentType {
                    singular, plural, ..
                } = self.meant_by(field)?;
                Some(format!(
                    "documents come by `{plural}(…)` and by `changesSince`, page by page, and one by `{singular}(id: …)`"
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
            _ => {
                let of = owner.strip_suffix("Connection")?;
                let mut types = self.0.types.iter();
                let document_type = types.find(|it| it.name.as_str() == of)?;
                if field == "items" {
                    return Some("ask for `nodes`".to_owned());
                }
                has(document_type, field).then(|| format!("ask for `nodes {{ {field} }}`"))
            }
        }
    }

    /// The index that would let a list name a field of its type.
    fn of_list(&self, message: &str) -> Option<String> {
        let (document_type, field) = unknown_in_list(message, &self.0.types)?;
        let field = document_type.field(field).filter(|field| !field.retired)?;
        Some(format!(
            "lists find and order documents by the fields of indexes: add `@index(fields: [\"{}\"])` to {}",
            field.name, document_type.name
        ))
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
        let mut types = self.0.types.iter();
        let found = types.find(|document_type| field != "id" && has(document_type, field));
        found.map(Arc::as_ref)
    }
}

/// Whether documents of the type show a field.
fn has(document_type: &DocumentType, field: &str) -> bool {
    let references = document_type.references.iter().map(|it| &it.name);
    let reverses = document_type.reverses.iter().map(|it| &it.name);
    let stored = document_type.fields.iter().map(|it| &it.name);
    field == "id"
        || references
            .chain(reverses)
            .chain(stored)
            .any(|name| name == field)
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

/// The type whose conditions or orders lack a name, and the field that is meant, from the message.
fn unknown_in_list<'m>(
    message: &'m str,
    types: &'m [Arc<DocumentType>],
) -> Option<(&'m DocumentType, &'m str)> {
    let (_, rest) = message.split_once('`')?;
    let (named, rest) = rest.split_once('`')?;
    let owner = rest.rsplit(' ').next()?.trim_matches('`');
    let of = owner
        .strip_suffix("Where")
        .or(owner.strip_suffix("Order"))?;
    let document_type = types.iter().find(|it| it.name.as_str() == of)?;
    let name = named.rsplit('.').next()?;
    let field = name.strip_suffix("_ASC").or(name.strip_suffix("_DESC"));
    let field = field.unwrap_or(name);
    (field.len() <= NAME_BYTES_MAX).then_some((document_type, field))
}

/// The type and its unknown field, from apollo-compiler's message.
fn unknown_field(message: &str) -> Option<(&str, &str)> {
    let (owner, rest) = message.strip_prefix("type `")?.split_once('`')?;
    let field = rest.strip_prefix(" does not have a field `")?;
    let field = field.strip_suffix('`')?;
    (field.len() <= NAME_BYTES_MAX).then_some((owner, field))
}
