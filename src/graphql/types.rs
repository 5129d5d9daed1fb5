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
    connection::PageInfo, document::DocumentTypes, inbox::InboxTypes, outcome::OutcomeTypes,
    page::PageTypes, viewer::ViewerTypes,
};
use super::table::ObjectType;

/// The tables of a model's API.
pub(super) struct ApiTypes {
    pub(super) documents: Arc<DocumentTypes>,
    pub(super) pages: PageTypes,
    pub(super) outcomes: OutcomeTypes,
    pub(super) inbox: InboxTypes,
    pub(super) viewer: ViewerTypes,
    page_info: Arc<ObjectType<PageInfo>>,
}

impl ApiTypes {
    pub(super) fn new(model: &Arc<Model>) -> Self {
        let documents = Arc::new(DocumentTypes::new(model));
        let page_info = Arc::new(connection::page_info());
        Self {
            pages: PageTypes::new(&documents),
            outcomes: OutcomeTypes::new(model, &documents),
            inbox: InboxTypes::new(&documents, &page_info),
            viewer: ViewerTypes::new(&documents, &page_info),
            documents,
            page_info,
        }
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
