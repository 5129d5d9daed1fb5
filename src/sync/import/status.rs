//! What callers may know of an import: which types are not complete yet.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tidegate_core::{
    id::TypeName,
    model::{DocumentType, Model},
};
use tokio::{sync::Mutex, time::Instant};

use super::{Arc, plan::ranked};
use crate::store::{
    StoreError,
    collections::{Collections, ImportProgress},
};

/// How long what was read serves all callers.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// A type that is not completely imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingImport {
    /// The type.
    pub type_name: TypeName,
    /// Its name in stores.
    pub stored_as: TypeName,
    /// How many documents and entries were compared.
    pub done: u64,
    /// About how many there are.
    pub total: u64,
    /// Whether documents are missing, and an operator has to say what becomes of them.
    pub held: bool,
}

/// The types that are not completely imported. Callers share a reading.
#[derive(Default)]
pub(in crate::sync) struct ImportStatus {
    /// Whether this gateway imports.
    imports: AtomicBool,
    read: Mutex<Option<(Instant, Arc<[PendingImport]>)>>,
}

impl ImportStatus {
    /// From now on this gateway imports: a type that nobody has looked at yet is pending.
    pub(in crate::sync) fn begin(&self) {
        self.imports.store(true, Ordering::Relaxed);
    }

    pub(in crate::sync) async fn pending(
        &self,
        model: &Model,
        collections: &dyn Collections,
    ) -> Result<Arc<[PendingImport]>, StoreError> {
        let mut read = self.read.lock().await;
        if let Some((at, pending)) = &*read
            && at.elapsed() < SHARED_FOR
        {
            return Ok(Arc::clone(pending));
        }
        let progress = collections.progress().await?;
        let has_begun = progress.position.is_some() || self.imports.load(Ordering::Relaxed);
        let pending: Arc<[_]> = match has_begun {
            true => pending_imports(model, &progress).collect(),
            false => Arc::default(),
        };
        *read = Some((Instant::now(), Arc::clone(&pending)));
        Ok(pending)
    }
}

/// The types that are not completely imported, in the order in which they are.
pub fn pending_imports(
    model: &Model,
    progress: &ImportProgress,
) -> impl Iterator<Item = PendingImport> {
    ranked(model).filter_map(|document_type| pending(document_type, progress))
}

fn pending(document_type: &DocumentType, progress: &ImportProgress) -> Option<PendingImport> {
    let record = progress.types.get(&document_type.stored_as);
    if record.is_some_and(|record| record.scan.is_none() && record.held.is_none()) {
        return None;
    }
    let scan = record.and_then(|record| record.scan.clone());
    let scan = scan.unwrap_or_default();
    Some(PendingImport {
        type_name: document_type.name.clone(),
        stored_as: document_type.stored_as.clone(),
        done: scan.done,
        total: scan.total,
        held: record.is_some_and(|record| record.held.is_some()),
    })
}
