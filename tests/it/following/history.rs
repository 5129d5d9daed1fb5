//! What MongoDB itself says happened: each state that each document had, from a change stream that shows documents as
//! each write left them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use mongodb::{
    bson::{Bson, Document, doc},
    options::FullDocumentType,
};

use super::{
    foreign::BY,
    kinds::{Fitting, Kind},
    stage::Stage,
};

/// Type and id, as clients know them.
pub(super) type Key = (Kind, String);

/// The states of each document, the oldest first. Nothing stands for a document that is not there or does not fit.
#[derive(Default)]
pub(super) struct History {
    states: BTreeMap<Key, Vec<Option<Fitting>>>,
    /// The documents of each collection, by the text of their ids.
    collections: BTreeMap<String, BTreeMap<String, Document>>,
    /// How many writes were a gateway's.
    pub(super) by_gateways: usize,
}

impl History {
    /// Everything up to a document that is written now.
    pub(super) async fn read(stage: &Stage) -> Self {
        let end = stage.database.collection::<Document>("end_of_history");
        end.insert_one(doc! {}).await.unwrap();
        let tidegates = doc! {"$match": {"ns.coll": {"$not": {"$regex": "^tidegate"}}}};
        let stream = stage.database.watch().pipeline([tidegates]);
        let stream = stream.full_document(FullDocumentType::WhenAvailable);
        let stream = stream.start_at_operation_time(stage.began).await.unwrap();
        let mut stream = stream.with_type::<Document>();
        let mut history = Self::default();
        loop {
            let event = stream.next().await.expect("the end is in it").unwrap();
            let collection = event.get_document("ns").unwrap().get_str("coll").unwrap();
            if collection == end.name() {
                return history;
            }
            history.take(collection, &event);
        }
    }

    fn take(&mut self, collection: &str, event: &Document) {
        let operation = event.get_str("operationType").unwrap();
        match operation {
            "insert" | "replace" | "update" => {
                let written = event.get_document("fullDocument").expect("images are kept");
                self.write(collection, written);
            }
            "delete" => {
                let id = event
                    .get_document("documentKey")
                    .unwrap()
                    .get("_id")
                    .unwrap();
                self.collection(collection).remove(&text(id));
                self.note(collection, id);
            }
            "rename" => {
                let to = event.get_document("to").unwrap().get_str("coll").unwrap();
                let moved = self.collections.remove(collection).unwrap_or_default();
                let ids = self.ids(to).into_iter().chain(ids_of(&moved));
                let ids: Vec<Bson> = ids.collect();
                self.collections.insert(to.to_owned(), moved);
                for id in ids {
                    self.note(collection, &id);
                    self.note(to, &id);
                }
            }
            "drop" => {
                let ids = self.ids(collection);
                self.collections.remove(collection);
                for id in ids {
                    self.note(collection, &id);
                }
            }
            _ => panic!("nobody does this: {event}"),
        }
    }

    fn write(&mut self, collection: &str, written: &Document) {
        let id = written.get("_id").unwrap();
        let before = self
            .collection(collection)
            .insert(text(id), written.clone());
        if let (Some(before), Some(kind)) = (before, kind_of(collection))
            && before.get(BY) == written.get(BY)
        {
            self.by_gateways += 1;
            assert_eq!(
                kind.unmodelled(&before),
                kind.unmodelled(written),
                "a gateway leaves alone what the model does not name"
            );
        }
        self.note(collection, id);
    }

    /// Adds the present state of a document of a synced type, if it is a new one.
    fn note(&mut self, collection: &str, id: &Bson) {
        let Some(kind) = kind_of(collection) else {
            return;
        };
        let Some(spelling) = kind.spelling(id) else {
            return;
        };
        let stored = self.collection(collection).get(&text(id)).cloned();
        let fitting = stored.and_then(|stored| kind.fit(&stored));
        let fitting = fitting.map(|(_, fitting)| fitting);
        let states = self.states.entry((kind, spelling)).or_default();
        if states.last() != Some(&fitting) {
            states.push(fitting);
        }
    }

    fn collection(&mut self, name: &str) -> &mut BTreeMap<String, Document> {
        self.collections.entry(name.to_owned()).or_default()
    }

    fn ids(&self, collection: &str) -> Vec<Bson> {
        self.collections
            .get(collection)
            .map(ids_of)
            .unwrap_or_default()
    }

    /// The states of a document.
    pub(super) fn of(&self, key: &Key) -> &[Option<Fitting>] {
        self.states.get(key).map_or(&[], Vec::as_slice)
    }

    /// What clients may get of each document that fits, as the history leaves it.
    pub(super) fn end(&self) -> BTreeMap<Key, Fitting> {
        let last = self.states.iter().filter_map(|(key, states)| {
            let state = states.last().cloned().flatten()?;
            Some((key.clone(), state))
        });
        last.collect()
    }

    /// The ids of the documents of synced types that do not fit.
    pub(super) fn unfit(&self) -> BTreeSet<(String, String)> {
        let all = Kind::ALL.into_iter().flat_map(|kind| {
            let stored = self.collections.get(kind.collection());
            let stored = stored.into_iter().flatten();
            let unfit = stored.filter(move |(_, stored)| kind.fit(stored).is_none());
            unfit.map(move |(id, _)| (kind.name().to_owned(), id.clone()))
        });
        all.collect()
    }
}

fn ids_of(stored: &BTreeMap<String, Document>) -> Vec<Bson> {
    stored
        .values()
        .map(|stored| stored.get("_id").unwrap().clone())
        .collect()
}

fn kind_of(collection: &str) -> Option<Kind> {
    let mut all = Kind::ALL.into_iter();
    all.find(|kind| kind.collection() == collection)
}

/// A text that differs for ids of different BSON types.
pub(super) fn text(id: &Bson) -> String {
    format!("{id:?}")
}
