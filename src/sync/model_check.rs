//! Whether the content of a store fits the model. A gateway checks this when it starts on a model it has not seen
//! before. On the way it restamps entries of an earlier version, which did not escape the values in scopes.
//!
//! Without the check, a required field that was added or a type that changed would fail the pages of every client.
//! Under a changed `@scope` or `@grants`, stored documents would stay open to the users of the earlier rule.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tidegate_core::{
    entry::Entry,
    grant,
    id::{DocumentKey, Scope, TypeName},
    membership,
    model::{DocumentType, Model},
    push,
    transaction::{Loaded, Reads},
    value::{Document, fit::fit},
};

use super::{
    Clock,
    commit::{commit_repeatedly, halved},
};
use crate::store::{DecideFn, InboxRange, Store, StoreError, WALK_BYTES_MAX};

/// The number of documents that are checked at a time, and restamped in one transaction.
const BATCH: usize = 500;

/// How many documents of a list are named. The rest is counted.
const NAMED_MAX: usize = 10;

/// The result of checking a store against a model.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ModelCheck {
    /// The types of its entries, including types that the model lacks.
    pub types: BTreeSet<TypeName>,
    /// The number of documents that do not fit.
    pub misfits: usize,
    /// The first of them, each with the reason.
    pub named: Vec<(DocumentKey, String)>,
    /// How many entries were restamped, or would have to be if the survey only reads.
    pub unescaped: usize,
    /// The number of documents in a scope that no rule of the model grants.
    pub out_of_reach: usize,
    /// The first of them.
    pub named_out_of_reach: Vec<DocumentKey>,
}

/// Checks every entry. Calls `progress` with the size of each batch.
///
/// # Errors
/// [`StoreError`].
pub async fn check_model(
    model: &Arc<Model>,
    store: &dyn Store,
    progress: impl FnMut(usize),
) -> Result<ModelCheck, StoreError> {
    walk(model, store, None, progress).await
}

/// The same, and restamps entries that an earlier version wrote without escaping the values in their scopes. It may be
/// stopped and repeated.
///
/// # Errors
/// [`StoreError`]; what earlier transactions restamped stays so.
pub async fn restamp(
    model: &Arc<Model>,
    store: &dyn Store,
    clock: &Clock,
    progress: impl FnMut(usize),
) -> Result<ModelCheck, StoreError> {
    walk(model, store, Some(clock), progress).await
}

async fn walk(
    model: &Arc<Model>,
    store: &dyn Store,
    restamps: Option<&Clock>,
    mut progress: impl FnMut(usize),
) -> Result<ModelCheck, StoreError> {
    let mut survey = ModelCheck::default();
    let mut after: Option<DocumentKey> = None;
    loop {
        // Each batch has a snapshot of its own, since no store keeps one for as long as all batches may take.
        let mut snapshot = store.snapshot().await?;
        let entries = snapshot.walk(after.as_ref(), BATCH).await?;
        drop(snapshot);
        let unescaped: Vec<&Arc<Entry>> = entries
            .iter()
            .filter(|entry| push::is_unescaped(model, entry))
            .collect();
        if let Some(clock) = restamps.filter(|_| !unescaped.is_empty()) {
            let scopes = unescaped.iter().map(|entry| entry.scope.clone());
            restamp_conflicts(model, store, scopes.collect()).await?;
            let unescaped = unescaped.iter().map(|entry| entry.key.clone()).collect();
            let (restamped, all_had_room) = restamp_all(model, store, clock, unescaped).await?;
            survey.unescaped += restamped;
            if restamped > 0 || !all_had_room {
                // The same batch again, in its present state.
                continue;
            }
        } else {
            survey.unescaped += unescaped.len();
        }
        for entry in &entries {
            survey.take(model, entry);
        }
        progress(entries.len());
        match entries.last() {
            Some(last) => after = Some(last.key.clone()),
            None => return Ok(survey),
        }
    }
}

/// Restamps these entries, as far as a transaction has room for them. Returns how many, and whether all had room.
async fn restamp_all(
    model: &Arc<Model>,
    store: &dyn Store,
    clock: &Clock,
    keys: BTreeSet<DocumentKey>,
) -> Result<(usize, bool), StoreError> {
    let (model, clock) = (Arc::clone(model), Arc::clone(clock));
    let all_had_room = Arc::new(AtomicBool::new(true));
    let had_room = Arc::clone(&all_had_room);
    let decide: Arc<DecideFn> = Arc::new(move |loaded: &Loaded| {
        had_room.store(loaded.left_out.is_empty(), Ordering::Relaxed);
        push::restamp(&model, clock(), loaded)
    });
    let batch = |conflicts| {
        let attempted = keys.iter().take(halved(keys.len(), conflicts)).cloned();
        let reads = push::stamp_reads(attempted.collect(), None);
        (reads, Arc::clone(&decide))
    };
    let restamped = commit_repeatedly(store, batch).await?.entries.len();
    Ok((restamped, all_had_room.load(Ordering::Relaxed)))
}

/// Restamps the conflicts of documents that move, so that they move too.
async fn restamp_conflicts(
    model: &Arc<Model>,
    store: &dyn Store,
    scopes: BTreeSet<Scope>,
) -> Result<(), StoreError> {
    let mut range = InboxRange {
        scopes,
        after: None,
        items_max: BATCH,
        bytes_max: WALK_BYTES_MAX,
    };
    loop {
        let scan = store.snapshot().await?.conflicts(&range).await?;
        let unescaped = scan
            .conflicts
            .iter()
            .filter(|open| push::is_unescaped_conflict(model, open));
        let reads = Reads {
            inbox: unescaped.map(|open| open.id.clone()).collect(),
            ..Reads::default()
        };
        if !reads.inbox.is_empty() {
            let model = Arc::clone(model);
            let decide: Arc<DecideFn> =
                Arc::new(move |loaded: &Loaded| push::restamp_conflicts(&model, loaded));
            commit_repeatedly(store, |_| (reads.clone(), Arc::clone(&decide))).await?;
        }
        match scan.end.filter(|_| scan.has_more) {
            Some(end) => range.after = Some(end),
            None => return Ok(()),
        }
    }
}

impl ModelCheck {
    fn take(&mut self, model: &Model, entry: &Entry) {
        if !self.types.contains(&entry.key.type_name) {
            self.types.insert(entry.key.type_name.clone());
        }
        if push::is_out_of_reach(model, entry) {
            self.out_of_reach += 1;
            if self.named_out_of_reach.len() < NAMED_MAX {
                self.named_out_of_reach.push(entry.key.clone());
            }
        }
        let Some(problem) = problem(model, entry) else {
            return;
        };
        self.misfits += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push((entry.key.clone(), problem));
        }
    }
}

/// What is wrong with a stored document. For a type that the model no longer has, only whether it still grants
/// something.
fn problem(model: &Model, entry: &Entry) -> Option<String> {
    let document_type = model.stored_type(&entry.key.type_name);
    match (document_type, &entry.body) {
        (Some(document_type), Some(body)) => problem_of_type(model, document_type, entry, body),
        (None, Some(_)) if entry.membership.is_some() => {
            Some("it gives access to a scope, and its type is gone".to_owned())
        }
        _ => None,
    }
}

fn problem_of_type(
    model: &Model,
    document_type: &DocumentType,
    entry: &Entry,
    body: &Document,
) -> Option<String> {
    let fitted = match fit(model, &document_type.fields, body) {
        Ok(fitted) => fitted,
        Err(misfit) => return Some(misfit.to_string()),
    };
    let body = fitted.as_ref().unwrap_or(body);
    // It is restamped before it is served.
    if push::is_unescaped(model, entry) {
        return None;
    }
    if !push::is_in_its_scope(document_type, entry, body) {
        return Some("`@scope` would put it into another scope".to_owned());
    }
    let given = grant::membership_of(document_type, &entry.key.id, body);
    if !membership::open_the_same(given.as_ref(), entry.membership.as_ref()) {
        return Some("`@grants` would give other access".to_owned());
    }
    None
}
