//! What deciding pushes has to load, and what can be foreseen of it without having loaded anything.
//!
//! What is only foreseen saves a store journeys; nothing is decided by it.

use std::borrow::Borrow;

use super::{PushRequest, holding, world::key_of};
use crate::{
    change::{Action, Change},
    grant::{self, Identity},
    id::Scope,
    model::{DocumentType, Model},
    transaction::Reads,
    value::Document,
};

/// What deciding these pushes has to load.
pub fn reads(model: &Model, requests: &[impl Borrow<PushRequest>]) -> Reads {
    let requests = || requests.iter().map(Borrow::borrow);
    let clients = requests().filter_map(PushRequest::client_key);
    let members = requests().filter(|_| model.has_memberships());
    let mut reads = Reads {
        clients: clients.collect(),
        members: members
            .map(|request| request.identity.user.clone())
            .collect(),
        ..Reads::default()
    };
    for item in requests().flat_map(|request| &request.push.changes) {
        let (Some(key), Ok(change)) = (key_of(item), &item.change) else {
            continue;
        };
        let is_first = reads.keys.insert(key.clone());
        if is_first && matches!(change.action, Action::Create { base: None, .. }) {
            reads.created.insert(key.clone());
        }
    }
    (reads.inbox, reads.waiting) = holding::reads(model, requests());
    reads
}

/// The scope that the change itself puts its document into, if it says so.
pub fn scope_foreseen(model: &Model, identity: &Identity, change: &Change) -> Option<Scope> {
    let document_type = model.document_type(change.key.type_name.as_str())?;
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

/// The document with the defaults of the fields that its scope is made of.
fn with_defaults(
    document_type: &DocumentType,
    identity: &Identity,
    document: &Document,
) -> Document {
    let missing = document_type
        .fields
        .iter()
        .filter(|field| !document.contains_key(&field.name));
    let defaults = missing.filter_map(|field| {
        let value = grant::default_for(field.default.as_ref()?, identity);
        Some((field.name.clone(), value.ok()?))
    });
    document.clone().into_iter().chain(defaults).collect()
}
