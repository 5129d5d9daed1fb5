//! What a store keeps of a person, as values of JSON: one for each client, conflict, membership and document.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tidegate_core::{
    entry::Entry,
    id::{DocumentKey, TypeName, UserId, Version},
    inbox::{InboxRecord, OpenConflict},
    model::Model,
    value::{Document, fit::fit, json::encode_fields},
};

use super::walks;
use crate::store::{Store, StoreError};

/// What exports.
pub struct Export {
    /// The model in force.
    pub model: Arc<Model>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The person.
    pub user: UserId,
}

impl Export {
    /// Hands over all that is stored of the person, record by record.
    ///
    /// # Errors
    /// [`StoreError`], and what `line` fails with.
    pub async fn run<E: From<StoreError>>(
        &self,
        mut line: impl FnMut(Value) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut snapshot = self.store.snapshot().await?;
        let declined = snapshot.user(&self.user).await?.declined;
        drop(snapshot);
        if !declined.is_empty() {
            let declined: Vec<&str> = declined.iter().map(UserId::as_str).collect();
            line(json!({"kind": "declinedGivers", "givers": declined}))?;
        }
        self.clients(&mut line).await?;
        self.conflicts(&mut line).await?;
        self.documents(&mut line).await
    }

    async fn clients<E: From<StoreError>>(
        &self,
        line: &mut impl FnMut(Value) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut clients = walks::Clients::of(&*self.store, &self.user);
        while let Some(step) = clients.next().await? {
            for (key, state) in &step {
                let at = state.at.map(|at| at.to_string());
                line(json!({
                    "kind": "client",
                    "client": key.client.as_str(),
                    "lastMutationId": state.last.0,
                    "lastPushAt": at,
                }))?;
            }
        }
        Ok(())
    }

    async fn conflicts<E: From<StoreError>>(
        &self,
        line: &mut impl FnMut(Value) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut conflicts = walks::Conflicts::of(&*self.store);
        while let Some(step) = conflicts.next().await? {
            for record in &step {
                match record {
                    InboxRecord::Open(open) if open.opened_by == self.user => {
                        line(self.open_conflict(open))?;
                    }
                    InboxRecord::Resolved(settled) if settled.user == self.user => {
                        line(json!({
                            "kind": "resolution",
                            "id": settled.id.as_str(),
                            "type": self.name(&settled.key.type_name),
                            "documentId": settled.key.id.as_str(),
                            "at": settled.at.to_string(),
                        }))?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn open_conflict(&self, open: &OpenConflict) -> Value {
        let side = |document: Option<&Document>| document.map(|it| self.document(&open.key, it));
        json!({
            "kind": "conflict",
            "id": open.id.as_str(),
            "type": self.name(&open.key.type_name),
            "documentId": open.key.id.as_str(),
            "openedAt": open.opened_at.to_string(),
            "client": open.client.as_ref().map(|client| client.as_str()),
            "base": side(open.pending.base.as_ref()),
            "mine": side(open.pending.mine.document()),
            "theirs": side(open.theirs.as_ref()),
        })
    }

    async fn documents<E: From<StoreError>>(
        &self,
        line: &mut impl FnMut(Value) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut entries = walks::Entries::of(&*self.store);
        while let Some(step) = entries.next().await? {
            for value in step.iter().filter_map(|entry| self.entry(entry)) {
                line(value)?;
            }
        }
        Ok(())
    }

    /// An entry that the person wrote, that is a membership of the person's, or in which the gateway names the person.
    fn entry(&self, entry: &Entry) -> Option<Value> {
        let user = Some(&self.user);
        let is_own = |version: &Version| {
            let writer = entry.writers.get(version);
            writer.and_then(|writer| writer.user.as_ref()) == user
        };
        let membership = entry.membership.as_ref();
        let is_member = membership.is_some_and(|it| it.user == self.user);
        let has_given = membership.is_some_and(|it| it.giver.as_ref() == user);
        let has_written = entry.writers.keys().any(is_own);
        let document_type = self.model.stored_type(&entry.key.type_name);
        let body = entry.body.as_ref();
        let named = document_type.zip(body).into_iter();
        let named = named.flat_map(|(it, body)| it.fields_naming(&self.user, body));
        let named: Vec<&str> = named.map(|field| field.name.as_str()).collect();
        if !(is_member || has_given || has_written) && named.is_empty() {
            return None;
        }
        let wrote = entry.field_versions.iter();
        let wrote = wrote.filter(|(_, version)| is_own(version));
        let wrote: Vec<&str> = wrote
            .map(|(name, _)| document_type.map_or(name.as_str(), |it| it.field_name(name)))
            .collect();
        Some(json!({
            "kind": "document",
            "type": self.name(&entry.key.type_name),
            "documentId": entry.key.id.as_str(),
            "scope": entry.scope.as_str(),
            "version": entry.version.0,
            "changedAt": entry.at.to_string(),
            "wroteFields": wrote,
            "namedInFields": named,
            "isMembershipOf": is_member,
            "gaveMembership": has_given,
            "document": body.map(|body| self.document(&entry.key, body)),
        }))
    }

    /// A document by the names of the model. What does not fit the model is left out.
    fn document(&self, key: &DocumentKey, document: &Document) -> Map<String, Value> {
        let Some(document_type) = self.model.stored_type(&key.type_name) else {
            return Map::new();
        };
        let fields = &document_type.fields;
        let fitted = fit(&self.model, fields, document).ok().flatten();
        encode_fields(&self.model, fields, fitted.as_ref().unwrap_or(document))
    }

    fn name<'n>(&'n self, stored: &'n TypeName) -> &'n str {
        self.model.type_name(stored.as_str())
    }
}
