//! What deciding pushes has to load, and what can be predicted of it before anything is loaded.
//!
//! A prediction saves a store round trips. It decides nothing.

use std::sync::Arc;

use super::{CommitRequest, PushRequest, overlay::key_of};
use crate::{
    change::{Action, Change},
    grant::{self, Identity},
    id::Scope,
    membership::GiverAndUser,
    model::{DocumentType, Model},
    transaction::Reads,
    value::Document,
};

/// What deciding these has to load.
pub fn reads(model: &Model, requests: &[CommitRequest]) -> Reads {
    let pushes = || requests.iter().filter_map(CommitRequest::as_push);
    let clients = pushes().filter_map(PushRequest::client_key);
    let members = requests.iter().filter(|_| model.has_memberships());
    let bounds = requests.first();
    let bounds = bounds.map(|request| Arc::clone(request.claim_grants().bounds()));
    let mut reads = Reads {
        clients: clients.collect(),
        members: members
            .map(|request| request.identity().user.clone())
            .collect(),
        bounds: bounds.unwrap_or_default(),
        ..Reads::default()
    };
    let items = pushes().flat_map(|it| it.push.changes.iter().map(move |item| (it, item)));
    for (request, item) in items {
        let (Some(key), Ok(change)) = (key_of(item), &item.change) else {
            continue;
        };
        reads.given.extend(
            giving_foreseen(model, request, change)
                .filter(|giving| !reads.bounds.services.contains(&giving.giver)),
        );
        let is_first = reads.keys.insert(key.clone());
        if is_first && matches!(change.action, Action::Create { base: None, .. }) {
            reads.created.insert(key.clone());
        }
    }
    for request in requests {
        reads.inbox.extend(request.conflicts(model));
        match request {
            CommitRequest::Push(request) => reads.waiting.extend(request.shares(model)),
            CommitRequest::Resolve(request) => {
                // The document of a resolution may exist, even if another request of the group creates it.
                reads.created.remove(&request.key);
                reads.keys.insert(request.key.clone());
            }
        }
    }
    reads
}

/// The giver and the user if the change creates a membership. One that is not predicted is counted later.
fn giving_foreseen(model: &Model, request: &PushRequest, change: &Change) -> Option<GiverAndUser> {
    let Action::Create { document, .. } = &change.action else {
        return None;
    };
    let document_type = model.stored_type(&change.key.type_name)?;
    document_type.membership.as_ref()?;
    let document = with_defaults(document_type, &request.identity, document);
    let membership = grant::membership_of(document_type, &change.key.id, &document)?;
    Some(GiverAndUser {
        giver: request.identity.user.clone(),
        user: membership.user,
    })
}

/// The scope in which the change itself puts its document, if it names it.
pub fn predicted_scope(model: &Model, identity: &Identity, change: &Change) -> Option<Scope> {
    let document_type = model.stored_type(&change.key.type_name)?;
    let scope = |fields: &Document| grant::scope_of(document_type, &change.key.id, fields).ok();
    match &change.action {
        Action::Create { document, .. } => scope(document).or_else(|| {
            let document = with_defaults(document_type, identity, document);
            scope(&document)
        }),
        Action::Update { set, .. } => scope(set),
        Action::Delete { .. } => None,
    }
}

/// The document with the defaults of the fields that form its scope.
fn with_defaults(
    document_type: &DocumentType,
    identity: &Identity,
    document: &Document,
) -> Document {
    let missing = document_type
        .fields
        .iter()
        .filter(|field| !document.contains_key(&field.stored_as));
    let defaults = missing.filter_map(|field| {
        let value = grant::default_for(field.default.as_ref()?, identity);
        Some((field.stored_as.clone(), value.ok()?))
    });
    document.clone().into_iter().chain(defaults).collect()
}
