//! The store as a leading gateway shows it while documents move to other scopes (docs/rules.md 9.10): a document that is
//! still in another scope than its fields make is shown nowhere.
//!
//! Everything that the service reads passes here: pages, rings, outcomes, and documents by their keys. Only types that
//! move cost anything.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tidegate_core::{
    checkpoint::TokenKey,
    entry::{Entry, FeedItem, Record, ScopeState},
    generation::{ModelState, Standing, Term},
    id::{ClientKey, ConflictId, DocumentKey, Epoch, Scope, ScopeNumber, Seq, UserId},
    inbox::InboxRecord,
    membership::{Bounds, Memberships, UserState},
    model::Model,
    mutant::{Mutant, is_active},
    push::{self, ClientState},
    transaction::{Loaded, Reads, Writes},
    value::Timestamp,
};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use crate::{
    lock::Mutex,
    store::{
        ClientCount, Committed, DecideFn, Entries, FeedWrite, InboxRange, InboxScan, Scan,
        ScanRange, Snapshot, Store, StoreError, StoredRecord, TailEvent, collections::Collections,
        models::Models,
    },
};

/// A store, and what moves in it.
pub(super) struct SettledStore {
    inner: Arc<dyn Store>,
    moves: Arc<Moves>,
}

/// Which documents of a leading gateway's store may be in other scopes than their fields make.
struct Moves {
    model: Arc<Model>,
    /// The lead as the last commit or snapshot read it.
    seen: Mutex<(Term, Arc<ModelState>)>,
    /// A lead under which documents move has begun: rings have what was shown before.
    begun: broadcast::Sender<()>,
}

impl SettledStore {
    pub(super) fn over(model: Arc<Model>, inner: Arc<dyn Store>) -> Arc<dyn Store> {
        let moves = Moves {
            model,
            seen: Mutex::default(),
            begun: broadcast::Sender::new(1),
        };
        Arc::new(Self {
            inner,
            moves: Arc::new(moves),
        })
    }
}

impl Moves {
    /// Takes note of the lead. Returns its state, if this gateway leads and documents move.
    fn note(&self, models: &Arc<ModelState>, standing: Standing) -> Option<Arc<ModelState>> {
        let moves = standing.leads && !models.moving.is_empty() && !is_active(Mutant::MovingShown);
        let state = moves.then(|| Arc::clone(models));
        let mut seen = self.seen.lock();
        if standing.term >= seen.0 {
            let begins = moves && standing.term > seen.0;
            *seen = (standing.term, state.clone().unwrap_or_default());
            if begins {
                // The tail may have no followers.
                drop(self.begun.send(()));
            }
        }
        state
    }

    /// Whether the document is in the scope that its fields make, as far as that matters.
    fn is_settled(&self, state: &ModelState, entry: &Entry) -> bool {
        let type_name = &entry.key.type_name;
        let document_type = self.model.stored_type(type_name);
        let moving = document_type.filter(|_| state.moving.contains(type_name));
        match (moving, &entry.body) {
            (Some(of), Some(body)) => push::is_in_its_scope(of, entry, body),
            _ => true,
        }
    }

    /// The record as it is shown. One that cannot be read is its reader's to judge.
    fn shown(&self, state: &ModelState, record: StoredRecord) -> StoredRecord {
        let Ok(item) = record.decode() else {
            return record;
        };
        let Record::Entry(entry) = &item.record else {
            return record;
        };
        if self.is_settled(state, entry) {
            return record;
        }
        let withheld = Entry {
            body: None,
            withheld: true,
            ..Entry::clone(entry)
        };
        let item = FeedItem {
            seq: item.seq,
            record: Record::Entry(Arc::new(withheld)),
        };
        StoredRecord::encode(&item).unwrap_or(record)
    }

    /// Leaves out of answers what may not be shown yet.
    fn settle_answers(&self, state: &ModelState, writes: &mut Writes) {
        let answers = writes.answers.iter_mut().flatten();
        for outcome in answers.flat_map(|answer| &mut answer.outcomes) {
            let document = outcome.document.as_deref();
            if document.is_some_and(|entry| !self.is_settled(state, entry)) {
                (outcome.document, outcome.conflict) = (None, None);
            }
        }
    }

    fn reported(&self, event: TailEvent) -> TailEvent {
        let state = Arc::clone(&self.seen.lock().1);
        match event {
            TailEvent::Committed(writes) if !state.moving.is_empty() => {
                let writes = writes.iter().cloned().map(|write| FeedWrite {
                    item: self.shown(&state, write.item),
                    ..write
                });
                TailEvent::Committed(writes.collect())
            }
            event => event,
        }
    }

    fn over(self: &Arc<Self>, inner: Box<dyn Snapshot>) -> Box<dyn Snapshot> {
        match self.note(inner.models(), inner.standing()) {
            Some(state) => Box::new(SettledSnapshot {
                inner,
                state,
                moves: Arc::clone(self),
            }),
            None => inner,
        }
    }
}

#[async_trait]
impl Store for SettledStore {
    async fn commit(&self, reads: Reads, decide: Arc<DecideFn>) -> Result<Committed, StoreError> {
        let moves = Arc::clone(&self.moves);
        let settled = move |loaded: &Loaded| {
            let state = moves.note(&loaded.models, loaded.standing);
            let mut writes = decide(loaded);
            if let Some(state) = state {
                moves.settle_answers(&state, &mut writes);
            }
            writes
        };
        self.inner.commit(reads, Arc::new(settled)).await
    }

    fn commits_max(&self) -> usize {
        self.inner.commits_max()
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        Ok(self.moves.over(self.inner.snapshot().await?))
    }

    async fn snapshot_with_heads(
        &self,
        scopes: &BTreeSet<Scope>,
        user: Option<&UserId>,
    ) -> Result<Box<dyn Snapshot>, StoreError> {
        let inner = self.inner.snapshot_with_heads(scopes, user).await?;
        Ok(self.moves.over(inner))
    }

    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError> {
        self.inner.confirmed_head(scope).await
    }

    fn collections(&self) -> Option<Arc<dyn Collections>> {
        self.inner.collections()
    }

    fn models(&self) -> Arc<dyn Models> {
        self.inner.models()
    }

    fn tail(&self) -> BoxStream<'static, TailEvent> {
        let moves = Arc::clone(&self.moves);
        let begun = BroadcastStream::new(moves.begun.subscribe());
        let restarts = begun.map(|_| TailEvent::Restart);
        let events = self.inner.tail().map(move |event| moves.reported(event));
        stream::select(events, restarts).boxed()
    }
}

/// A snapshot in which documents move.
struct SettledSnapshot {
    inner: Box<dyn Snapshot>,
    state: Arc<ModelState>,
    moves: Arc<Moves>,
}

#[async_trait]
impl Snapshot for SettledSnapshot {
    fn epoch(&self) -> &Epoch {
        self.inner.epoch()
    }

    fn models(&self) -> &Arc<ModelState> {
        self.inner.models()
    }

    fn standing(&self) -> Standing {
        self.inner.standing()
    }

    fn token_key(&self) -> &TokenKey {
        self.inner.token_key()
    }

    async fn scopes(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeState>, StoreError> {
        self.inner.scopes(scopes).await
    }

    async fn scopes_numbered(
        &mut self,
        numbers: &BTreeSet<ScopeNumber>,
    ) -> Result<HashMap<ScopeNumber, Scope>, StoreError> {
        self.inner.scopes_numbered(numbers).await
    }

    async fn user(&mut self, user: &UserId) -> Result<UserState, StoreError> {
        self.inner.user(user).await
    }

    async fn memberships(
        &mut self,
        user: &UserId,
        bounds: &Bounds,
    ) -> Result<Memberships, StoreError> {
        self.inner.memberships(user, bounds).await
    }

    async fn scan(&mut self, range: &ScanRange) -> Result<Scan, StoreError> {
        let scan = self.inner.scan(range).await?;
        let shown = scan.items.into_iter();
        let shown = shown.map(|record| self.moves.shown(&self.state, record));
        Ok(Scan {
            items: shown.collect(),
            ..scan
        })
    }

    async fn entries(
        &mut self,
        keys: &BTreeSet<DocumentKey>,
        bytes_max: usize,
    ) -> Result<Entries, StoreError> {
        let mut entries = self.inner.entries(keys, bytes_max).await?;
        let moves = &self.moves;
        entries
            .found
            .retain(|_, entry| moves.is_settled(&self.state, entry));
        Ok(entries)
    }

    async fn walk(
        &mut self,
        after: Option<&DocumentKey>,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        self.inner.walk(after, limit).await
    }

    async fn conflict(&mut self, id: &ConflictId) -> Result<Option<InboxRecord>, StoreError> {
        self.inner.conflict(id).await
    }

    async fn conflicts(&mut self, range: &InboxRange) -> Result<InboxScan, StoreError> {
        self.inner.conflicts(range).await
    }

    async fn client(&mut self, key: &ClientKey) -> Result<Option<ClientState>, StoreError> {
        self.inner.client(key).await
    }

    async fn clients_by_api(
        &mut self,
        since: Timestamp,
        limit: usize,
    ) -> Result<ClientCount, StoreError> {
        self.inner.clients_by_api(since, limit).await
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tidegate_core::{
        entry::Writer,
        generation::Generation,
        id::{DocumentId, TypeName, Version},
        outcome::Status,
        push::{Outcome, PushOutcome},
        value::Value,
    };

    use super::*;
    use crate::store::embedded::{EmbeddedOptions, EmbeddedStore};

    const MODEL: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{list}") { id: ID! list: String! }
type Note @collection(name: "notes") @scope(by: "{list}") { id: ID! list: String! }
"#;

    fn key(type_name: &str) -> DocumentKey {
        DocumentKey {
            type_name: TypeName::new(type_name).unwrap(),
            id: DocumentId::new("1").unwrap(),
        }
    }

    fn scope(name: &str) -> Scope {
        Scope::new(name).unwrap()
    }

    /// A document of the list `new` in this scope.
    fn entry(type_name: &str, stands_in: &str) -> Entry {
        let writer = Writer {
            user: None,
            client: None,
            edited_at: Timestamp::EPOCH,
            mutation: None,
        };
        let list = Value::String("new".to_owned());
        Entry {
            key: key(type_name),
            scope: scope(stands_in),
            version: Version(1),
            began: Version(1),
            run: Version(1),
            field_versions: [("list".to_owned(), Version(1))].into(),
            writers: [(Version(1), writer)].into(),
            body: Some([("list".to_owned(), list)].into()),
            withheld: false,
            at: Timestamp::EPOCH,
            membership: None,
        }
    }

    struct Bench {
        store: Arc<dyn Store>,
        models: Arc<dyn Models>,
        _directory: TempDir,
    }

    /// A gateway of the first generation, which leads. Tasks move.
    async fn bench() -> Bench {
        let directory = TempDir::new().unwrap();
        let options = EmbeddedOptions::new(Epoch::new("e1").unwrap(), TokenKey([7; 32]));
        let store = EmbeddedStore::open(directory.path(), &options).unwrap();
        let model = Model::parse("model.graphql", MODEL).unwrap();
        let mut change = ModelState::default().led_by(Generation(1), &model, None);
        change.state.moving.insert(key("Task").type_name);
        let store = SettledStore::over(Arc::new(model), Arc::new(store));
        let models = store.models();
        assert!(models.take_lead(&change).await.unwrap());
        models.serve_as(Generation(1)).await.unwrap();
        Bench {
            store,
            models,
            _directory: directory,
        }
    }

    impl Bench {
        async fn write(&self, entry: Entry) -> Writes {
            let shown = Outcome {
                type_name: entry.key.type_name.clone(),
                id: "1".to_owned(),
                mutation: None,
                status: Status::Conflict,
                version: Some(entry.version),
                document: Some(Arc::new(entry.clone())),
                conflict: Some(Vec::new()),
                error: None,
                inbox: None,
            };
            let answer = PushOutcome {
                outcomes: vec![shown],
                duplicate: false,
                last_mutation_id: None,
            };
            let writes = Writes {
                entries: vec![Arc::new(entry)],
                answers: vec![Ok(answer)],
                ..Writes::default()
            };
            let decide = move |_: &Loaded| writes.clone();
            let committed = self.store.commit(Reads::default(), Arc::new(decide)).await;
            committed.unwrap().writes
        }

        /// Whether a page and a read by key show the document.
        async fn shows(&self, type_name: &str, stands_in: &str) -> (bool, bool) {
            let mut snapshot = self.store.snapshot().await.unwrap();
            let range = ScanRange {
                scope: scope(stands_in),
                types: Some([key(type_name).type_name].into()),
                removals: true,
                after: Seq::START,
                through: Seq(100),
                items_max: 100,
                bytes_max: usize::MAX,
            };
            let page = snapshot.scan(&range).await.unwrap();
            let on_page = page.decoded().unwrap().iter().any(is_shown);
            let keys = [key(type_name)].into();
            let by_key = snapshot.entries(&keys, 0).await.unwrap();
            (on_page, by_key.found.contains_key(&key(type_name)))
        }
    }

    fn is_shown(item: &FeedItem) -> bool {
        !item.record.is_collectable()
    }

    fn has_document(writes: &Writes) -> bool {
        let outcome = &writes.answers[0].as_ref().unwrap().outcomes[0];
        assert_eq!(outcome.document.is_some(), outcome.conflict.is_some());
        outcome.document.is_some()
    }

    #[tokio::test]
    async fn a_document_in_another_scope_than_its_fields_make_is_shown_nowhere_while_its_type_moves()
     {
        let bench = bench().await;
        let shown_by = async |entry: Entry| {
            let (name, stands_in) = (entry.key.type_name.clone(), entry.scope.clone());
            let mut tail = bench.store.tail();
            let restart = tail.next().await;
            assert!(matches!(restart, Some(TailEvent::Restart)));
            let outcome = has_document(&bench.write(entry).await);
            let ring = loop {
                if let Some(TailEvent::Committed(writes)) = tail.next().await {
                    break is_shown(&writes[0].item.decode().unwrap());
                }
            };
            let (page, by_key) = bench.shows(name.as_str(), stands_in.as_str()).await;
            [outcome, ring, page, by_key]
        };
        assert_eq!(
            shown_by(entry("Note", "old")).await,
            [true; 4],
            "it does not move"
        );
        assert_eq!(
            shown_by(entry("Task", "new")).await,
            [true; 4],
            "it has moved"
        );
        assert_eq!(shown_by(entry("Task", "old")).await, [false; 4]);

        bench.models.serve_as(Generation(2)).await.unwrap();
        let of_another_model = bench.shows("Task", "old").await;
        assert_eq!(
            of_another_model,
            (true, true),
            "only the lead knows where it belongs"
        );
        bench.models.serve_as(Generation(1)).await.unwrap();
        assert_eq!(bench.shows("Task", "old").await, (false, false));
        let task = key("Task").type_name;
        bench.models.moved(Term(1), &task).await.unwrap();
        assert_eq!(bench.shows("Task", "old").await, (true, true));
    }

    #[tokio::test]
    async fn rings_begin_again_when_documents_begin_to_move() {
        let bench = bench().await;
        let mut tail = bench.store.tail();
        assert!(matches!(tail.next().await, Some(TailEvent::Restart)));
        drop(bench.store.snapshot().await.unwrap());
        assert!(matches!(tail.next().await, Some(TailEvent::Restart)));
    }
}
