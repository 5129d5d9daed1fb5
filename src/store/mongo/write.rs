//! What one commit sends: statements gathered in batches ([`batch`]), scopes first, so that conflicts show early.
//!
//! Records of the feed are always written whole, so that change events carry them. Of the application's documents only
//! the difference is written. [`super::commit`] decides when to commit, and handles failures.

mod batch;
mod current;
mod probe;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use mongodb::{
    ClientSession,
    bson::{Binary, RawArrayBuf, RawDocumentBuf, raw::cstr, rawdoc, spec::BinarySubtype},
};
use tidegate_core::{
    checkpoint::TokenKey,
    digest::SumChanges,
    entry::{Entry, FeedItem, Record},
    id::{DocumentKey, Epoch, Scope, ScopeNumber, Seq, UserId},
    transaction::{Reads, Writes},
};

pub(super) use self::{batch::StatementKind, current::CurrentRecords, probe::Probe};
use self::{
    batch::{Batch, Statement},
    current::{opened_in, scopes_of},
};
use super::{
    MongoContext,
    error::MongoError,
    format::format_of,
    grant_order::{GrantCounters, RaisedCounter},
    layout::id_to_bson,
    lease, misfits,
    names::{self, client_id, grants_id, marker_id, record_id, scope_id, user_id},
    reader::SessionReader,
};
use crate::store::{
    FeedWrite, StoreError, StoredRecord, TailEvent,
    codec::{self, CodecError},
};

/// The statements of a commit.
pub(super) struct WritePlan<'b> {
    pub(super) context: &'b MongoContext,
    batches: Vec<Batch>,
    /// The heads after the commit.
    heads: BTreeMap<Scope, Seq>,
    /// Its feed writes.
    feed: Vec<FeedWrite>,
    /// The scopes whose inboxes it changes; `None` is any.
    inboxes: BTreeSet<Option<Scope>>,
    epoch: Option<Epoch>,
    /// The users whose grants it may change, and the counter that it raises for them.
    users: Vec<UserId>,
    raised: Option<RaisedCounter>,
    /// The application's documents before the commit.
    before: HashMap<DocumentKey, RawDocumentBuf>,
}

/// What a transaction has written, beyond the decision.
#[derive(Default)]
pub(super) struct WriteSummary {
    /// The heads after it.
    pub(super) heads: BTreeMap<Scope, Seq>,
    /// What tails report once it is committed.
    pub(super) news: Vec<TailEvent>,
    pub(super) raised: Option<RaisedCounter>,
}

/// The change of one of the application's documents.
struct DocumentWrite<'b> {
    verb: StatementKind,
    collection: &'b str,
    raw: RawDocumentBuf,
    key: DocumentKey,
}

impl<'b> WritePlan<'b> {
    pub(super) fn new(context: &'b MongoContext) -> Self {
        Self {
            context,
            batches: Vec::new(),
            heads: BTreeMap::new(),
            feed: Vec::new(),
            inboxes: BTreeSet::new(),
            epoch: None,
            users: Vec::new(),
            raised: None,
            before: HashMap::new(),
        }
    }

    /// Adds the slot's group number.
    pub(super) fn with_group(mut self, slot: &str, number: i64) -> Self {
        let collection = &self.context.names.state;
        let update = rawdoc! {
            "q": { "_id": slot },
            "u": { "$set": { "n": number }, "$currentDate": { "at": true } },
            "upsert": true,
        };
        self.push(StatementKind::Update, collection, update, None);
        self
    }

    /// Adds all of `writes`. First looks up what is written without having been read. Among the application's documents
    /// of one kind, those in `deferred` come last.
    pub(super) async fn add(
        &mut self,
        session: &mut ClientSession,
        writes: &Writes,
        mut known: CurrentRecords,
        reads: &Reads,
        deferred: &[DocumentKey],
    ) -> Result<(), MongoError> {
        let context = self.context;
        let mut reader = SessionReader { context, session };
        known.look_up(&mut reader, writes, reads).await?;
        let disputed = match known.has_inbox {
            true => {
                let entering = writes.moves().map(|(key, _)| key.clone()).collect();
                reader.disputed(&entering).await?
            }
            false => BTreeSet::new(),
        };
        if let Some(lease) = reads.lease {
            let renewal = lease::renewal(lease)?;
            self.push(StatementKind::Update, &context.names.state, renewal, None);
        } else if writes.imports_alone {
            self.meet_lead();
        }
        known.number_scopes(context, writes).await?;
        let items = self.add_scopes(writes, &known);
        self.add_singles(writes, known.has_inbox);
        self.add_clients(writes)?;
        self.add_users(writes, known.grants);
        self.add_removals(writes, &known);
        self.add_inbox(writes, &disputed)?;
        self.add_vacating(writes, &mut known);
        for item in &items {
            self.add_item(item, &known)?;
        }
        self.add_misfits(writes);
        self.add_documents(writes, &known, deferred)?;
        self.before = known.documents;
        Ok(())
    }

    /// Conflicts with every change of the lead: no event of the application's collection would report this transaction
    /// to the next importer. A store that no model has led has nothing to conflict with.
    fn meet_lead(&mut self) {
        let collection = &self.context.names.state;
        let update =
            rawdoc! { "q": { "_id": names::MODEL }, "u": { "$inc": { "imports": 1_i64 } } };
        self.push(StatementKind::Move, collection, update, None);
    }

    fn add_documents(
        &mut self,
        writes: &Writes,
        known: &CurrentRecords,
        deferred: &[DocumentKey],
    ) -> Result<(), MongoError> {
        let mut changes = Vec::new();
        for entry in &writes.entries {
            changes.extend(self.change_of_document(entry, known)?);
        }
        let place = |key: &DocumentKey| deferred.iter().position(|deferred| deferred == key);
        changes.sort_by_cached_key(|change| (change.verb, place(&change.key)));
        for change in changes {
            self.push(change.verb, change.collection, change.raw, Some(change.key));
        }
        Ok(())
    }

    /// Numbers the feed writes, and sets heads and floors accordingly.
    fn add_scopes(&mut self, writes: &Writes, known: &CurrentRecords) -> Vec<FeedItem> {
        let states = &known.scopes;
        let mut heads: BTreeMap<_, _> = states
            .iter()
            .map(|(scope, state)| (scope.clone(), state.head))
            .collect();
        let items = writes.assign_seqs(&mut heads);
        let opened_in: BTreeSet<Scope> = opened_in(writes).collect();
        let before = |key: &DocumentKey| known.entries.get(key).map(Arc::as_ref);
        let changes = SumChanges::of(writes, before);
        for scope in scopes_of(writes) {
            let before = states.get(&scope).copied().unwrap_or_default();
            let head = heads.get(&scope).copied().unwrap_or_default();
            self.heads.insert(scope.clone(), head);
            let raised = writes.floors.get(&scope).copied().unwrap_or_default();
            let floor = before.floor.max(raised);
            let id = scope_id(&scope);
            let mut state = rawdoc! { "_id": id.as_str(), "h": head.0, "f": floor.0 };
            let new = || known.numbers.get(&scope).copied();
            if let Some(ScopeNumber(number)) = before.number.or_else(new) {
                state.append(cstr!("i"), i64::from(number));
            }
            if opened_in.contains(&scope) {
                let mark = (self.context.random)();
                state.append(cstr!("c"), i64::from_ne_bytes(mark.to_ne_bytes()));
            }
            if let Some(mut kept) = known.sums_before(&scope, self.context.keeps_sums) {
                changes.apply(&scope, &mut kept.sums);
                codec::append_sums(&mut state, &kept);
            }
            self.put_state(&id, state, states.contains_key(&scope));
        }
        items
    }

    /// Adds the keys that exist once.
    fn add_singles(&mut self, writes: &Writes, has_inbox: bool) {
        if let Some(epoch) = &writes.epoch {
            self.put_state(names::FORMAT, format_of(epoch), true);
            self.epoch = Some(epoch.clone());
        }
        if let Some(floor) = writes.version_floor {
            let document = rawdoc! { "_id": names::VERSION_FLOOR, "v": floor.0 };
            self.put_state(names::VERSION_FLOOR, document, true);
        }
        if let Some(TokenKey(secret)) = &writes.erasure {
            let secret = Binary {
                subtype: BinarySubtype::Generic,
                bytes: secret.to_vec(),
            };
            let document = rawdoc! { "_id": names::ERASURE, "k": secret };
            self.put_state(names::ERASURE, document, false);
        }
        if !has_inbox && opened_in(writes).next().is_some() {
            let document = rawdoc! { "_id": names::INBOX };
            self.put_state(names::INBOX, document, false);
        }
    }

    fn add_clients(&mut self, writes: &Writes) -> Result<(), MongoError> {
        for key in &writes.clients_removed {
            self.remove_state(&client_id(key));
        }
        for (key, state) in &writes.clients {
            let id = client_id(key);
            let mut document = rawdoc! { "_id": id.as_str() };
            let is_counted = state.at.is_some();
            let state = RawDocumentBuf::from_bytes(codec::encode_client(state))?;
            for element in &state {
                let (name, value) = element?;
                document.append(name, value);
            }
            if is_counted {
                document.append(cstr!("u"), key.user.as_str());
            }
            self.put_state(&id, document, false);
        }
        Ok(())
    }

    /// Comes before the feed writes: other gateways hear of changed grants before the writes of the same transaction.
    /// The counter comes after the users, so that its value says that all of them were reported.
    fn add_users(&mut self, writes: &Writes, counters: GrantCounters) {
        let collection = &self.context.names.state;
        for (user, change) in &writes.users {
            let mut update = rawdoc! { "$inc": { "n": 1_i64 } };
            if let Some(declined) = &change.declined {
                let declined = declined.iter().map(UserId::as_str);
                let declined: RawArrayBuf = declined.collect();
                update.append(cstr!("$set"), rawdoc! { "d": declined });
            }
            let update = rawdoc! { "q": { "_id": user_id(user) }, "u": update, "upsert": true };
            self.push(StatementKind::Update, collection, update, None);
            self.users.push(user.clone());
        }
        if !writes.users.is_empty() {
            let raised = counters.next(self.context.local_commits.grant_counter());
            let id = grants_id(raised.counter);
            let document = rawdoc! { "_id": id.as_str(), "n": raised.value };
            self.put_state(&id, document, false);
            self.raised = Some(raised);
        }
    }

    /// One statement that sets the whole state, whether it exists or not.
    pub(super) fn put_state(&mut self, id: &str, document: RawDocumentBuf, exists: bool) {
        let collection = &self.context.names.state;
        let update = rawdoc! { "q": { "_id": id }, "u": document, "upsert": !exists };
        self.push(StatementKind::Update, collection, update, None);
    }

    pub(super) fn remove_state(&mut self, id: &str) {
        let collection = &self.context.names.state;
        let delete = rawdoc! { "q": { "_id": id }, "limit": 1 };
        self.push(StatementKind::Delete, collection, delete, None);
    }

    /// A collected record must still stand at its seq; a newer one stays. A document without an entry has no markers to
    /// remove: they are collected with its last record.
    fn add_removals(&mut self, writes: &Writes, known: &CurrentRecords) {
        let collection = &self.context.names.feed;
        for item in &writes.collected {
            let id = record_id(&item.record);
            let delete = rawdoc! { "q": { "_id": id, "q": item.seq.0 }, "limit": 1 };
            self.push(StatementKind::Delete, collection, delete, None);
        }
        let removed = writes.markers_removed.iter();
        for (scope, key) in removed.filter(|(_, key)| known.entries.contains_key(key)) {
            let delete = rawdoc! { "q": { "_id": marker_id(key, scope) }, "limit": 1 };
            self.push(StatementKind::Delete, collection, delete, None);
        }
    }

    /// Takes the records out that leave a unique value to another one. They are inserted again with what they are now.
    fn add_vacating(&mut self, writes: &Writes, known: &mut CurrentRecords) {
        let collection = &self.context.names.feed;
        for key in &writes.vacating {
            let Some(before) = known.entries.remove(key) else {
                continue;
            };
            let id = record_id(&Record::Entry(before));
            let delete = rawdoc! { "q": { "_id": id }, "limit": 1 };
            self.push(StatementKind::Delete, collection, delete, None);
        }
    }

    fn add_misfits(&mut self, writes: &Writes) {
        let collection = &self.context.names.misfits;
        // It comes before the records of this commit, which were decided with these values free.
        for key in &writes.freed {
            let update = misfits::is_free(key);
            self.push(StatementKind::Move, collection, update, None);
        }
        for (key, misfit) in &writes.misfits {
            let Some(id) = misfits::record_id_of(self.context, key) else {
                continue;
            };
            let (verb, statement) = match misfit {
                Some(misfit) => {
                    let waits_for = writes.duplicates.get(key);
                    let record = misfits::record(id, misfit, waits_for);
                    (StatementKind::Update, record)
                }
                None => (StatementKind::Delete, misfits::removal(id)),
            };
            self.push(verb, collection, statement, None);
        }
    }

    fn add_item(&mut self, item: &FeedItem, known: &CurrentRecords) -> Result<(), MongoError> {
        let collection = &self.context.names.feed;
        let id = record_id(&item.record);
        let mut document = rawdoc! { "_id": id.as_str() };
        if item.record.is_collectable() {
            let at = mongodb::bson::DateTime::from_millis(item.record.at().ms());
            document.append(cstr!("x"), at);
        }
        codec::append_item(&mut document, item).map_err(decision_failed)?;
        let stored = Bytes::copy_from_slice(document.as_bytes());
        self.feed.push(FeedWrite {
            scope: item.record.scope().clone(),
            key: item.record.key().clone(),
            item: StoredRecord::kept(item.seq, stored),
        });
        match &item.record {
            Record::Entry(entry) => {
                self.put(
                    collection,
                    &id,
                    document,
                    known.entries.contains_key(&entry.key),
                );
            }
            Record::Marker(_) => {
                let update = rawdoc! { "q": { "_id": id }, "u": document, "upsert": true };
                self.push(StatementKind::Update, collection, update, None);
            }
        }
        Ok(())
    }

    /// Makes the application's document agree with the entry. A withheld document belongs to others, and stays.
    fn change_of_document(
        &self,
        entry: &Entry,
        known: &CurrentRecords,
    ) -> Result<Option<DocumentWrite<'b>>, MongoError> {
        let context = self.context;
        let Some(layout) = context.layout.document_type(&entry.key.type_name) else {
            return Ok(None);
        };
        let stored = known.documents.get(&entry.key);
        let is_gone = stored.is_none() && !known.unread.contains(&entry.key);
        if entry.withheld || (entry.body.is_none() && is_gone) {
            return Ok(None);
        }
        let id = id_to_bson(layout.id_type, entry.key.id.as_str()).ok_or_else(|| {
            let message = "an id is none of its collection".to_owned();
            MongoError::Final(StoreError::DecisionFailed(message))
        })?;
        let body = entry
            .body
            .as_ref()
            .map(|body| context.layout.shown(layout, body));
        let (verb, raw) = match (&body, stored) {
            (None, _) => (
                StatementKind::Delete,
                rawdoc! { "q": { "_id": id }, "limit": 1 },
            ),
            (Some(body), None) => {
                let document = context.layout.write(&layout.fields, id, body);
                let mut document = document.map_err(decision_failed)?;
                layout.keep_up_new(&mut document, entry.at);
                (StatementKind::Insert, document)
            }
            (Some(body), Some(stored)) => {
                let difference = context.layout.update(layout, stored, body);
                let mut difference = difference.map_err(decision_failed)?;
                if difference.is_empty() {
                    return Ok(None);
                }
                layout.keep_up(stored, &mut difference, entry.at);
                let update = difference.operators();
                (
                    StatementKind::Update,
                    rawdoc! { "q": { "_id": id }, "u": update },
                )
            }
        };
        Ok(Some(DocumentWrite {
            verb,
            collection: &layout.collection,
            raw,
            key: entry.key.clone(),
        }))
    }

    /// A whole document: an insert if there is none, which costs a third of an upsert, or else a replacement.
    fn put(&mut self, collection: &str, id: &str, document: RawDocumentBuf, exists: bool) {
        if exists {
            let update = rawdoc! { "q": { "_id": id }, "u": document };
            self.push(StatementKind::Update, collection, update, None);
        } else {
            self.push(StatementKind::Insert, collection, document, None);
        }
    }

    /// Notes that the inbox of this scope changes, or of an unknown scope.
    pub(super) fn changes_inbox(&mut self, scope: Option<Scope>) {
        self.inboxes.insert(scope);
    }

    pub(super) fn push(
        &mut self,
        verb: StatementKind,
        collection: &str,
        raw: RawDocumentBuf,
        key: Option<DocumentKey>,
    ) {
        let statement = Statement { raw, key };
        let mut batches = self.batches.iter_mut();
        match batches.find(|batch| batch.has_room(verb, collection)) {
            Some(batch) => batch.push(statement),
            None => self.batches.push(Batch::new(verb, collection, statement)),
        }
    }

    /// Sends everything. The first refused statement ends the transaction.
    pub(super) async fn send(&self, session: &mut ClientSession) -> Result<(), MongoError> {
        for batch in &self.batches {
            batch.send(self.context, session).await?;
        }
        Ok(())
    }

    /// What the transaction has written once it is sent.
    pub(super) fn into_sent(self) -> WriteSummary {
        let mut news = Vec::new();
        news.extend(self.epoch.map(TailEvent::Epoch));
        if !self.users.is_empty() {
            news.push(TailEvent::Grants(Some(self.users.into())));
        }
        if !self.feed.is_empty() {
            news.push(TailEvent::Committed(self.feed.into()));
        }
        news.extend(self.inboxes.into_iter().map(TailEvent::Inbox));
        WriteSummary {
            heads: self.heads,
            news,
            raised: self.raised,
        }
    }
}

/// The error of a decision that cannot be encoded.
pub(super) fn decision_failed(error: CodecError) -> MongoError {
    MongoError::Final(StoreError::DecisionFailed(error.to_string()))
}
