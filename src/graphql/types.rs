//! The types of answers, each declared once: as a table of rows, or made of the model.

mod connection;
pub(super) mod document;
pub(super) mod inbox;
pub(super) mod outcome;
pub(super) mod page;
pub(super) mod viewer;

use std::sync::Arc;

use async_graphql::dynamic::SchemaBuilder;
use tidegate_core::model::Model;

use self::{
    connection::PageInfo,
    document::DocumentTypes,
    inbox::{ConflictConnection, InboxTypes},
    outcome::{OutcomeTypes, PushChanges, ResolveConflict},
    page::{PageTypes, SyncPage},
    viewer::{DeclineMemberships, SyncViewer, ViewerTypes},
};
use super::table::ObjectType;

/// The tables of a model's API.
pub(super) struct Types {
    pub(super) documents: Arc<DocumentTypes>,
    pages: PageTypes,
    outcomes: OutcomeTypes,
    inbox: InboxTypes,
    viewer: ViewerTypes,
    page_info: Arc<ObjectType<PageInfo>>,
}

impl Types {
    pub(super) fn new(model: &Arc<Model>) -> Self {
        let documents = Arc::new(DocumentTypes::new(model));
        let page_info = Arc::new(connection::page_info());
        Self {
            pages: PageTypes::new(&documents),
            outcomes: OutcomeTypes::new(model, &documents),
            inbox: InboxTypes::new(&documents, &page_info),
            viewer: ViewerTypes::new(&page_info),
            documents,
            page_info,
        }
    }

    pub(super) fn page(&self) -> &Arc<ObjectType<SyncPage>> {
        &self.pages.page
    }

    pub(super) fn push(&self) -> &Arc<ObjectType<PushChanges>> {
        &self.outcomes.push
    }

    pub(super) fn resolve(&self) -> &Arc<ObjectType<ResolveConflict>> {
        &self.outcomes.resolve
    }

    pub(super) fn conflicts(&self) -> &Arc<ObjectType<ConflictConnection>> {
        &self.inbox.connection
    }

    pub(super) fn viewer(&self) -> &Arc<ObjectType<SyncViewer>> {
        &self.viewer.viewer
    }

    pub(super) fn declined(&self) -> &Arc<ObjectType<DeclineMemberships>> {
        &self.viewer.declined
    }

    pub(super) fn register(&self, builder: SchemaBuilder) -> SchemaBuilder {
        let builder = self.documents.register(builder);
        let builder = self.pages.register(builder);
        let builder = self.outcomes.register(builder);
        let builder = self.inbox.register(builder);
        let builder = self.viewer.register(builder);
        builder.register(self.page_info.register())
    }
}
