//! The arguments of fields: their declarations in the schema, and how they are read.

use std::{collections::BTreeSet, sync::Arc};

use async_graphql::{
    Name, Value as GraphqlValue,
    dynamic::{InputValue, TypeRef},
};
use tidegate_core::{
    checkpoint::{Refresh, RequestedTypes},
    id::{ClientId, DocumentId, IdType, Scope, TypeName},
    model::{DocumentType, Model},
};

use crate::{
    graphql::{
        enums,
        error::ClientError,
        execution::Call,
        inputs,
        request::ArgumentValues,
        shape::{argument, nullable, required},
    },
    sync::{InboxRequest, ListRequest, PullRequest, SentList, Start, SyncError, SyncService},
};

/// The changes of a page if the client does not say.
const CHANGES_DEFAULT: i32 = 500;

/// The conflicts of a page if the client does not say.
const CONFLICTS_DEFAULT: i32 = 50;

/// Where counting stops if the client does not say.
const COUNT_DEFAULT: i32 = 1_000;

/// The memberships of a page if the client does not say.
const MEMBERSHIPS_DEFAULT: i32 = 100;

/// The most memberships of a page.
const MEMBERSHIPS_MAX: usize = 1_000;

/// The arguments of `changesSince`.
pub(super) fn pulled() -> Vec<InputValue> {
    vec![
        argument(
            "checkpoint",
            nullable("Checkpoint"),
            "The position of the client; without it the client starts from nothing.",
        ),
        argument(
            "types",
            TypeRef::named_nn_list("SyncType"),
            "The types it wants; left out, all, also those the model gets later.",
        ),
        argument(
            "limit",
            nullable("Int"),
            "The most changes of a page, from 1 to the gateway's bound (5000 unless configured).",
        )
        .default_value(CHANGES_DEFAULT),
        argument(
            "refresh",
            TypeRef::named_nn_list("SyncType"),
            "The types it wants from their beginning again, without a reset: ask once when the app selects more of them than before.",
        ),
        argument(
            "reread",
            TypeRef::named_nn_list("ID"),
            "The scopes it drops and wants from their beginning again, because what it holds of them has another digest. The answer names them in `revokedScopes`: ask once.",
        ),
    ]
}

/// The arguments of `changes`.
pub(super) fn followed() -> Vec<InputValue> {
    let from = argument(
        "from",
        nullable("SyncStart"),
        "Where the subscription starts.",
    );
    let from = from.default_value(GraphqlValue::Enum(Name::new("CHECKPOINT")));
    let mut arguments = pulled();
    arguments.push(from);
    arguments
}

/// Reads which page is requested.
pub(super) fn page(call: &Call) -> Result<PullRequest, ClientError> {
    let (arguments, sync) = (&call.arguments, &call.sync);
    let checkpoint = match arguments.get("checkpoint") {
        Some(GraphqlValue::String(token)) => Some(token.clone()),
        None | Some(GraphqlValue::Null) => None,
        Some(other) => Some(other.to_string()),
    };
    let types = stored_types(call, "types").map_or(RequestedTypes::All, RequestedTypes::Only);
    let refresh = stored_types(call, "refresh").map(|types| Refresh {
        types,
        selection: call.fingerprint(),
    });
    let limit = integer(arguments, "limit", CHANGES_DEFAULT);
    let request = PullRequest::new(checkpoint.as_deref(), types, limit, sync.limits())?;
    Ok(PullRequest {
        refresh: refresh.unwrap_or_default(),
        reread: scopes(arguments, "reread"),
        digests: call.selects("SyncPage", "digests"),
        ..request
    })
}

/// The scopes that a list of texts names. What cannot be the name of a scope is the name of none.
fn scopes(arguments: &ArgumentValues, name: &str) -> BTreeSet<Scope> {
    let Some(GraphqlValue::List(texts)) = arguments.get(name) else {
        return BTreeSet::new();
    };
    let texts = texts.iter().filter_map(|text| match text {
        GraphqlValue::String(text) => Scope::new(text).ok(),
        _ => None,
    });
    texts.collect()
}

/// Reads where a subscription starts.
pub(super) fn start(arguments: &ArgumentValues) -> Start {
    let start = match arguments.get("from") {
        Some(GraphqlValue::Enum(word)) => enums::START.value(word),
        Some(GraphqlValue::String(word)) => enums::START.value(word),
        _ => None,
    };
    start.copied().unwrap_or(Start::Checkpoint)
}

/// The stored names of the types in a list of `SyncType`.
fn stored_types(call: &Call, argument: &str) -> Option<BTreeSet<TypeName>> {
    match call.arguments.get(argument) {
        Some(GraphqlValue::List(names)) => {
            let names = names.iter();
            Some(
                names
                    .filter_map(|name| stored_type(&call.sync, name))
                    .collect(),
            )
        }
        _ => None,
    }
}

/// The stored name of the type that a value of `SyncType` names.
fn stored_type(sync: &SyncService, value: &GraphqlValue) -> Option<TypeName> {
    let name = match value {
        GraphqlValue::Enum(name) => name.as_str(),
        GraphqlValue::String(name) => name,
        _ => return None,
    };
    Some(sync.model().document_type(name)?.stored_as.clone())
}

/// The arguments of the query `conflicts`.
pub(super) fn conflicts() -> Vec<InputValue> {
    let mut arguments = followed_conflicts();
    arguments.push(after());
    arguments
}

/// The arguments of the subscription `conflicts`.
pub(super) fn followed_conflicts() -> Vec<InputValue> {
    let first = argument(
        "first",
        nullable("Int"),
        "The most conflicts of a page, from 1 to 100.",
    );
    vec![first.default_value(CONFLICTS_DEFAULT)]
}

/// Reads which part of the inbox is requested.
pub(super) fn inbox(arguments: &ArgumentValues) -> Result<InboxRequest, ClientError> {
    let first = integer(arguments, "first", CONFLICTS_DEFAULT);
    Ok(InboxRequest::new(first, text(arguments, "after"))?)
}

/// The arguments of `viewer`.
pub(super) fn viewer() -> Vec<InputValue> {
    vec![argument(
        "clientId",
        nullable("ID"),
        "The client whose `lastMutationId` is wanted.",
    )]
}

/// Reads which client the query is about.
pub(super) fn client_id(arguments: &ArgumentValues) -> Result<Option<ClientId>, ClientError> {
    let id = text(arguments, "clientId").map(ClientId::new);
    id.transpose()
        .map_err(|error| ClientError::unusable("clientId", &error))
}

/// The arguments of `viewer.memberships`.
pub(in crate::graphql) fn memberships() -> Vec<InputValue> {
    let first = argument(
        "first",
        nullable("Int"),
        "The most memberships of a page, from 1 to 1000.",
    );
    vec![first.default_value(MEMBERSHIPS_DEFAULT), after()]
}

/// The arguments of `viewer { roles }`.
pub(in crate::graphql) fn roles() -> Vec<InputValue> {
    let meaning = "The scope; left out, all scopes.";
    vec![argument("scope", nullable("ID"), meaning)]
}

/// Reads the text of the scope that is asked about, if it is one.
pub(in crate::graphql) fn scope(arguments: &ArgumentValues) -> Option<&str> {
    text(arguments, "scope")
}

/// Reads how many memberships are requested, and after which number.
pub(in crate::graphql) fn membership_range(
    arguments: &ArgumentValues,
) -> Result<(usize, usize), ClientError> {
    let first = integer(arguments, "first", MEMBERSHIPS_DEFAULT);
    let wanted = SyncError::bound("first", first, MEMBERSHIPS_MAX)?;
    let after = text(arguments, "after").map(str::parse).transpose();
    let after: Option<usize> = after.map_err(|_| SyncError::Cursor)?;
    Ok((wanted, after.unwrap_or_default()))
}

/// The arguments of a document's root field.
pub(super) fn document() -> Vec<InputValue> {
    vec![argument("id", required("ID"), "Its id.")]
}

/// Reads which document is requested; `None` if no document can have this id.
pub(super) fn document_id(arguments: &ArgumentValues, id_type: IdType) -> Option<DocumentId> {
    let id = text(arguments, "id").unwrap_or_default();
    id_type.parse(id).ok()
}

/// The arguments of a type's list.
pub(super) fn listed(document_type: &DocumentType) -> Vec<InputValue> {
    let scope = argument(
        "scope",
        nullable("ID"),
        "Only documents of this scope; none if you may not see it.",
    );
    let mut arguments = inputs::lists::arguments(document_type);
    arguments.push(scope);
    arguments
}

/// Reads which documents are listed.
pub(super) fn list(
    model: &Model,
    document_type: &Arc<DocumentType>,
    arguments: &ArgumentValues,
) -> Result<ListRequest, ClientError> {
    let sent = sent_list(model, document_type, arguments)?;
    Ok(ListRequest::new(document_type, sent)?)
}

/// Reads what was sent about a list of a type.
pub(in crate::graphql) fn sent_list<'a>(
    model: &Model,
    document_type: &DocumentType,
    arguments: &'a ArgumentValues,
) -> Result<SentList<'a>, ClientError> {
    let (conditions, orders) = (arguments.get("where"), arguments.get("orderBy"));
    let scope = text(arguments, "scope").map(Scope::new).transpose();
    Ok(SentList {
        query: inputs::lists::query(model, document_type, conditions, orders)?,
        scope: scope.map_err(|error| ClientError::unusable("scope", &error))?,
        first: integer(arguments, "first", inputs::lists::FIRST_DEFAULT),
        after: text(arguments, "after"),
    })
}

/// The arguments of `totalCount`.
pub(in crate::graphql) fn counted() -> Vec<InputValue> {
    let max = argument(
        "max",
        required("Int"),
        "Where counting stops, from 1 to 1000.",
    );
    vec![max.default_value(COUNT_DEFAULT)]
}

/// Reads where counting stops.
pub(in crate::graphql) fn count_max(arguments: &ArgumentValues) -> Result<usize, ClientError> {
    let max = integer(arguments, "max", COUNT_DEFAULT);
    Ok(ListRequest::count_bound(max)?)
}

/// The arguments of `pushChanges`.
pub(super) fn push() -> Vec<InputValue> {
    input_of("PushChangesInput", "The push.")
}

/// The arguments of `resolveConflict`.
pub(super) fn resolution() -> Vec<InputValue> {
    input_of("ResolveConflictInput", "The resolution.")
}

/// The arguments of `declineMemberships`.
pub(super) fn decline() -> Vec<InputValue> {
    input_of("DeclineMembershipsInput", "Whose memberships.")
}

fn input_of(ty: &str, description: &str) -> Vec<InputValue> {
    vec![argument("input", required(ty), description)]
}

/// Moves out the argument of a mutation.
pub(super) fn input(arguments: &mut ArgumentValues) -> GraphqlValue {
    let input = arguments.get_mut("input");
    input.map(std::mem::take).unwrap_or_default()
}

fn after() -> InputValue {
    argument(
        "after",
        nullable("String"),
        "Where to go on: the `endCursor` of the page before.",
    )
}

fn integer(arguments: &ArgumentValues, name: &str, default: i32) -> i64 {
    match arguments.get(name) {
        Some(GraphqlValue::Number(number)) => number.as_i64().unwrap_or_default(),
        _ => i64::from(default),
    }
}

fn text<'a>(arguments: &'a ArgumentValues, name: &str) -> Option<&'a str> {
    match arguments.get(name) {
        Some(GraphqlValue::String(text)) => Some(text),
        _ => None,
    }
}
