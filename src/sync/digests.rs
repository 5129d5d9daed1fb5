//! Digests beside pages (rules.md 2.10): the scopes that a store has not counted yet, and the examination by `doctor`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tidegate_core::{
    digest::ScopeSums,
    id::{Scope, Seq},
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::store::{
    Snapshot, Store, StoreError,
    finding::{Examples, Finding, Topic},
};

/// The most scopes that wait to be counted. Others are asked for again with a later page.
const WAITING_MAX: usize = 1_024;

/// How many scopes are examined in one snapshot. A store keeps a snapshot for minutes only.
const EXAMINED_AT_ONCE: usize = 100;

/// Counts scopes, one after the other, while requests go on.
pub(super) struct ScopeCounter {
    asked: mpsc::Sender<Scope>,
    _task: AbortOnDropHandle<()>,
}

impl ScopeCounter {
    pub(super) fn of(store: Arc<dyn Store>) -> Self {
        let (asked, mut waiting) = mpsc::channel::<Scope>(WAITING_MAX);
        let task = tokio::spawn(async move {
            while let Some(scope) = waiting.recv().await {
                if let Err(error) = count(&*store, &scope).await {
                    tracing::warn!(%error, "a scope is not counted; the next page that lacks its digest asks again");
                }
            }
        });
        Self {
            asked,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// The sums of those scopes that are counted. The others will be.
    pub(super) async fn sums(
        &self,
        snapshot: &mut dyn Snapshot,
        scopes: &BTreeSet<Scope>,
    ) -> Result<BTreeMap<Scope, ScopeSums>, StoreError> {
        let sums: BTreeMap<_, _> = snapshot.sums(scopes).await?.into_iter().collect();
        for scope in scopes.iter().filter(|scope| !sums.contains_key(*scope)) {
            // If there is no room, a later page asks again.
            drop(self.asked.try_send(scope.clone()));
        }
        Ok(sums)
    }
}

/// Counts a scope, unless that is done: many pages may have asked.
async fn count(store: &dyn Store, scope: &Scope) -> Result<(), StoreError> {
    let asked = BTreeSet::from([scope.clone()]);
    let is_counted = !store.snapshot().await?.sums(&asked).await?.is_empty();
    match is_counted {
        true => Ok(()),
        false => store.keep_sums(scope, false).await,
    }
}

/// Compares the digests of all scopes with the documents. With `repairs`, scopes that differ are counted again.
///
/// # Errors
/// [`StoreError`].
pub async fn examine_digests(store: &dyn Store, repairs: bool) -> Result<Finding, StoreError> {
    let mut broken = Examples::default();
    let (mut same, mut uncounted) = (0, 0);
    let mut after: Option<Scope> = None;
    loop {
        let mut snapshot = store.snapshot().await?;
        let scopes = snapshot
            .scopes_after(after.as_ref(), EXAMINED_AT_ONCE)
            .await?;
        let Some(last) = scopes.last().cloned() else {
            break;
        };
        let asked = scopes.into_iter().collect();
        let states = snapshot.scopes(&asked).await?;
        let mut sums = snapshot.sums(&asked).await?;
        for scope in asked {
            let is_written = states.get(&scope).is_some_and(|it| it.head > Seq::START);
            match sums.remove(&scope) {
                None if is_written => uncounted += 1,
                None => {}
                Some(kept) if kept == snapshot.count(&scope).await? => same += 1,
                Some(_) => {
                    broken.take(|| scope.to_string());
                    if repairs {
                        store.keep_sums(&scope, true).await?;
                    }
                }
            }
        }
        after = Some(last);
    }
    let uncounted = match uncounted {
        0 => String::new(),
        some => format!(", and {some} are counted when a device asks for them"),
    };
    let Examples { count, first } = broken;
    let finding = match (count, repairs) {
        (0, _) => {
            let message = format!("{same} scopes have the digests of their documents{uncounted}");
            return Ok(Finding::good(Topic::Digests, message));
        }
        (_, true) => Finding::warning(
            Topic::Digests,
            format!(
                "{count} scopes had digests of other documents than they have; they are counted again now"
            ),
        ),
        (_, false) => Finding::problem(
            Topic::Digests,
            format!(
                "{count} scopes have digests of other documents than they have, so devices read them again; run `tidegate doctor --repair`, which counts them"
            ),
        ),
    };
    Ok(finding.about(count, first))
}
