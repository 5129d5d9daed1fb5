//! The application's collections for an importer: [`Collections`] by the modules that carry its parts out, and which
//! collection each type has.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use futures_util::{TryStreamExt, stream::BoxStream};
use mongodb::bson::{Document, doc};
use tidegate_core::{
    id::{DocumentId, DocumentKey, TypeName},
    transaction::Fence,
};
use tokio::time::{Duration, Instant};

use super::{
    MongoContext, error::MongoError, foreign_stream, names::IMPORT, progress, reader::SessionReader,
};
use crate::{
    lock::Mutex,
    store::{
        StoreError,
        collections::{
            CollectionId, Collections, DocumentWalk, FollowError, ForeignBatch, ImportPosition,
            ImportProgress, TypeImport, UnfitDocument, WalkPosition, WithheldPage,
        },
    },
};

/// The collections of a store's application.
pub(super) struct MongoCollections(pub(super) Arc<MongoContext>);

#[async_trait]
impl Collections for MongoCollections {
    async fn lease(&self, held: Option<Fence>) -> Result<Option<Fence>, StoreError> {
        Ok(self.0.lease(held).await?)
    }

    async fn release(&self, held: Fence) -> Result<(), StoreError> {
        Ok(self.0.release(held).await?)
    }

    async fn progress(&self) -> Result<ImportProgress, StoreError> {
        Ok(self.0.progress().await?)
    }

    async fn save(&self, held: Fence, changes: &ImportProgress) -> Result<(), StoreError> {
        Ok(self.0.save(held, changes).await?)
    }

    async fn accept_deletes(&self, type_name: &TypeName) -> Result<(), StoreError> {
        Ok(self.0.accept_deletes(type_name).await?)
    }

    async fn identities(&self) -> Result<BTreeMap<TypeName, CollectionId>, StoreError> {
        let types = self.0.layout.types().map(|(name, _)| name);
        Ok(self.0.identities(types).await?)
    }

    async fn follow(
        &self,
        from: Option<&ImportPosition>,
    ) -> Result<BoxStream<'static, Result<ForeignBatch, FollowError>>, FollowError> {
        foreign_stream::follow(Arc::clone(&self.0), from).await
    }

    async fn documents(
        &self,
        type_name: &TypeName,
        after: Option<&WalkPosition>,
        limit: usize,
    ) -> Result<DocumentWalk, StoreError> {
        Ok(self.0.documents(type_name, after, limit).await?)
    }

    async fn expected(
        &self,
        type_name: &TypeName,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentKey>, StoreError> {
        Ok(self.0.expected(type_name, after, limit).await?)
    }

    async fn missing(&self, keys: &[DocumentKey]) -> Result<Vec<DocumentKey>, StoreError> {
        Ok(self.0.missing(keys).await?)
    }

    async fn unfit(&self, keys: &[DocumentKey]) -> Result<Vec<UnfitDocument>, StoreError> {
        Ok(self.0.unfit(keys).await?)
    }

    async fn count(&self, type_name: &TypeName) -> Result<u64, StoreError> {
        Ok(self.0.count(type_name).await?)
    }

    async fn freed(&self, all: bool, limit: usize) -> Result<Vec<DocumentKey>, StoreError> {
        Ok(self.0.freed(all, limit).await?)
    }

    async fn withheld(
        &self,
        after: Option<&WalkPosition>,
        limit: usize,
    ) -> Result<WithheldPage, StoreError> {
        Ok(self.0.withheld(after, limit).await?)
    }
}

impl MongoContext {
    /// The collections that these types have now.
    async fn identities<'t>(
        &self,
        types: impl Iterator<Item = &'t TypeName> + Send,
    ) -> Result<BTreeMap<TypeName, CollectionId>, MongoError> {
        let named: Vec<(&TypeName, &str)> = types
            .filter_map(|name| {
                let layout = self.layout.document_type(name)?;
                Some((name, layout.collection.as_str()))
            })
            .collect();
        let collections: BTreeSet<&str> = named.iter().map(|(_, name)| *name).collect();
        let found = self.collection_ids(collections).await?;
        let found = named.into_iter().filter_map(|(type_name, collection)| {
            let id = found.get(collection)?;
            Some((type_name.clone(), CollectionId(id.clone())))
        });
        Ok(found.collect())
    }

    /// The UUIDs of these collections. Views and time series have none.
    pub(super) async fn collection_ids(
        &self,
        names: impl IntoIterator<Item = &str> + Send,
    ) -> Result<HashMap<String, String>, MongoError> {
        let names: Vec<&str> = names.into_iter().collect();
        let filter = doc! { "type": "collection", "name": { "$in": names } };
        let list = doc! { "listCollections": 1, "filter": filter };
        let list = async {
            let found = self.database.run_cursor_command(list).await?;
            found.try_collect::<Vec<Document>>().await
        };
        let found = self.in_time(list).await?;
        let ids = found.iter().filter_map(|collection| {
            let name = collection.get_str("name").ok()?;
            let info = collection.get_document("info").ok()?;
            let bytes = info.get("uuid")?;
            let id = mongodb::bson::deserialize_from_bson::<mongodb::bson::Uuid>(bytes.clone());
            Some((name.to_owned(), id.ok()?.to_string()))
        });
        Ok(ids.collect())
    }

    /// From the collection's own count, which is not exact after a crash.
    async fn count(&self, type_name: &TypeName) -> Result<u64, MongoError> {
        let Some(layout) = self.layout.document_type(type_name) else {
            return Ok(0);
        };
        let collection = self.database.collection::<Document>(&layout.collection);
        let count = collection.estimated_document_count();
        self.in_time(count.max_time(self.call_max)).await
    }
}

/// How long the list of collections is believed where creates ask for it.
const BELIEVED: Duration = Duration::from_secs(1);

/// The application's collections as they were a moment ago.
#[derive(Debug, Default)]
pub(super) struct SeenCollections(Mutex<Option<(Instant, Arc<HashSet<String>>)>>);

impl MongoContext {
    async fn seen_collections(&self) -> Result<Arc<HashSet<String>>, MongoError> {
        if let Some((at, seen)) = &*self.seen.0.lock()
            && at.elapsed() < BELIEVED
        {
            return Ok(Arc::clone(seen));
        }
        let found = self.collection_ids(self.layout.collections()).await?;
        let seen = Arc::new(found.into_keys().collect());
        *self.seen.0.lock() = Some((Instant::now(), Arc::clone(&seen)));
        Ok(seen)
    }
}

impl SessionReader<'_> {
    /// Of these types, those whose collection was imported and is missing.
    pub(super) async fn missing_collections(
        &mut self,
        types: BTreeSet<&TypeName>,
    ) -> Result<BTreeSet<TypeName>, MongoError> {
        let context = self.context;
        if types.is_empty() {
            return Ok(BTreeSet::new());
        }
        let seen = context.seen_collections().await?;
        let is_missing = |name: &&TypeName| {
            let layout = context.layout.document_type(name);
            layout.is_some_and(|layout| !seen.contains(&layout.collection))
        };
        let missing: BTreeSet<&TypeName> = types.into_iter().filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(BTreeSet::new());
        }
        let imports = self.imports().await?;
        let is_imported = |name: &&TypeName| {
            let import = imports.get(*name);
            import.is_some_and(|import| import.collection.is_some() && !import.accepts_deletes)
        };
        Ok(missing.into_iter().filter(is_imported).cloned().collect())
    }

    /// How far the import of each type has come, in the transaction's snapshot.
    async fn imports(&mut self) -> Result<BTreeMap<TypeName, TypeImport>, MongoError> {
        let found = self.by_ids(&self.context.names.state, [IMPORT]).await?;
        let found = found.first().map(|raw| Document::try_from(&**raw));
        let progress = found.transpose()?.as_ref().map(progress::decode);
        Ok(progress.unwrap_or_default().types)
    }

    /// Of these types, which miss documents: those whose collection is missing, is another one than was imported, or is
    /// held. The transaction reads what was imported. The collections are as they are now.
    pub(super) async fn held(
        &mut self,
        types: BTreeSet<TypeName>,
    ) -> Result<BTreeSet<TypeName>, MongoError> {
        if types.is_empty() {
            return Ok(types);
        }
        let imports = self.imports().await?;
        let present = self.context.identities(types.iter()).await?;
        let is_held = |name: &TypeName| {
            let import = imports.get(name).cloned().unwrap_or_default();
            holds_deletes(&import, present.get(name))
        };
        Ok(types.into_iter().filter(is_held).collect())
    }
}

/// Whether the absence of documents from `present` proves no deletion.
fn holds_deletes(import: &TypeImport, present: Option<&CollectionId>) -> bool {
    let is_another = || match (&import.collection, present) {
        (_, None) => true,
        (Some(imported), Some(present)) => imported != present,
        (None, Some(_)) => false,
    };
    !import.accepts_deletes && (import.held.is_some() || is_another())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::collections::HeldType;

    #[test]
    fn what_is_missing_is_held_unless_it_is_the_collection_that_was_imported() {
        let id = |id: &str| Some(CollectionId(id.to_owned()));
        let (missing, expected) = (7, 9);
        let held = Some(HeldType { missing, expected });
        for (imported, held, accepts_deletes, present, holds) in [
            (id("a"), None, false, id("a"), false),
            (None, None, false, id("a"), false),
            (id("a"), None, false, id("b"), true),
            (id("a"), None, false, None, true),
            (None, None, false, None, true),
            (id("a"), held, false, id("a"), true),
            (id("a"), held, true, None, false),
            (id("a"), held, true, id("b"), false),
        ] {
            let import = TypeImport {
                collection: imported,
                held,
                accepts_deletes,
                ..TypeImport::default()
            };
            assert_eq!(
                holds_deletes(&import, present.as_ref()),
                holds,
                "{import:?} {present:?}"
            );
        }
    }
}
