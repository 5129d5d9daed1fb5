//! The numbers of scopes, by which checkpoints name them. A gateway leases a block of numbers at a time, so that commits do
//! not meet at the counter. Numbers that it does not use are never given out.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
};

use mongodb::{
    bson::{Bson, Document, doc},
    options::{FindOptions, ReadConcern, ReturnDocument},
};
use tidegate_core::id::{Scope, ScopeNumber};

use super::{
    MongoContext,
    error::MongoError,
    names::{SCOPE_NUMBERS, SCOPES, SCOPES_END, StateKey},
    reader::{SessionReader, corrupt, text, unreadable},
};
use crate::lock::Mutex;

/// How many numbers a gateway leases at a time.
const BLOCK: usize = 256;

/// How many scopes of an earlier version are numbered at a time.
const NUMBERED_AT_ONCE: i64 = 1_000;

/// The numbers that this gateway has leased and not used.
#[derive(Debug, Default)]
pub(super) struct LeasedNumbers(Mutex<Vec<Range<u32>>>);

impl LeasedNumbers {
    fn take(&self) -> Option<ScopeNumber> {
        let mut leased = self.0.lock();
        while let Some(block) = leased.last_mut() {
            if let Some(number) = block.next() {
                return Some(ScopeNumber(number));
            }
            leased.pop();
        }
        None
    }
}

impl MongoContext {
    /// So many numbers that no scope has.
    pub(super) async fn scope_numbers(&self, count: usize) -> Result<Vec<ScopeNumber>, MongoError> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            match self.numbers.take() {
                Some(number) => taken.push(number),
                None => self.lease_numbers((count - taken.len()).max(BLOCK)).await?,
            }
        }
        Ok(taken)
    }

    async fn lease_numbers(&self, count: usize) -> Result<(), MongoError> {
        let used_up = |_| corrupt("the numbers of scopes are used up");
        let count = u32::try_from(count).map_err(used_up)?;
        let state = self.state();
        let more = doc! { "$inc": { "last": i64::from(count) } };
        let lease = state
            .find_one_and_update(doc! { "_id": SCOPE_NUMBERS }, more)
            .upsert(true)
            .return_document(ReturnDocument::After);
        let counter = self.in_time(lease).await?.unwrap_or_default();
        let last = counter.get_i64("last").map_err(unreadable)?;
        let end = u32::try_from(last + 1).map_err(used_up)?;
        self.numbers.0.lock().push(end - count..end);
        Ok(())
    }

    /// Numbers the scopes of a store that an earlier version made.
    pub(super) async fn number_scopes(&self) -> Result<(), MongoError> {
        let state = self.state();
        let counter = doc! { "_id": SCOPE_NUMBERS };
        let numbered = doc! { "_id": SCOPE_NUMBERS, "covers": "all" };
        let find = state.find_one(numbered);
        let find = find.read_concern(ReadConcern::majority());
        if self.in_time(find).await?.is_some() {
            return Ok(());
        }
        loop {
            let ids = self.unnumbered_scopes().await?;
            if ids.is_empty() {
                break;
            }
            let numbers = self.scope_numbers(ids.len()).await?;
            let updates = ids
                .into_iter()
                .zip(numbers)
                .map(|(id, ScopeNumber(number))| {
                    Bson::from(doc! {
                        "q": { "_id": id, "i": { "$exists": false } },
                        "u": { "$set": { "i": i64::from(number) } },
                    })
                });
            let updates: Vec<Bson> = updates.collect();
            let update = doc! {
                "update": &self.names.state,
                "updates": updates,
                "writeConcern": { "w": "majority", "j": true },
            };
            self.in_time(self.database.run_command(update)).await?;
        }
        let covers = doc! { "$set": { "covers": "all" } };
        let update = state.update_one(counter, covers).upsert(true);
        self.in_time(update).await?;
        Ok(())
    }

    async fn unnumbered_scopes(&self) -> Result<Vec<Bson>, MongoError> {
        let state = self.state();
        let unnumbered = doc! {
            "_id": { "$gte": SCOPES, "$lt": SCOPES_END },
            "i": { "$exists": false },
        };
        let find = state
            .find(unnumbered)
            .projection(doc! { "_id": 1 })
            .limit(NUMBERED_AT_ONCE);
        let found: Vec<Document> = self.all(find).await?;
        let ids = found
            .into_iter()
            .filter_map(|mut scope| scope.remove("_id"));
        Ok(ids.collect())
    }
}

impl SessionReader<'_> {
    pub(super) async fn scopes_numbered(
        &mut self,
        numbers: &BTreeSet<ScopeNumber>,
    ) -> Result<HashMap<ScopeNumber, Scope>, MongoError> {
        let context = self.context;
        let mut scopes = HashMap::new();
        let numbers: Vec<i64> = numbers.iter().map(|number| i64::from(number.0)).collect();
        for numbers in numbers.chunks(BLOCK) {
            let filter = doc! { "i": { "$in": numbers } };
            let found = self.find(&context.names.state, filter, FindOptions::default());
            for scope in found.await? {
                let Some(StateKey::Scope(name)) = StateKey::of(text(&scope, "_id")?) else {
                    continue;
                };
                let number = scope.get_i64("i").map_err(unreadable)?;
                let number = u32::try_from(number).map_err(unreadable)?;
                let name = Scope::new(name).map_err(unreadable)?;
                scopes.insert(ScopeNumber(number), name);
            }
        }
        Ok(scopes)
    }
}
