//! The types of answers, each declared once: as a table of rows, or made of the model.

pub(super) mod document;
pub(super) mod outcome;
pub(super) mod page;

use std::sync::Arc;

use async_graphql::dynamic::SchemaBuilder;
use tidegate_core::model::Model;

use self::{
    document::DocumentTypes,
    outcome::{OutcomeTypes, PushChanges},
    page::{PageTypes, SyncPage},
};
use super::table::ObjectType;

/// The tables of a model's API.
pub(super) struct Types {
    pub(super) documents: Arc<DocumentTypes>,
    pages: PageTypes,
    outcomes: OutcomeTypes,
}

impl Types {
    pub(super) fn new(model: &Arc<Model>) -> Self {
        let documents = Arc::new(DocumentTypes::new(model));
        Self {
            pages: PageTypes::new(&documents),
            outcomes: OutcomeTypes::new(model, &documents),
            documents,
        }
    }

    pub(super) fn page(&self) -> &ObjectType<SyncPage> {
        &self.pages.page
    }

    pub(super) fn push(&self) -> &ObjectType<PushChanges> {
        &self.outcomes.push
    }

    pub(super) fn register(&self, builder: SchemaBuilder) -> SchemaBuilder {
        let builder = self.documents.register(builder);
        let builder = self.pages.register(builder);
        self.outcomes.register(builder)
    }
}
