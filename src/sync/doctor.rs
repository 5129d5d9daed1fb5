//! The feed against the collections, for `doctor`: which documents a stamp would change, and the stamps themselves if
//! they are asked for. A document is compared as the importer compares it, in the store's transaction (rules.md 8.1).
//!
//! It walks over everything and keeps only counts and the first differences.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use indexmap::IndexSet;
use tidegate_core::{
    id::{DocumentKey, TypeName},
    model::Model,
    push,
    transaction::{Fence, ForeignState, Loaded, Writes},
};
use tokio::time::{Instant, sleep};

use super::{
    Clock,
    commit::{commit_repeatedly, halved},
};
use crate::store::{
    Store, StoreError,
    collections::{Collections, UnfitDocument},
    finding::{EXAMPLES_MAX, Examples, Finding, Topic},
};

/// The most documents of a transaction, and of a step of a walk.
const BATCH: usize = 500;

/// A lease lasts three times as long after its last renewal.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// So few differences may be writes that the importer is about to stamp. They are looked at again.
const LATE_MAX: usize = 1_000;
const LATE: Duration = Duration::from_secs(3);

/// An examination of a store that other services write to.
pub struct FeedExamination {
    model: Arc<Model>,
    store: Arc<dyn Store>,
    collections: Arc<dyn Collections>,
    clock: Clock,
    /// The lease under which differences are stamped; `None` if they are only counted.
    lease: Option<Fence>,
    renewed_at: Instant,
    /// Documents with an optional field that is shown as null, because it does not fit.
    nulled: Examples,
}

/// How a document and its entry differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    WithoutEntry,
    Changed,
    WithoutDocument,
    Unfit,
}

impl Difference {
    fn of(state: &ForeignState, has_entry: bool) -> Self {
        match state {
            ForeignState::Gone => Self::WithoutDocument,
            ForeignState::Misfit { .. } => Self::Unfit,
            ForeignState::Document(_) if has_entry => Self::Changed,
            ForeignState::Document(_) => Self::WithoutEntry,
        }
    }

    fn worded(self) -> &'static str {
        match self {
            Self::WithoutEntry => "without an entry",
            Self::Changed => "with other content than their entries",
            Self::WithoutDocument => "deleted, with a living entry",
            Self::Unfit => "unfit for the model, with a living entry",
        }
    }
}

/// The differences of some types.
#[derive(Debug, Default)]
struct Differences {
    counts: BTreeMap<Difference, u64>,
    first: Vec<DocumentKey>,
}

impl Differences {
    fn add(&mut self, key: DocumentKey, difference: Difference) {
        *self.counts.entry(difference).or_default() += 1;
        if self.first.len() < LATE_MAX {
            self.first.push(key);
        }
    }

    fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    fn has_all(&self) -> bool {
        self.count() == self.first.len() as u64
    }

    /// The counts, and the first documents.
    fn about(&self, finding: impl FnOnce(Topic, String) -> Finding, advice: &str) -> Finding {
        let counts = self.counts.iter();
        let counts = counts.map(|(difference, count)| format!("{count} {}", difference.worded()));
        let counts: Vec<String> = counts.collect();
        let message = format!(
            "{} documents differ: {}; {advice}",
            self.count(),
            counts.join(", ")
        );
        let first = self.first.iter().take(EXAMPLES_MAX);
        let first = first.map(ToString::to_string).collect();
        finding(Topic::Feed, message).about(self.count(), first)
    }
}

impl FeedExamination {
    /// `None` if no other service can write to the store.
    pub fn new(
        model: Arc<Model>,
        store: Arc<dyn Store>,
        clock: Clock,
        lease: Option<Fence>,
    ) -> Option<Self> {
        let collections = store.collections()?;
        Some(Self {
            model,
            store,
            collections,
            clock,
            lease,
            renewed_at: Instant::now(),
            nulled: Examples::default(),
        })
    }

    /// About how many documents and entries will be looked at.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn total(&self) -> Result<u64, StoreError> {
        let mut total = 0;
        for document_type in &self.model.types {
            total += 2 * self.collections.count(&document_type.stored_as).await?;
        }
        Ok(total)
    }

    /// Compares everything. Calls `progress` with the size of each part.
    ///
    /// # Errors
    /// [`StoreError`]; what was stamped before stays so.
    pub async fn examine(
        mut self,
        mut progress: impl FnMut(u64),
    ) -> Result<Vec<Finding>, StoreError> {
        let (mut complete, mut incomplete) = (Differences::default(), Differences::default());
        let imports = self.collections.progress().await?.types;
        let collections = self.collections.identities().await?;
        let mut documents = 0;
        for document_type in &self.model.types.clone() {
            let name = &document_type.stored_as;
            // Nothing is stamped of a collection that is missing, or is a view.
            if !collections.contains_key(name) {
                continue;
            }
            let is_complete = imports
                .get(name)
                .is_some_and(|import| import.scan.is_none());
            let differences = match is_complete {
                true => &mut complete,
                false => &mut incomplete,
            };
            documents += self.documents(name, differences, &mut progress).await?;
            self.entries(name, differences, &mut progress).await?;
        }
        if self.lease.is_none() && complete.count() > 0 && complete.has_all() {
            complete = self.without_late(complete).await?;
        }
        let mut findings = self.feed(documents, &complete, &incomplete);
        findings.push(self.withheld().await?);
        findings.extend(self.nulled());
        Ok(findings)
    }

    /// From the collection to the feed.
    async fn documents(
        &mut self,
        type_name: &TypeName,
        differences: &mut Differences,
        progress: &mut impl FnMut(u64),
    ) -> Result<u64, StoreError> {
        let (mut after, mut documents) = (None, 0);
        loop {
            let walk = self.collections.documents(type_name, after.as_ref(), BATCH);
            let walk = walk.await?;
            self.count_nulled(type_name, &walk.keys).await?;
            self.compare(walk.keys, differences).await?;
            documents += walk.passed;
            progress(walk.passed);
            after = walk.next;
            if after.is_none() {
                return Ok(documents);
            }
        }
    }

    async fn count_nulled(
        &mut self,
        type_name: &TypeName,
        keys: &[DocumentKey],
    ) -> Result<(), StoreError> {
        let document_type = self.model.stored_type(type_name);
        let Some(document_type) = document_type.filter(|it| it.nulls_misfits) else {
            return Ok(());
        };
        let unfit = self.collections.unfit(keys).await?.into_iter();
        for document in unfit.filter(|document| !document.is_withheld) {
            let UnfitDocument { id, misfit, .. } = document;
            self.nulled
                .take(|| format!("{}/{id}: {misfit}", document_type.name));
        }
        Ok(())
    }

    fn nulled(&self) -> Option<Finding> {
        let Examples { count, first } = &self.nulled;
        let message = format!(
            "{count} documents have an optional field that does not fit the model, and is shown as null; mend them, and devices get the values"
        );
        let finding = Finding::warning(Topic::Withheld, message).about(*count, first.clone());
        (*count > 0).then_some(finding)
    }

    /// From the feed to the collection.
    async fn entries(
        &mut self,
        type_name: &TypeName,
        differences: &mut Differences,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let expected = self.collections.expected(type_name, after.as_ref(), BATCH);
            let expected = expected.await?;
            let missing = self.collections.missing(&expected).await?;
            self.compare(missing, differences).await?;
            progress(expected.len() as u64);
            match expected.into_iter().next_back() {
                Some(last) => after = Some(last.id),
                None => return Ok(()),
            }
        }
    }

    /// Looks at these documents in as many transactions as it takes.
    async fn compare(
        &mut self,
        keys: impl IntoIterator<Item = DocumentKey>,
        differences: &mut Differences,
    ) -> Result<(), StoreError> {
        let mut waiting: IndexSet<DocumentKey> = keys.into_iter().collect();
        self.renew_if_due().await?;
        while !waiting.is_empty() {
            let look = self.look(&waiting).await?;
            waiting.retain(|key| !look.compared.contains(key));
            for (key, difference) in look.differences {
                differences.add(key, difference);
            }
        }
        Ok(())
    }

    /// One transaction. It writes nothing without a lease.
    async fn look(&self, waiting: &IndexSet<DocumentKey>) -> Result<Look, StoreError> {
        let batch = |conflicts| {
            let size = halved(waiting.len(), conflicts);
            let keys: IndexSet<DocumentKey> = waiting.iter().take(size).cloned().collect();
            let reads = push::stamp_reads(keys.clone(), self.lease);
            let (model, clock) = (Arc::clone(&self.model), Arc::clone(&self.clock));
            let stamps = self.lease.is_some();
            let decide = move |loaded: &Loaded| {
                let writes = push::stamp(&model, clock(), loaded);
                let look = Look::of(&keys, loaded, &writes);
                match stamps {
                    true => (writes, look),
                    false => (Writes::default(), look),
                }
            };
            (reads, decide)
        };
        let (_, look) = commit_repeatedly(self.store.as_ref(), batch).await?;
        Ok(look)
    }

    /// What still differs after a while: the importer may be about to stamp the rest.
    async fn without_late(&mut self, found: Differences) -> Result<Differences, StoreError> {
        sleep(LATE).await;
        let mut again = Differences::default();
        self.compare(found.first, &mut again).await?;
        Ok(again)
    }

    async fn renew_if_due(&mut self) -> Result<(), StoreError> {
        if let Some(held) = self.lease
            && self.renewed_at.elapsed() >= RENEW_EVERY
        {
            self.renewed_at = Instant::now();
            if self.collections.lease(Some(held)).await? != Some(held) {
                return Err(StoreError::Deposed);
            }
        }
        Ok(())
    }

    fn feed(
        &self,
        documents: u64,
        complete: &Differences,
        incomplete: &Differences,
    ) -> Vec<Finding> {
        let stamped = "they are stamped now";
        let advice = "run `tidegate doctor --repair`, which stamps them";
        let unfinished =
            "their types are not completely imported: let a gateway run until they are";
        let mut findings = Vec::new();
        if complete.count() > 0 {
            findings.push(match self.lease {
                Some(_) => complete.about(Finding::warning, stamped),
                None => complete.about(Finding::problem, advice),
            });
        }
        if incomplete.count() > 0 {
            let advice = self.lease.map_or(unfinished, |_| stamped);
            findings.push(incomplete.about(Finding::warning, advice));
        }
        if findings.is_empty() {
            let message = format!("{documents} documents, none of which differs from its entry");
            findings.push(Finding::good(Topic::Feed, message));
        }
        findings
    }

    async fn withheld(&self) -> Result<Finding, StoreError> {
        let (mut after, mut count, mut first) = (None, 0, Vec::new());
        loop {
            let page = self.collections.withheld(after.as_ref(), BATCH).await?;
            count += page.documents.len() as u64;
            let left = EXAMPLES_MAX.saturating_sub(first.len());
            let named = page.documents.iter().take(left);
            first.extend(named.map(|withheld| {
                let type_name = self.model.type_name(withheld.type_name.as_str());
                format!("{type_name}/{}: {}", withheld.id, withheld.misfit)
            }));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if count == 0 {
            return Ok(Finding::good(Topic::Withheld, "no document is withheld"));
        }
        let message = format!(
            "{count} documents are withheld, because they do not fit the model; mend them, or change the model, and they are delivered"
        );
        Ok(Finding::warning(Topic::Withheld, message).about(count, first))
    }
}

/// What a transaction found.
struct Look {
    compared: HashSet<DocumentKey>,
    differences: Vec<(DocumentKey, Difference)>,
}

impl Look {
    fn of(keys: &IndexSet<DocumentKey>, loaded: &Loaded, writes: &Writes) -> Self {
        let written: BTreeSet<&DocumentKey> =
            writes.entries.iter().map(|entry| &entry.key).collect();
        let foreign = loaded.foreign.iter();
        let differences = foreign.filter(|(key, _)| written.contains(key));
        let differences = differences.map(|(key, state)| {
            let has_entry = loaded.entries.contains_key(key);
            (key.clone(), Difference::of(state, has_entry))
        });
        let compared = keys.iter().filter(|key| !loaded.left_out.contains(*key));
        Self {
            compared: compared.cloned().collect(),
            differences: differences.collect(),
        }
    }
}
