//! The types of answers, each declared once: as a table of rows, or made of the model.

mod connection;
pub(super) mod document;
pub(super) mod inbox;
pub(super) mod list;
pub(super) mod outcome;
pub(super) mod page;
pub(super) mod viewer;

use std::sync::Arc;

use async_graphql::dynamic::SchemaBuilder;
use tidegate_core::model::Model;

use self::{
    document::DocumentTypes,
    inbox::ConflictConnection,
    list::ListConnection,
    outcome::{PushChanges, ResolveConflict},
    page::SyncPage,
    viewer::{DeclineMemberships, SyncViewer},
};
use super::table::{ObjectType, Registered};

/// The types of the root fields of a model's API.
pub(super) struct ApiTypes {
    pub(super) documents: Arc<DocumentTypes>,
    pub(super) page: Arc<ObjectType<SyncPage>>,
    pub(super) push: Arc<ObjectType<PushChanges>>,
    pub(super) resolve: Arc<ObjectType<ResolveConflict>>,
    pub(super) conflicts: Arc<ObjectType<ConflictConnection>>,
    pub(super) viewer: Arc<ObjectType<SyncViewer>>,
    pub(super) declined: Arc<ObjectType<DeclineMemberships>>,
    /// The connections of the model's types, in their order.
    pub(super) lists: Vec<Arc<ObjectType<ListConnection>>>,
}

impl ApiTypes {
    pub(super) fn new(model: &Arc<Model>) -> Self {
        let documents = Arc::new(DocumentTypes::new(model));
        let page_info = Arc::new(connection::page_info());
        let result = Arc::new(outcome::result(&documents));
        let count = Arc::new(list::count());
        let lists = model.types.iter().map(|document_type| {
            Arc::new(list::connection(
                document_type,
                &documents,
                &page_info,
                &count,
            ))
        });
        Self {
            page: Arc::new(page::page(&documents)),
            push: Arc::new(outcome::push(&result)),
            resolve: Arc::new(outcome::resolve(&result)),
            conflicts: Arc::new(inbox::connection(&documents, &page_info)),
            viewer: Arc::new(viewer::viewer(&documents, &page_info)),
            declined: Arc::new(viewer::declined()),
            lists: lists.collect(),
            documents,
        }
    }

    pub(super) fn register(&self, builder: SchemaBuilder) -> SchemaBuilder {
        let tables: [&dyn Registered; 6] = [
            &*self.page,
            &*self.push,
            &*self.resolve,
            &*self.conflicts,
            &*self.viewer,
            &*self.declined,
        ];
        let builder = self.documents.register(builder);
        let lists = self.lists.iter().map(|table| &**table as &dyn Registered);
        let tables = tables.into_iter().chain(lists);
        tables.fold(builder, |builder, table| table.register(builder))
    }
}
