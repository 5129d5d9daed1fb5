//! The importer: who holds the lease, how far the position is behind, what is scanned and what is held.

use mongodb::bson::{Document, doc};
use tidegate_core::id::TypeName;

use super::{
    super::{
        MongoContext,
        error::MongoError,
        live,
        names::{IMPORT, LEASE},
        progress,
    },
    Finding, Topic,
    oplog::duration,
};
use crate::store::collections::{FollowError, ImportPosition, ImportProgress, TypeImport};

/// An importer saves its position every ten seconds when nothing happens.
const BEHIND_MAX_S: u32 = 60;

impl MongoContext {
    pub(super) async fn importer(&self) -> Result<Vec<Finding>, MongoError> {
        let imports = self.in_state(IMPORT).await?;
        let imports = imports.as_ref().map(progress::decode).unwrap_or_default();
        let holder = self.lease_holder().await?;
        let gateways = self.state();
        let gateways = self
            .in_time(gateways.count_documents(live::alive()))
            .await?;
        let message = match &holder {
            Some(holder) => {
                format!("the gateway {holder} imports; gateways heard lately: {gateways}")
            }
            None => format!("no gateway imports now; gateways heard lately: {gateways}"),
        };
        let mut findings = vec![Finding::good(Topic::Importer, message)];
        let is_led = holder.is_some();
        findings.extend(match &imports.position {
            Some(position) => self.position(position, is_led).await?,
            None => Some(Finding::good(
                Topic::Importer,
                "nothing is imported yet; a gateway begins when it starts",
            )),
        });
        let types = imports.types.iter();
        findings.extend(types.filter_map(|(name, import)| of_type(name, import, is_led)));
        Ok(findings)
    }

    /// The gateway whose lease has not ended by MongoDB's clock.
    async fn lease_holder(&self) -> Result<Option<String>, MongoError> {
        let live = doc! { "_id": LEASE, "$expr": { "$gt": ["$until", "$$NOW"] } };
        let lease = self.state();
        let lease = self.in_time(lease.find_one(live)).await?;
        let holder = lease
            .as_ref()
            .and_then(|lease| lease.get_str("holder").ok());
        Ok(holder.map(str::to_owned))
    }

    /// How far the position is behind MongoDB's last operation, and whether it can be followed at all.
    async fn position(
        &self,
        position: &ImportPosition,
        is_led: bool,
    ) -> Result<Option<Finding>, MongoError> {
        let (store, now) = self.store_identity().await?;
        if let Err(FollowError::Lost(reason) | FollowError::Replaced(reason)) =
            store.trusted(position, now)
        {
            let message = format!(
                "the importer cannot go on where it was: {reason}; let a gateway run, which scans all documents"
            );
            return Ok(Some(Finding::warning(Topic::Importer, message)));
        }
        let age = now
            .time
            .saturating_sub(time_of(position).unwrap_or(now.time));
        Ok(Some(behind(age, is_led)))
    }

    /// The time of the importer's position.
    pub(super) async fn imported_until(&self) -> Result<Option<u32>, MongoError> {
        let imports = self.in_state(IMPORT).await?;
        let position = imports.as_ref().map(progress::decode);
        let position = position.and_then(|imports| imports.position);
        Ok(position.as_ref().and_then(time_of))
    }

    /// How far the import has come, and how old its position is by the server's time, in seconds.
    pub(in crate::store::mongo) async fn import_lag(
        &self,
    ) -> Result<(ImportProgress, Option<u64>), MongoError> {
        let imports = self.in_state(IMPORT).await?;
        let imports = imports.as_ref().map(progress::decode).unwrap_or_default();
        let position = imports.position.as_ref().and_then(time_of);
        let (_, now) = self.store_identity().await?;
        let lag = position.map(|position| now.time.saturating_sub(position).into());
        Ok((imports, lag))
    }

    async fn in_state(&self, id: &str) -> Result<Option<Document>, MongoError> {
        let state = self.state();
        self.in_time(state.find_one(doc! { "_id": id })).await
    }
}

fn time_of(ImportPosition(position): &ImportPosition) -> Option<u32> {
    let position = Document::from_reader(position.as_slice()).ok()?;
    position.get_timestamp("at").map(|at| at.time).ok()
}

fn behind(seconds: u32, is_led: bool) -> Finding {
    let behind = duration(seconds);
    if is_led && seconds > BEHIND_MAX_S {
        let message = format!(
            "what others write arrives {behind} late; look for failures in the logs of the gateways"
        );
        return Finding::warning(Topic::Importer, message);
    }
    let message = format!("the importer's position is {behind} old");
    Finding::good(Topic::Importer, message)
}

/// What is held and what is scanned.
fn of_type(name: &TypeName, import: &TypeImport, is_led: bool) -> Option<Finding> {
    if let Some(held) = import.held {
        let message = format!(
            "{} of {} documents of {name} are missing, and nothing is deleted from devices; bring the collection back, or say that they are deleted: tidegate import --accept-deletes {name}",
            held.missing, held.expected
        );
        return Some(Finding::problem(Topic::Importer, message).about(held.missing, Vec::new()));
    }
    let scan = import.scan.as_ref()?;
    let message = format!(
        "{name} is scanned: {} of about {} documents and entries",
        scan.done, scan.total
    );
    Some(match is_led {
        true => Finding::good(Topic::Importer, message),
        false => Finding::warning(
            Topic::Importer,
            format!("{message}; start a gateway, which goes on"),
        ),
    })
}
