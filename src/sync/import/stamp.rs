//! Stamping: documents that were proposed are compared with their entries, in transactions that keep the lease.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use indexmap::IndexSet;
use tidegate_core::{
    id::{DocumentKey, TypeName},
    mutant::{Mutant, is_active},
    push,
    transaction::{Fence, LoadBytesMax, Loaded, Misfit, Reads, Writes},
};
use tokio::time::{Instant, sleep};

use super::{Importer, TermEnd, follow::Term};
use crate::{metrics::type_label, store::StoreError, sync::commit::commit_noting};

/// The most bytes of documents that a transaction loads. One document always has room.
const BYTES_MAX: LoadBytesMax = LoadBytesMax(1 << 20);

/// What a transaction did.
struct Stamped {
    /// The documents that did not fit into it.
    left_out: HashSet<DocumentKey>,
    entries: usize,
    /// How many of these each type has.
    of_types: BTreeMap<TypeName, u64>,
    /// The documents that do not fit the model and were not recorded before.
    withheld: Vec<(DocumentKey, Misfit)>,
}

impl Term<'_> {
    /// Compares documents with their entries, and writes what differs. It returns when all is written.
    pub(super) async fn stamp(
        &mut self,
        keys: impl IntoIterator<Item = DocumentKey>,
    ) -> Result<(), TermEnd> {
        let mut waiting: VecDeque<DocumentKey> = keys.into_iter().collect();
        let mut fitting = usize::MAX;
        while !waiting.is_empty() {
            self.renew_if_due().await?;
            let documents = self.throttle.documents().min(fitting).min(waiting.len());
            let batch: IndexSet<DocumentKey> = waiting.drain(..documents).collect();
            let begun = Instant::now();
            match self.importer.stamp(&batch, self.fence).await {
                Ok(stamped) => {
                    let left_out = put_back(&mut waiting, batch, &stamped.left_out);
                    fitting = match left_out {
                        0 => fitting.saturating_mul(2),
                        left_out => (documents - left_out).max(1),
                    };
                    self.stamped(&stamped, begun);
                    self.rest(documents, begun).await;
                }
                Err(StoreError::WriteConflict(conflict)) => {
                    batch
                        .into_iter()
                        .rev()
                        .for_each(|key| waiting.push_front(key));
                    self.throttle.collided();
                    sleep(conflict.backoff).await;
                }
                Err(error) if is_about_documents(&error) => {
                    if documents > 1 {
                        batch
                            .into_iter()
                            .rev()
                            .for_each(|key| waiting.push_front(key));
                        fitting = documents / 2;
                    } else {
                        self.log.passed_over(&batch, &error);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn stamped(&mut self, stamped: &Stamped, begun: Instant) {
        // A transaction that writes nothing does not renew the lease.
        if stamped.entries > 0 {
            self.renewed_at = begun;
        }
        self.importer.measure(stamped);
        self.log.stamped(stamped.entries, &stamped.withheld);
    }

    /// Lets pushes have their turn.
    async fn rest(&mut self, documents: usize, begun: Instant) {
        let pushes = self.importer.pushes.counted();
        let rest = self.throttle.succeeded(documents, begun.elapsed(), pushes);
        if !rest.is_zero() {
            sleep(rest).await;
        }
    }
}

impl Importer {
    /// One transaction.
    async fn stamp(
        &self,
        keys: &IndexSet<DocumentKey>,
        fence: Fence,
    ) -> Result<Stamped, StoreError> {
        let fence = (!is_active(Mutant::StampUnfenced)).then_some(fence);
        let reads = Reads {
            bytes_max: BYTES_MAX,
            ..push::stamp_reads(keys.clone(), fence)
        };
        let earlier = match is_active(Mutant::StampUnlocked) {
            true => Some(self.look(&reads).await?),
            false => None,
        };
        let (model, now) = (Arc::clone(&self.model), (self.clock)());
        let decide = move |loaded: &Loaded| {
            // What a decision asks for besides is loaded after all, or it would ask for ever.
            let earlier = earlier.clone().map(|earlier| Loaded {
                given: loaded.given.clone(),
                holders: loaded.holders.clone(),
                ..earlier
            });
            let writes = push::stamp(&model, now, earlier.as_ref().unwrap_or(loaded));
            (writes, (loaded.left_out.clone(), loaded.misfits.clone()))
        };
        let committed = commit_noting(self.store.as_ref(), reads, decide);
        let (committed, (left_out, known)) = committed.await?;
        let mut of_types = BTreeMap::new();
        for entry in &committed.writes.entries {
            *of_types.entry(entry.key.type_name.clone()).or_default() += 1;
        }
        let misfits = committed.writes.misfits.into_iter();
        let withheld = misfits.filter(|(key, _)| !known.contains(key));
        Ok(Stamped {
            left_out,
            entries: committed.writes.entries.len(),
            of_types,
            withheld: withheld
                .filter_map(|(key, misfit)| Some((key, misfit?)))
                .collect(),
        })
    }

    fn measure(&self, stamped: &Stamped) {
        for (type_name, count) in &stamped.of_types {
            let type_name = type_label(&self.model, type_name);
            let imported = self.metrics.imported.of([type_name]);
            imported.inc_by(*count);
        }
        for (key, misfit) in &stamped.withheld {
            let labels = [
                type_label(&self.model, &key.type_name),
                misfit.found.clone().into(),
            ];
            self.metrics.withheld.of(labels).inc();
        }
    }

    /// What a transaction would load, which writes nothing.
    async fn look(&self, reads: &Reads) -> Result<Loaded, StoreError> {
        let decide = |loaded: &Loaded| (Writes::default(), loaded.clone());
        let looked = commit_noting(self.store.as_ref(), reads.clone(), decide);
        Ok(looked.await?.1)
    }
}

/// Whether fewer documents may do better, and one that fails alone can be passed over.
fn is_about_documents(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::DecisionFailed(_) | StoreError::Corrupt(_) | StoreError::Refused(_)
    )
}

/// Puts back what was left out, in its order, and returns how much that is.
fn put_back(
    waiting: &mut VecDeque<DocumentKey>,
    batch: IndexSet<DocumentKey>,
    left_out: &HashSet<DocumentKey>,
) -> usize {
    let before = waiting.len();
    let back = batch.into_iter().rev().filter(|key| left_out.contains(key));
    back.for_each(|key| waiting.push_front(key));
    waiting.len() - before
}
