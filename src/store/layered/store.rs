//! An embedded store with a layer over its snapshots, for tests.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tidegate_core::{
    id::{Scope, Seq},
    query::IndexDefinition,
    transaction::Reads,
};

use super::{LayeredSnapshot, ReadLayer};
use crate::store::{
    Committed, DecideFn, Snapshot, Store, StoreError, TailEvent, embedded::EmbeddedStore,
    models::Models,
};

/// What a test does about a store. By default it does nothing.
pub(crate) trait StoreLayer: ReadLayer + 'static {
    /// A snapshot is opened.
    fn opened(&self) {}

    /// The head of a scope is read by a linearizable read.
    fn confirmed(&self) {}
}

/// The store.
pub(crate) struct LayeredStore<L> {
    pub(crate) inner: EmbeddedStore,
    pub(crate) layer: Arc<L>,
}

#[async_trait]
impl<L: StoreLayer> Store for LayeredStore<L> {
    async fn commit(&self, reads: Reads, decide: Arc<DecideFn>) -> Result<Committed, StoreError> {
        self.inner.commit(reads, decide).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.layer.opened();
        let (inner, layer) = (self.inner.snapshot().await?, Arc::clone(&self.layer));
        Ok(Box::new(LayeredSnapshot { inner, layer }))
    }

    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError> {
        self.layer.confirmed();
        self.inner.confirmed_head(scope).await
    }

    async fn keep_indexes(&self, indexes: &[Arc<IndexDefinition>]) -> Result<(), StoreError> {
        self.inner.keep_indexes(indexes).await
    }

    async fn build_uniques(&self, indexes: &[Arc<IndexDefinition>]) -> Result<(), StoreError> {
        self.inner.build_uniques(indexes).await
    }

    fn models(&self) -> Arc<dyn Models> {
        self.inner.models()
    }

    fn tail(&self) -> BoxStream<'static, TailEvent> {
        self.inner.tail()
    }
}
