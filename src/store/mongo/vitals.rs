//! What is measured of a MongoDB while gateways run. `doctor` examines the same and more, and says what to do.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use tidegate_core::id::TypeName;

use super::{MongoContext, error::MongoError};
use crate::store::{COUNTED_MAX, Now, StoreVitals};

impl MongoContext {
    /// What the user may not read is left out.
    pub(super) async fn vitals(&self, now: &Now) -> Result<StoreVitals, MongoError> {
        let clock_offset_ms = Some(self.clock_offset_ms(now).await?);
        let (import, import_lag_s) = self.import_lag().await?;
        Ok(StoreVitals {
            clock_offset_ms,
            bytes: self.own_bytes().await.ok(),
            oplog_window_s: self.oplog_window_s().await,
            import_lag_s,
            import,
            withheld: self.count_withheld().await.unwrap_or_default(),
            conflicts: self.count_conflicts().await.unwrap_or_default(),
        })
    }

    /// What Tidegate's own collections take on the disk, with their indexes.
    async fn own_bytes(&self) -> Result<u64, MongoError> {
        let mut bytes = 0;
        for name in self.names.all() {
            let stats = doc! { "$collStats": { "storageStats": {} } };
            let total = doc! { "$project": { "bytes": { "$toLong": "$storageStats.totalSize" } } };
            let shards = self.grouped(name, vec![stats, total]).await?;
            let sizes = shards.iter().filter_map(|shard| number(shard, "bytes"));
            bytes += sizes.sum::<u64>();
        }
        Ok(bytes)
    }

    async fn count_withheld(&self) -> Result<BTreeMap<(TypeName, String), u64>, MongoError> {
        let found = doc! { "_id": { "t": "$_id.t", "found": "$found" }, "count": { "$sum": 1 } };
        let stages = vec![
            doc! { "$limit": i64::from(COUNTED_MAX) },
            doc! { "$group": found },
        ];
        let counted = self.grouped(&self.names.misfits, stages).await?;
        let counted = counted.iter().filter_map(|group| {
            let kind = group.get_document("_id").ok()?;
            let type_name = TypeName::new(kind.get_str("t").ok()?).ok()?;
            let found = kind.get_str("found").ok()?.to_owned();
            Some(((type_name, found), number(group, "count")?))
        });
        Ok(counted.collect())
    }

    /// Only open conflicts have a scope.
    async fn count_conflicts(&self) -> Result<BTreeMap<TypeName, u64>, MongoError> {
        let stages = vec![
            doc! { "$match": { "s": { "$gt": "" } } },
            doc! { "$limit": i64::from(COUNTED_MAX) },
            doc! { "$group": { "_id": "$t", "count": { "$sum": 1 } } },
        ];
        let counted = self.grouped(&self.names.conflicts, stages).await?;
        let counted = counted.iter().filter_map(|group| {
            let type_name = TypeName::new(group.get_str("_id").ok()?).ok()?;
            Some((type_name, number(group, "count")?))
        });
        Ok(counted.collect())
    }

    async fn grouped(
        &self,
        name: &str,
        stages: Vec<Document>,
    ) -> Result<Vec<Document>, MongoError> {
        let collection = self.database.collection::<Document>(name);
        self.in_time(async { collection.aggregate(stages).await?.try_collect().await })
            .await
    }
}

/// A number, of whichever kind the server makes it.
fn number(document: &Document, name: &str) -> Option<u64> {
    let found = document.get(name)?;
    let whole = found.as_i64().or(found.as_i32().map(i64::from))?;
    whole.try_into().ok()
}
