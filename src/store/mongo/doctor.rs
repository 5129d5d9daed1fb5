//! What `doctor` examines of a MongoDB beyond what a start does. It reads only, and holds little in memory.
//!
//! `sync` compares the feed with the collections.

mod clock;
mod heads;
mod ids;
mod importer;
mod indexes;
mod oplog;

use tidegate_core::{model::Model, value::Timestamp};

use super::{
    MongoContext, MongoOptions, MongoStore, error::MongoError, format::FORMAT_VERSION,
    layout::ModelLayout, opening::connect,
};
use crate::store::{
    StoreError,
    finding::{Finding, Level, StorePresence, Topic},
};

impl MongoStore {
    /// Examines the server as for an opening, and then its clock, its oplog and all that the store keeps there. Returns
    /// also whether the database has a store that can be opened. `now` is the clock of the gateway.
    ///
    /// # Errors
    /// [`StoreError`] if the server cannot be examined.
    pub async fn examine_all(
        options: &MongoOptions,
        model: &Model,
        now: impl Fn() -> Timestamp,
    ) -> Result<(bool, Vec<Finding>), StoreError> {
        let (context, mut findings) = connect(options, ModelLayout::of(model)).await?;
        let is_obstacle = |found: &Finding| found.prevents_start && found.topic != Topic::Ids;
        if findings.iter().any(is_obstacle) {
            return Ok((false, findings));
        }
        // Of a sample, only what prevents a start says more than the count of all odd ids.
        findings.retain(|found| found.topic != Topic::Ids || found.prevents_start);
        findings.extend(context.odd_ids().await?);
        findings.extend(context.unkeyed_lists().await);
        findings.push(context.clock(now).await?);
        findings.push(context.oplog().await?);
        let (can_be_opened, store) = context.own_collections().await?;
        findings.extend(store);
        Ok((can_be_opened, findings))
    }
}

impl MongoContext {
    /// Whether the store can be opened, and what is found in it.
    async fn own_collections(&self) -> Result<(bool, Vec<Finding>), MongoError> {
        let database = self.database.name();
        let presence = match self.presence().await {
            Err(MongoError::Final(error @ StoreError::OtherFormat { .. })) => {
                let finding = Finding::obstacle(Topic::Store, error.to_string());
                return Ok((false, vec![finding]));
            }
            presence => presence?,
        };
        match presence {
            StorePresence::Current => {}
            StorePresence::Convertible => {
                return Ok((false, vec![self.convertible().await?]));
            }
            StorePresence::None => {
                let message =
                    format!("no store in the database {database} yet; the first start makes it");
                return Ok((false, vec![Finding::good(Topic::Store, message)]));
            }
        }
        let message = format!("the store in the database {database} has format {FORMAT_VERSION}");
        let mut findings = vec![Finding::good(Topic::Store, message)];
        let indexes = self.indexes().await?;
        let are_whole = indexes.iter().all(|found| found.level == Level::Good);
        findings.extend(indexes);
        findings.extend(self.examine_list_indexes().await?);
        findings.extend(self.heads(are_whole).await?);
        findings.extend(self.importer().await?);
        Ok((true, findings))
    }
}

/// All findings, or the good one if there are none.
fn or_good(findings: Vec<Finding>, topic: Topic, good: &str) -> Vec<Finding> {
    match findings.is_empty() {
        true => vec![Finding::good(topic, good)],
        false => findings,
    }
}
