//! Building and dropping indexes, in small transactions between the commits.

use std::{collections::BTreeSet, ops::Bound};

use redb::{ReadableTable, ReadableTableMetadata, TableError, WriteTransaction};
use tidegate_core::{id::TypeName, query::IndexDefinition};

use super::{
    INDEXED_AT, INDEXES, KeptIndex, ROWS, forget_others_work, kept_in, number_in, rows_of, text_of,
};
use crate::store::{
    StoreError, StoredView,
    embedded::{
        EmbeddedStore,
        snapshot::off_the_async_threads,
        tables::{ENTRIES, FEED},
        view::lost,
        writer::{ask, writer_gone},
    },
};

/// How many documents are indexed in one transaction while an index is built, and how many rows of a dropped one go.
const BUILT_AT_A_TIME: usize = 2_000;

/// A part of the work on indexes, in a transaction of its own.
pub(in crate::store::embedded) enum IndexWork {
    /// Makes the indexes those of these definitions. New ones are not complete.
    Define(Vec<IndexDefinition>),
    /// Removes rows of indexes that are no more.
    Purge,
    /// Indexes documents of a type after this id.
    Build(TypeName, String),
    /// All documents are indexed.
    Complete,
}

/// What is left to do.
#[derive(Debug, Default)]
pub(in crate::store::embedded) struct IndexesLeft {
    /// The types whose documents are to be indexed.
    types: BTreeSet<TypeName>,
    /// Whether there are more rows to remove.
    has_orphans: bool,
    /// The last document that was indexed; `None` at the end of the type.
    last: Option<String>,
}

/// Does a part of the work.
pub(in crate::store::embedded) fn write(
    transaction: &WriteTransaction,
    commits: u64,
    work: &IndexWork,
) -> Result<IndexesLeft, StoreError> {
    forget_others_work(transaction, commits)?;
    match work {
        IndexWork::Define(wanted) => define(transaction, wanted),
        IndexWork::Purge => purge(transaction),
        IndexWork::Build(type_name, after) => build(transaction, type_name, after),
        IndexWork::Complete => {
            let mut table = transaction.open_table(INDEXES)?;
            for index in kept_in(&table)? {
                let text = text_of(&index.definition);
                table.insert(text.as_str(), (index.number, true))?;
            }
            Ok(IndexesLeft::default())
        }
    }
}

fn define(
    transaction: &WriteTransaction,
    wanted: &[IndexDefinition],
) -> Result<IndexesLeft, StoreError> {
    let mut table = transaction.open_table(INDEXES)?;
    let texts: BTreeSet<String> = wanted.iter().map(text_of).collect();
    let mut numbers = Vec::new();
    table.retain(|text, (number, _)| {
        numbers.push(number);
        texts.contains(text)
    })?;
    let mut next = numbers.iter().max().map_or(0, |last| last + 1);
    for text in &texts {
        if table.get(text.as_str())?.is_none() {
            table.insert(text.as_str(), (next, false))?;
            next += 1;
        }
    }
    let incomplete = kept_in(&table)?
        .into_iter()
        .filter(|index| !index.is_complete);
    Ok(IndexesLeft {
        types: incomplete.map(|index| index.definition.type_name).collect(),
        has_orphans: orphan(transaction, &table)?.is_some(),
        last: None,
    })
}

/// The first number under which there are rows, and no index.
fn orphan(
    transaction: &WriteTransaction,
    indexes: &impl ReadableTable<&'static str, (u32, bool)>,
) -> Result<Option<u32>, StoreError> {
    let kept: BTreeSet<u32> = kept_in(indexes)?.iter().map(|index| index.number).collect();
    let rows = transaction.open_table(ROWS)?;
    let mut from = 0_u32;
    loop {
        let begin = from.to_be_bytes();
        let Some(row) = rows.range::<&[u8]>(begin.as_slice()..)?.next() else {
            return Ok(None);
        };
        let (key, _) = row?;
        let number = number_in(key.value());
        if !kept.contains(&number) {
            return Ok(Some(number));
        }
        from = number + 1;
    }
}

fn purge(transaction: &WriteTransaction) -> Result<IndexesLeft, StoreError> {
    let indexes = transaction.open_table(INDEXES)?;
    if let Some(number) = orphan(transaction, &indexes)? {
        let (begin, end) = (number.to_be_bytes(), (number + 1).to_be_bytes());
        let mut rows = transaction.open_table(ROWS)?;
        let gone = rows.range::<&[u8]>(begin.as_slice()..end.as_slice())?;
        let gone = gone
            .take(BUILT_AT_A_TIME)
            .map(|row| Ok(row?.0.value().to_vec()));
        let gone: Vec<Vec<u8>> = gone.collect::<Result<_, StoreError>>()?;
        for row in gone {
            rows.remove(row.as_slice())?;
        }
    }
    Ok(IndexesLeft {
        has_orphans: orphan(transaction, &indexes)?.is_some(),
        ..IndexesLeft::default()
    })
}

fn build(
    transaction: &WriteTransaction,
    type_name: &TypeName,
    after: &str,
) -> Result<IndexesLeft, StoreError> {
    let kept = kept_in(&transaction.open_table(INDEXES)?)?;
    let incomplete: Vec<KeptIndex> = kept.into_iter().filter(|it| !it.is_complete).collect();
    let (entries, feed) = (
        transaction.open_table(ENTRIES)?,
        transaction.open_table(FEED)?,
    );
    let mut rows = transaction.open_table(ROWS)?;
    let name = type_name.as_str();
    let places =
        entries.range::<(&str, &str)>((Bound::Excluded((name, after)), Bound::Unbounded))?;
    let mut left = IndexesLeft::default();
    for row in places.take(BUILT_AT_A_TIME) {
        let (key, place) = row?;
        let (of_type, id) = key.value();
        if of_type != name {
            return Ok(IndexesLeft::default());
        }
        left.last = Some(id.to_owned());
        let (scope, seq, ..) = place.value();
        let record = feed.get((scope, seq))?.ok_or_else(|| lost(scope, seq))?;
        let Ok(view) = StoredView::read(record.value().1) else {
            continue;
        };
        for row in rows_of(&incomplete, &view) {
            rows.insert(row.as_slice(), id)?;
        }
    }
    Ok(left)
}

impl EmbeddedStore {
    /// Builds what is missing, and removes what nobody uses, in small transactions.
    pub(in crate::store::embedded) async fn make_indexes(
        &self,
        wanted: Vec<IndexDefinition>,
    ) -> Result<(), StoreError> {
        if self.are_indexes(&wanted).await? {
            return Ok(());
        }
        let IndexesLeft {
            types,
            mut has_orphans,
            ..
        } = self.work_on_indexes(IndexWork::Define(wanted)).await?;
        while has_orphans {
            has_orphans = self.work_on_indexes(IndexWork::Purge).await?.has_orphans;
        }
        if types.is_empty() {
            return Ok(());
        }
        for type_name in types {
            let mut after = Some(String::new());
            while let Some(last) = after {
                let work = IndexWork::Build(type_name.clone(), last);
                after = self.work_on_indexes(work).await?.last;
            }
        }
        self.work_on_indexes(IndexWork::Complete).await.map(drop)
    }

    /// Whether these are the indexes of the file, and complete.
    async fn are_indexes(&self, wanted: &[IndexDefinition]) -> Result<bool, StoreError> {
        let view = self.reader().view().await?;
        let wanted: BTreeSet<IndexDefinition> = wanted.iter().cloned().collect();
        let are_current = move || {
            view.watched(|file| {
                let table = match file.open_table(INDEXES) {
                    Err(TableError::TableDoesNotExist(_)) => return Ok(wanted.is_empty()),
                    opened => opened?,
                };
                let at = file.open_table(INDEXED_AT)?.get(())?.map(|at| at.value());
                let kept = kept_in(&table)?.into_iter();
                let complete = kept.filter(|index| index.is_complete);
                let complete: BTreeSet<_> = complete.map(|index| index.definition).collect();
                let count = usize::try_from(table.len()?).unwrap_or(usize::MAX);
                Ok(complete == wanted && count == wanted.len() && at == Some(view.commits))
            })
        };
        off_the_async_threads(are_current).await
    }

    async fn work_on_indexes(&self, work: IndexWork) -> Result<IndexesLeft, StoreError> {
        let jobs = self.jobs.as_ref().ok_or_else(writer_gone)?;
        ask(jobs, move |writer| writer.work_on_indexes(&work)).await
    }
}
