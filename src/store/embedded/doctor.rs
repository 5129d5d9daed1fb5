//! What `doctor` examines of the file: the feed by the entries and markers, and the heads of its scopes. All of it is
//! read in one view, record after record.

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};
use tidegate_core::entry::Record;

use super::{
    EmbeddedStore, indexes,
    snapshot::off_the_async_threads,
    tables::{ENTRIES, FEED, MARKERS, SCOPES, names},
    view::decode,
};
use crate::store::{
    StoreError,
    finding::{Examples, Finding, Topic},
};

const ADVICE: &str = "restore the file from a backup, then run `tidegate rotate-epoch`";

impl EmbeddedStore {
    /// Examines the whole file.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn examine_all(&self) -> Result<Vec<Finding>, StoreError> {
        let view = self.reader().view().await?;
        let examine = |file: &ReadTransaction| {
            let mut findings = vec![heads(file)?, feed(file)?];
            findings.extend(indexes::examine(file)?);
            Ok(findings)
        };
        off_the_async_threads(move || view.watched(examine)).await
    }
}

/// No seq can stand twice: it is part of the key. The record of the last write stands at the head until it is collected.
fn heads(file: &ReadTransaction) -> Result<Finding, StoreError> {
    let (scopes, feed) = (file.open_table(SCOPES)?, file.open_table(FEED)?);
    let mut broken = Examples::default();
    for row in scopes.iter()? {
        let (scope, state) = row?;
        let (scope, (head, floor)) = (scope.value(), state.value());
        let mut beyond = feed.range((scope, head.saturating_add(1))..=(scope, i64::MAX))?;
        let is_last_lost = floor < head && feed.get((scope, head))?.is_none();
        if floor > head || is_last_lost || beyond.next().is_some() {
            broken.take(|| scope.to_owned());
        }
    }
    let found = "scopes have a head that is not at the end of their feed, or a floor above it";
    let good = "each scope's head is at the end of its feed";
    Ok(finding(broken, Topic::Heads, found, good))
}

/// Each record of the feed stands where the index of entries or that of markers says, and these say nothing else.
fn feed(file: &ReadTransaction) -> Result<Finding, StoreError> {
    let feed = file.open_table(FEED)?;
    let (entries, markers) = (file.open_table(ENTRIES)?, file.open_table(MARKERS)?);
    let scopes = file.open_table(SCOPES)?;
    let mut broken = Examples::default();
    let mut records = 0;
    for row in feed.iter()? {
        let (place, record) = row?;
        let (scope, seq) = place.value();
        let item = decode(record.value().1)?;
        let key = item.record.key();
        let (type_name, id) = names(key);
        let is_indexed = match &item.record {
            Record::Entry(_) => entries.get((type_name, id))?.is_some_and(|row| {
                let (of_scope, of_seq, ..) = row.value();
                (of_scope, of_seq) == (scope, seq)
            }),
            Record::Marker(_) => {
                let row = markers.get((scope, type_name, id))?;
                row.is_some_and(|row| row.value().0 == seq)
            }
        };
        records += 1;
        if !is_indexed || item.seq.0 != seq || scopes.get(scope)?.is_none() {
            broken.take(|| key.to_string());
        }
    }
    let indexed = entries.len()? + markers.len()?;
    for _ in records..indexed {
        broken.take(|| "a document without a record".to_owned());
    }
    let found = "records of the feed are not where its indexes say";
    let good = format!("{records} records of the feed, each where its index says");
    Ok(finding(broken, Topic::Feed, found, &good))
}

fn finding(broken: Examples, topic: Topic, found: &str, good: &str) -> Finding {
    match broken.count {
        0 => Finding::good(topic, good),
        count => {
            Finding::problem(topic, format!("{count} {found}; {ADVICE}")).about(count, broken.first)
        }
    }
}
