//! The sums of scopes in the file. A row names the head that it was written at, so that one from before a gateway that
//! did not keep it counts as none.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
};

use bson::{RawDocument, RawDocumentBuf};
use redb::{ReadTransaction, ReadableTable, Table, TableError, WriteTransaction};
use tidegate_core::{
    digest::{KeptSums, ScopeSums, SumChanges},
    entry::Record,
    id::{NameError, Scope, Seq},
};

use super::{
    EmbeddedStore,
    snapshot::off_the_async_threads,
    tables::{FEED, LIVING, SCOPES, SUMS},
    view::{ReadView, decode, lost, unreadable},
    writer::{ask, writer_gone},
};
use crate::store::{
    StoreError,
    codec::{append_sums, read_sums},
};

/// What the writer does with the sums of a scope.
pub(super) enum SumsWork {
    /// Begins sums where there are none.
    Begin,
    /// Begins them in any case.
    Restart,
    /// Completes those that were begun at this seq.
    Complete(Seq, ScopeSums),
}

/// The sums, open for writing.
pub(super) struct SumsTable<'t> {
    table: Table<'t, &'static str, (i64, &'static [u8])>,
    pub(super) changes: SumChanges,
    is_kept: bool,
}

impl<'t> SumsTable<'t> {
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        is_kept: bool,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            table: transaction.open_table(SUMS)?,
            changes: SumChanges::default(),
            is_kept,
        })
    }

    /// Moves a scope's sums from one head to the next. A scope that was never written has complete ones.
    pub(super) fn advance(
        &mut self,
        scope: &Scope,
        before: Seq,
        head: Seq,
    ) -> Result<(), StoreError> {
        if !self.is_kept {
            return Ok(());
        }
        let kept = match before {
            Seq::START => Some(KeptSums::default()),
            _ => self.kept(scope, before)?,
        };
        if let Some(mut kept) = kept {
            self.changes.apply(scope, &mut kept.sums);
            self.put(scope, head, &kept)?;
        }
        Ok(())
    }

    fn kept(&self, scope: &Scope, head: Seq) -> Result<Option<KeptSums>, StoreError> {
        let row = self.table.get(scope.as_str())?;
        Ok(row.and_then(|row| at_head(row.value(), head)))
    }

    fn put(&mut self, scope: &Scope, head: Seq, kept: &KeptSums) -> Result<(), StoreError> {
        let mut raw = RawDocumentBuf::new();
        append_sums(&mut raw, kept);
        self.table
            .insert(scope.as_str(), (head.0, raw.as_bytes()))?;
        Ok(())
    }
}

/// Does the work of one scope.
pub(super) fn write(
    transaction: &WriteTransaction,
    scope: &Scope,
    work: &SumsWork,
) -> Result<(), StoreError> {
    let state = transaction.open_table(SCOPES)?;
    let row = state.get(scope.as_str())?;
    let head = Seq(row.map_or(0, |row| row.value().0));
    let mut table = SumsTable::open(transaction, true)?;
    let kept = table.kept(scope, head)?;
    match (work, kept) {
        (SumsWork::Begin, Some(_)) | (SumsWork::Complete(..), None) => Ok(()),
        (SumsWork::Begin, None) | (SumsWork::Restart, _) => {
            table.put(scope, head, &KeptSums::begun_at(head))
        }
        (SumsWork::Complete(since, missing), Some(mut kept)) => {
            match kept.complete(*since, missing) {
                true => table.put(scope, head, &kept),
                false => Ok(()),
            }
        }
    }
}

/// What is kept of these scopes. A file that an earlier version wrote has no table.
pub(super) fn kept(
    file: &ReadTransaction,
    scopes: &BTreeSet<Scope>,
) -> Result<HashMap<Scope, KeptSums>, StoreError> {
    let table = match file.open_table(SUMS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(HashMap::new()),
        opened => opened?,
    };
    let states = file.open_table(SCOPES)?;
    let mut all = HashMap::new();
    for scope in scopes {
        let (state, row) = (states.get(scope.as_str())?, table.get(scope.as_str())?);
        let (Some(state), Some(row)) = (state, row) else {
            continue;
        };
        let head = Seq(state.value().0);
        all.extend(at_head(row.value(), head).map(|kept| (scope.clone(), kept)));
    }
    Ok(all)
}

/// Counts the living documents of a scope.
pub(super) fn count(file: &ReadTransaction, scope: &Scope) -> Result<ScopeSums, StoreError> {
    let (living, feed) = (file.open_table(LIVING)?, file.open_table(FEED)?);
    let name = scope.as_str();
    let mut sums = ScopeSums::default();
    for row in living.range((name, i64::MIN)..=(name, i64::MAX))? {
        let (place, _) = row?;
        let (_, seq) = place.value();
        let record = feed.get((name, seq))?.ok_or_else(|| lost(name, seq))?;
        if let Record::Entry(entry) = decode(record.value().1)?.record {
            sums.add(&entry.key, entry.version);
        }
    }
    Ok(sums)
}

/// Scopes in their order.
pub(super) fn scopes_after(
    file: &ReadTransaction,
    after: Option<&Scope>,
    limit: usize,
) -> Result<Vec<Scope>, StoreError> {
    let states = file.open_table(SCOPES)?;
    let after = after.map_or("", Scope::as_str);
    let rows = states.range::<&str>((Bound::Excluded(after), Bound::Unbounded))?;
    rows.take(limit)
        .map(|row| Scope::new(row?.0.value()).map_err(|error: NameError| unreadable(error)))
        .collect()
}

fn at_head((of, bytes): (i64, &[u8]), head: Seq) -> Option<KeptSums> {
    let raw = RawDocument::from_bytes(bytes).ok()?;
    read_sums(raw).filter(|_| of == head.0)
}

impl ReadView {
    /// The complete sums among those of these scopes.
    pub(super) fn sums(
        &self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeSums>, StoreError> {
        let kept = self.watched(|file| kept(file, scopes))?;
        let complete = kept.into_iter().filter(|(_, kept)| kept.since.is_none());
        Ok(complete.map(|(scope, kept)| (scope, kept.sums)).collect())
    }
}

impl EmbeddedStore {
    /// Begins the sums of a scope where there are none, and completes what was begun. What is written meanwhile is in
    /// the sums, also if this is killed halfway.
    pub(super) async fn complete_sums(
        &self,
        scope: &Scope,
        first: SumsWork,
    ) -> Result<(), StoreError> {
        self.work_on_sums(scope, first).await?;
        let (view, of) = (self.reader().view().await?, scope.clone());
        let counted = off_the_async_threads(move || {
            view.watched(|file| {
                let begun = kept(file, &BTreeSet::from([of.clone()]))?.remove(&of);
                let begun = begun.and_then(|begun| Some((begun.since?, begun.sums)));
                begun
                    .map(|(since, sums)| {
                        let mut missing = count(file, &of)?;
                        missing.remove_all(&sums);
                        Ok((since, missing))
                    })
                    .transpose()
            })
        });
        match counted.await? {
            Some((since, missing)) => {
                let work = SumsWork::Complete(since, missing);
                self.work_on_sums(scope, work).await
            }
            None => Ok(()),
        }
    }

    pub(super) async fn work_on_sums(
        &self,
        scope: &Scope,
        work: SumsWork,
    ) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or_else(writer_gone)?;
        let scope = scope.clone();
        ask(jobs, move |writer| writer.work_on_sums(&scope, &work)).await
    }
}
