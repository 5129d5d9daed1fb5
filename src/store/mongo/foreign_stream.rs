//! What other services write to the application's collections: a change stream of its own, whose events are reduced to
//! keys on the server. It skips the commits of all live gateways; what it does not skip costs a comparison.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use mongodb::bson::{Bson, Document, RawDocument, doc};
use tidegate_core::id::TypeName;
use tokio::time::{Duration, Instant};

use super::{
    MongoContext,
    misfits::UnspellableIds,
    position::StoreIdentity,
    reader::{text, unreadable},
    resumable::{Lost, ResumableStream, events},
};
use crate::store::collections::{FollowError, ForeignBatch, ForeignChange, ImportPosition};

/// The most events of a batch.
const EVENTS_MAX: u32 = 1_000;

/// How often the sessions of gateways and the store's identity are read again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

type Batches = BoxStream<'static, Result<ForeignBatch, FollowError>>;

/// Opens the stream at a position, or at the present. It ends with its first error.
pub(super) async fn follow(
    context: Arc<MongoContext>,
    from: Option<&ImportPosition>,
) -> Result<Batches, FollowError> {
    let (identity, now) = context.store_identity().await?;
    let token = from.map(|from| identity.trusted(from, now)).transpose()?;
    let sessions = context.listed_sessions().await?;
    let stages = stages(&context, &sessions);
    let stream = ForeignStream {
        types: types_by_collection(&context),
        stream: ResumableStream::new(Arc::clone(&context), stages, Some(EVENTS_MAX), token),
        context,
        identity,
        sessions,
        looked_at: Instant::now(),
    };
    let batches = stream::try_unfold(stream, |mut stream| async move {
        let batch = stream.next().await?;
        Ok(Some((batch, stream)))
    });
    Ok(batches.boxed())
}

struct ForeignStream {
    context: Arc<MongoContext>,
    /// The types of each collection.
    types: HashMap<String, Vec<TypeName>>,
    stream: ResumableStream,
    identity: StoreIdentity,
    /// The sessions that the stream skips.
    sessions: Vec<Bson>,
    /// When they and the identity were read.
    looked_at: Instant,
}

/// What a batch says.
#[derive(Default)]
struct ForeignEvents {
    writes: Vec<ForeignChange>,
    unspellable: UnspellableIds,
}

impl ForeignStream {
    async fn next(&mut self) -> Result<ForeignBatch, FollowError> {
        if self.looked_at.elapsed() >= LOOK_EVERY {
            self.looked_at = Instant::now();
            self.list_sessions().await;
            self.expect_same_store().await?;
        }
        let batch = self.stream.next().await;
        let batch = batch.map_err(|Lost(reason)| FollowError::Lost(reason))?;
        let mut found = ForeignEvents::default();
        for event in events(&batch)? {
            self.read(event?, &mut found)?;
        }
        self.context.record_ids(found.unspellable).await?;
        Ok(ForeignBatch {
            writes: found.writes,
            position: self.identity.position(&batch)?,
        })
    }

    /// Skips the sessions of all gateways that live now. Of a gateway that is not listed yet, or while the list cannot be
    /// read, the commits are compared.
    async fn list_sessions(&mut self) {
        let listed = self.context.listed_sessions().await.ok();
        if let Some(sessions) = listed.filter(|listed| *listed != self.sessions) {
            self.stream.set_stages(stages(&self.context, &sessions));
            self.sessions = sessions;
        }
    }

    /// A restore under a running gateway replaces the store, and MongoDB goes on with the stream. While the store cannot be
    /// read, the stream decides.
    async fn expect_same_store(&mut self) -> Result<(), FollowError> {
        match self.context.store_identity().await {
            Ok((identity, _)) => identity.expect(&self.identity),
            Err(_) => Ok(()),
        }
    }

    fn read(&self, event: &RawDocument, found: &mut ForeignEvents) -> Result<(), FollowError> {
        let operation = text(event, "operationType")?;
        match operation {
            "insert" | "update" | "replace" | "delete" => {
                let key = event.get_document("documentKey").map_err(unreadable)?;
                for type_name in self.types_in(event, "ns") {
                    match self.context.read_id(type_name, key) {
                        Ok(key) => found.writes.push(ForeignChange::Document(key)),
                        Err(id) if operation == "delete" => found.unspellable.remove(id),
                        Err(id) => found.unspellable.record(id),
                    }
                }
            }
            "drop" | "rename" => {
                let types = self.types_in(event, "ns");
                let types = types.iter().chain(self.types_in(event, "to"));
                let changed = types.cloned().map(ForeignChange::Collection);
                found.writes.extend(changed);
            }
            "dropDatabase" | "invalidate" => {
                return Err(FollowError::Lost("the database was dropped".to_owned()));
            }
            _ => {}
        }
        Ok(())
    }

    /// The types of the collection that stands there in the event.
    fn types_in(&self, event: &RawDocument, place: &str) -> &[TypeName] {
        let place = event.get_document(place);
        let collection = place.and_then(|place| place.get_str("coll"));
        let types = collection.ok().and_then(|name| self.types.get(name));
        types.map_or(&[], Vec::as_slice)
    }
}

fn types_by_collection(context: &MongoContext) -> HashMap<String, Vec<TypeName>> {
    let mut types: HashMap<String, Vec<TypeName>> = HashMap::new();
    for (type_name, layout) in context.layout.types() {
        let collection = layout.collection.clone();
        types.entry(collection).or_default().push(type_name.clone());
    }
    types
}

/// A rename that replaces a collection is no drop of that one: only `to` names it.
fn stages(context: &MongoContext, excluded: &[Bson]) -> Vec<Document> {
    let collections: BTreeSet<&str> = context.layout.collections().collect();
    let modelled = doc! { "$in": collections.into_iter().collect::<Vec<_>>() };
    let whole = doc! { "operationType": { "$in": ["dropDatabase", "invalidate"] } };
    let read = doc! { "operationType": 1, "ns.coll": 1, "to.coll": 1, "documentKey._id": 1 };
    vec![
        // A stage of its own, and the first: MongoDB then applies it to a whole transaction in the oplog, before
        // unpacking that.
        doc! { "$match": { "lsid.id": { "$nin": excluded } } },
        doc! { "$match": { "$or": [{ "ns.coll": modelled.clone() }, { "to.coll": modelled }, whole] } },
        doc! { "$project": read },
    ]
}
