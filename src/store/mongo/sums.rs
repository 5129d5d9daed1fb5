//! The sums of scopes, which commits keep in the scopes' records. A gateway that does not keep them replaces a record
//! whole, and so takes them away.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use mongodb::{
    bson::{Document, RawDocument, RawDocumentBuf, doc},
    options::{FindOptions, Hint},
};
use tidegate_core::{
    digest::{KeptSums, ScopeSums},
    id::{Scope, Seq, Version},
};

use super::{
    MongoContext,
    error::MongoError,
    names::{SCOPES, SCOPES_END, StateKey, scope_id},
    reader::{SessionReader, corrupt, text, unreadable},
    snapshot::MongoSnapshot,
};
use crate::store::{StoreError, codec};

/// How many documents one command counts.
const COUNTED_AT_ONCE: i64 = 10_000;

/// How often sums are completed again that a commit has changed meanwhile.
const COMPLETED_MAX: usize = 16;

impl MongoContext {
    /// Begins the sums of a scope where there are none, or in any case, and completes what was begun. What is written
    /// meanwhile is in the sums, also if this is killed halfway.
    pub(super) async fn keep_sums(
        self: &Arc<Self>,
        scope: &Scope,
        again: bool,
    ) -> Result<(), StoreError> {
        self.begin_sums(scope, again).await?;
        let scopes = BTreeSet::from([scope.clone()]);
        let mut snapshot = MongoSnapshot::open(self, &scopes, None).await?;
        let mut reader = snapshot.reader();
        let (_, mut kept) = reader.scopes_with_sums(&scopes).await?;
        let Some(KeptSums { since, sums }) = kept.remove(scope) else {
            return Ok(());
        };
        if let Some(since) = since {
            let mut missing = reader.count(scope).await?;
            missing.remove_all(&sums);
            self.complete_sums(scope, since, &missing).await?;
        }
        Ok(())
    }

    async fn begin_sums(&self, scope: &Scope, again: bool) -> Result<(), MongoError> {
        let mut filter = doc! { "_id": scope_id(scope) };
        if !again {
            filter.insert("d", doc! { "$exists": false });
        }
        let begun = doc! { "$set": { "d": { "$literal": {} }, "o": "$h" } };
        let stages = vec![doc! { "$unset": "d" }, begun];
        let state = self.state();
        self.in_time(state.update_one(filter, stages)).await?;
        Ok(())
    }

    /// Adds what was missing, unless a commit comes between. A scope that is written all the time is left for later.
    async fn complete_sums(
        &self,
        scope: &Scope,
        since: Seq,
        missing: &ScopeSums,
    ) -> Result<(), MongoError> {
        let collection = self
            .database
            .collection::<RawDocumentBuf>(&self.names.state);
        let id = scope_id(scope);
        for _ in 0..COMPLETED_MAX {
            let found = collection.find_one(doc! { "_id": &id });
            let Some(found) = self.in_time(found).await? else {
                return Ok(());
            };
            let mut kept = codec::read_sums(&found).unwrap_or_default();
            if !kept.complete(since, missing) {
                return Ok(());
            }
            let head = found.get_i64("h").map_err(unreadable)?;
            let unchanged = doc! { "_id": &id, "h": head, "o": since.0 };
            let sums = Document::try_from(&codec::encode_sums(&kept.sums))?;
            let completed = doc! { "$set": { "d": sums }, "$unset": { "o": "" } };
            let state = self.state();
            let update = state.update_one(unchanged, completed);
            if self.in_time(update).await?.matched_count > 0 {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl SessionReader<'_> {
    /// The complete sums among those of these scopes.
    pub(super) async fn sums(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeSums>, MongoError> {
        let (_, kept) = self.scopes_with_sums(scopes).await?;
        let complete = kept.into_iter().filter(|(_, kept)| kept.since.is_none());
        Ok(complete.map(|(scope, kept)| (scope, kept.sums)).collect())
    }

    /// Scopes in the order of their records.
    pub(super) async fn scopes_after(
        &mut self,
        after: Option<&Scope>,
        limit: usize,
    ) -> Result<Vec<Scope>, MongoError> {
        let context = self.context;
        let begin = after.map_or_else(|| SCOPES.to_owned(), scope_id);
        let filter = doc! { "_id": { "$gt": begin, "$lt": SCOPES_END } };
        let options = FindOptions::builder()
            .projection(doc! { "_id": 1 })
            .sort(doc! { "_id": 1 })
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .build();
        let found = self.find(&context.names.state, filter, options).await?;
        let names = found
            .iter()
            .map(|raw| match StateKey::of(text(raw, "_id")?) {
                Some(StateKey::Scope(name)) => Scope::new(name).map_err(unreadable),
                _ => Err(corrupt("a scope's record has the id of something else")),
            });
        names.collect()
    }

    /// Counts the living documents of a scope.
    pub(super) async fn count(&mut self, scope: &Scope) -> Result<ScopeSums, MongoError> {
        let context = self.context;
        let options = FindOptions::builder()
            .projection(doc! { "_id": 0, "t": 1, "i": 1, "v": 1, "q": 1 })
            .sort(doc! { "q": 1 })
            .hint(Hint::Keys(doc! { "t": 1, "s": 1, "q": 1 }))
            .limit(COUNTED_AT_ONCE)
            .build();
        let mut sums = ScopeSums::default();
        for type_name in self.types_in(scope).await? {
            let mut last = Some(Seq::START);
            while let Some(Seq(after)) = last.take() {
                let range = doc! {
                    "s": scope.as_str(), "t": &type_name, "q": { "$gt": after }, "b": { "$exists": true },
                };
                let each = |raw: &RawDocument| {
                    let key = codec::document_key(raw)?;
                    sums.add(&key, Version(raw.get_i32("v").map_err(unreadable)?));
                    last = Some(codec::seq_of(raw.as_bytes())?);
                    Ok(true)
                };
                let (feed, options) = (&context.names.feed, options.clone());
                self.find_each(feed, range, options, each).await?;
            }
        }
        Ok(sums)
    }
}
