//! The importer's lease: one gateway at a time imports, and another takes over once the lease has ended by MongoDB's
//! clock. Its number, the fence, stands in one document, which each stamp writes. So a deposed gateway commits nothing.

use mongodb::{
    bson::{Bson, DateTime, Document, RawDocumentBuf, doc, rawdoc},
    options::ReturnDocument,
};
use tidegate_core::{generation::Generation, transaction::Fence};

use super::{
    MongoContext,
    error::MongoError,
    names::{IMPORT, LEASE},
    reader::unreadable,
};

/// How long a lease lasts after its last renewal.
const LEASE_S: i32 = 6;

/// A lease that ends later than this was renewed by another clock, before an election or before the clock was set.
const BELIEVED_S: i32 = 60;

/// The document as the first gateway makes it. No filter with `$expr` can upsert it.
pub(super) fn never_taken() -> Document {
    doc! { "fence": 0_i64, "until": DateTime::from_millis(0) }
}

impl MongoContext {
    /// Renews the lease `held`, or takes it if it has ended. Only gateways of the leading model have it.
    pub(super) async fn lease(&self, held: Option<Fence>) -> Result<Option<Fence>, MongoError> {
        let Generation(own) = self.models.own();
        // Until a model leads, the field is missing.
        let of_lead = doc! { "generation": { "$in": [Bson::Null, Bson::from(i64::from(own))] } };
        self.lease_if(held, of_lead).await
    }

    /// Renews or takes the lease if its document is one of these.
    async fn lease_if(
        &self,
        held: Option<Fence>,
        mut filter: Document,
    ) -> Result<Option<Fence>, MongoError> {
        let number = held.map_or(Bson::Null, |Fence(number)| number.into());
        let is_own = doc! { "$eq": ["$fence", number] };
        let has_ended = doc! { "$lt": ["$until", "$$NOW"] };
        let is_of_another_clock = doc! { "$gt": ["$until", in_seconds(BELIEVED_S)] };
        let may_be_taken = [is_own.clone(), has_ended, is_of_another_clock];
        filter.insert("_id", LEASE);
        filter.insert("$expr", doc! { "$or": may_be_taken });
        // By the clock, it is above all numbers before, also those that a restore of an older dump took back.
        let next = doc! { "$max": [{ "$add": ["$fence", 1_i64] }, { "$toLong": "$$NOW" }] };
        let mut renewed = until();
        renewed.insert("fence", doc! { "$cond": [is_own, "$fence", next] });
        renewed.insert("holder", self.live.name());
        let state = self.state();
        let take = state
            .find_one_and_update(filter, vec![doc! { "$set": renewed }])
            .return_document(ReturnDocument::After)
            // Without an end on the server it may take the lease later, for nobody.
            .max_time(self.call_max);
        let taken = self.in_time(take).await;
        if taken.as_ref().is_err_and(MongoError::is_out_of_time) {
            // A gateway that was killed in a stamp may hold the document's lock.
            self.met_lock().await;
        }
        let Some(lease) = taken? else {
            return Ok(None);
        };
        let fence = Fence(lease.get_i64("fence").map_err(unreadable)?);
        if held != Some(fence) {
            self.fence_progress(fence).await?;
        }
        Ok(Some(fence))
    }

    /// From now on the progress takes no more changes of earlier holders.
    async fn fence_progress(&self, fence: Fence) -> Result<(), MongoError> {
        let state = self.state();
        let raise = state.update_one(doc! { "_id": IMPORT }, raised(fence));
        let update = raise.upsert(true);
        self.in_time(update).await?;
        Ok(())
    }

    /// Ends the lease. The next number keeps out stamps that are still on their way.
    pub(super) async fn release(&self, Fence(number): Fence) -> Result<(), MongoError> {
        self.end_lease(doc! { "_id": LEASE, "fence": number }).await
    }

    /// Takes the lease even from a gateway that lives. That gateway stamps nothing from then on, and waits until the
    /// lease is given back.
    pub(super) async fn seize_lease(&self) -> Result<Fence, MongoError> {
        loop {
            self.end_lease(doc! { "_id": LEASE }).await?;
            if let Some(fence) = self.lease_if(None, doc! {}).await? {
                return Ok(fence);
            }
        }
    }

    async fn end_lease(&self, filter: Document) -> Result<(), MongoError> {
        self.in_time(self.state().update_one(filter, ended()))
            .await?;
        Ok(())
    }
}

/// The update of the progress for the holder of this lease. What is no record of types gives way, so that records can be
/// written.
pub(super) fn raised(Fence(number): Fence) -> Vec<Document> {
    let is_readable = doc! { "$eq": [{ "$type": "$types" }, "object"] };
    let raised = doc! {
        "fence": { "$max": ["$fence", number] },
        "types": { "$cond": [is_readable, "$types", "$$REMOVE"] },
    };
    vec![doc! { "$set": raised }]
}

/// The update that ends a lease when another model takes the lead.
pub(super) fn deposed_by(Generation(lead): Generation) -> Document {
    let mut update = ended();
    if let Ok(set) = update.get_document_mut("$set") {
        set.insert("generation", i64::from(lead));
    }
    update
}

/// The update that ends a lease.
fn ended() -> Document {
    doc! {
        "$inc": { "fence": 1_i64 },
        "$set": { "until": DateTime::from_millis(0) },
        "$unset": { "holder": "" },
    }
}

/// The statement that renews the lease in a stamp's transaction, which has read this number.
pub(super) fn renewal(Fence(number): Fence) -> Result<RawDocumentBuf, MongoError> {
    let renewed = RawDocumentBuf::try_from(&until())?;
    Ok(rawdoc! {
        "q": { "_id": LEASE, "fence": number },
        "u": [{ "$set": renewed }],
    })
}

fn until() -> Document {
    doc! { "until": in_seconds(LEASE_S) }
}

fn in_seconds(seconds: i32) -> Document {
    doc! { "$dateAdd": { "startDate": "$$NOW", "unit": "second", "amount": seconds } }
}
