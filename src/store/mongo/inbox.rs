//! The inbox in its collection: what a session reads of it, and the statements that a commit adds.
//!
//! An open conflict names the scope of its document, so that an inbox is one walk along an index. A commit that moves
//! the document moves the conflict too.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mongodb::{
    bson::{DateTime, Document, RawDocument, doc, raw::cstr, rawdoc},
    options::FindOptions,
};
use tidegate_core::{
    id::{ConflictId, DocumentKey, UserId},
    inbox::{InboxRecord, PendingUsage, UserAndDocument},
    transaction::{ExpiryQuery, Writes},
};

use super::{
    error::MongoError,
    names::entry_id,
    reader::{KEYS_MAX, SessionReader, corrupt, text, unreadable},
    write::{StatementKind, WritePlan, decision_failed},
};
use crate::store::{ConflictWalk, Conflicts, InboxRange, InboxScan, codec, or_logged};

impl SessionReader<'_> {
    /// Conflicts in the order of `ids`, as far as their records have room. The first one that exists always has.
    pub(super) async fn records(
        &mut self,
        ids: &[ConflictId],
        bytes_max: usize,
    ) -> Result<Conflicts, MongoError> {
        let places = &self.context.names.conflicts;
        let text = |id: &ConflictId| id.as_str().to_owned();
        let decode = |raw: &RawDocument| {
            let record = record(raw)?;
            Ok((record.id().clone(), record))
        };
        self.in_order(places, ids, bytes_max, text, decode).await
    }

    /// How much waits of each of these shares. A share without waiting changes is absent.
    pub(super) async fn waiting(
        &mut self,
        shares: &BTreeSet<UserAndDocument>,
    ) -> Result<HashMap<UserAndDocument, PendingUsage>, MongoError> {
        let context = self.context;
        let mut found: HashMap<UserAndDocument, PendingUsage> = HashMap::new();
        for (user, keys) in by_user(shares) {
            for keys in keys.chunks(KEYS_MAX) {
                let filter = doc! { "d": { "$in": keys }, "u": user.as_str() };
                let names = doc! { "t": 1, "i": 1, "b": 1 };
                let options = FindOptions::builder().projection(names).build();
                let count = |raw: &RawDocument| {
                    let share = (codec::document_key(raw)?, user.clone());
                    let waiting = found.entry(share).or_default();
                    let bytes = raw.get_i64("b").ok();
                    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
                    waiting.conflicts += 1;
                    waiting.bytes = waiting.bytes.saturating_add(bytes.unwrap_or_default());
                    Ok(true)
                };
                self.find_each(&context.names.conflicts, filter, options, count)
                    .await?;
            }
        }
        Ok(found)
    }

    /// Those of these documents that have an open conflict.
    pub(super) async fn disputed(
        &mut self,
        keys: &BTreeSet<DocumentKey>,
    ) -> Result<BTreeSet<DocumentKey>, MongoError> {
        let context = self.context;
        let keys: Vec<String> = keys.iter().map(entry_id).collect();
        let mut disputed = BTreeSet::new();
        for keys in keys.chunks(KEYS_MAX) {
            let filter = doc! { "d": { "$in": keys } };
            let names = doc! { "t": 1, "i": 1 };
            let options = FindOptions::builder().projection(names).build();
            let note = |raw: &RawDocument| {
                disputed.insert(codec::document_key(raw)?);
                Ok(true)
            };
            self.find_each(&context.names.conflicts, filter, options, note)
                .await?;
        }
        Ok(disputed)
    }

    /// Open conflicts of these scopes, the oldest first. They are taken one by one, so that at most one batch of the
    /// server (16 MiB) is held beyond the bounds.
    pub(super) async fn conflicts(&mut self, range: &InboxRange) -> Result<InboxScan, MongoError> {
        let context = self.context;
        let scopes: Vec<&str> = range.scopes.iter().map(|scope| scope.as_str()).collect();
        let mut filter = doc! { "s": { "$in": scopes } };
        if let Some(after) = &range.after {
            let at = DateTime::from_millis(after.opened_at.ms());
            let later = doc! { "at": { "$gt": at } };
            let behind = doc! { "at": at, "_id": { "$gt": after.id.as_str() } };
            filter.insert("$or", [later, behind]);
        }
        let one_more = range.items_max.saturating_add(1);
        let options = FindOptions::builder()
            .sort(doc! { "at": 1, "_id": 1 })
            .limit(i64::try_from(one_more).unwrap_or(i64::MAX))
            .build();
        let mut scan = InboxScan::default();
        let each = |raw: &RawDocument| {
            let bytes = raw.as_bytes();
            match or_logged(bytes, codec::decode_record(bytes)) {
                Some(InboxRecord::Open(open)) => Ok(scan.take(range, open)),
                Some(InboxRecord::Resolved(settled)) => Err(corrupt(&format!(
                    "the settled conflict {} stands in a scope",
                    settled.id
                ))),
                None => Ok(scan.leave_out(range, codec::decode_position(bytes)?)),
            }
        };
        self.find_each(&context.names.conflicts, filter, options, each)
            .await?;
        Ok(scan)
    }

    /// All conflicts in the order of their ids.
    pub(super) async fn walk_conflicts(
        &mut self,
        after: Option<&ConflictId>,
        limit: usize,
    ) -> Result<ConflictWalk, MongoError> {
        let context = self.context;
        let filter = doc! { "_id": { "$gt": after.map_or("", ConflictId::as_str) } };
        let options = FindOptions::builder()
            .sort(doc! { "_id": 1 })
            .limit(i64::try_from(limit.max(1)).unwrap_or(i64::MAX))
            .build();
        let mut walk = ConflictWalk::default();
        let each = |raw: &RawDocument| {
            let id = ConflictId::new(text(raw, "_id")?).map_err(unreadable)?;
            let bytes = raw.as_bytes();
            walk.records
                .extend(or_logged(bytes, codec::decode_record(bytes)));
            walk.next = Some(id);
            Ok(true)
        };
        self.find_each(&context.names.conflicts, filter, options, each)
            .await?;
        Ok(walk)
    }

    /// Conflicts that were settled long ago, the oldest first.
    pub(super) async fn forgettable(
        &mut self,
        expired: ExpiryQuery,
    ) -> Result<Vec<ConflictId>, MongoError> {
        let context = self.context;
        let before = DateTime::from_millis(expired.before.ms());
        let options = FindOptions::builder()
            .sort(doc! { "x": 1 })
            .limit(i64::try_from(expired.limit.max(1)).unwrap_or(i64::MAX))
            .build();
        let filter = doc! { "x": { "$lt": before } };
        let found = self.find(&context.names.conflicts, filter, options).await?;
        let ids = found.iter().map(|raw| Ok(record(raw)?.id().clone()));
        ids.collect()
    }
}

impl WritePlan<'_> {
    /// Moves, writes and removes conflicts.
    pub(super) fn add_inbox(
        &mut self,
        writes: &Writes,
        disputed: &BTreeSet<DocumentKey>,
    ) -> Result<(), MongoError> {
        let collection = &self.context.names.conflicts;
        for (key, scope) in writes.moves().filter(|(key, _)| disputed.contains(key)) {
            let moved = rawdoc! { "$set": { "s": scope.as_str() } };
            let update = rawdoc! { "q": { "d": entry_id(key) }, "u": moved, "multi": true };
            self.push(StatementKind::Move, collection, update, None);
            self.changes_inbox(None);
        }
        for record in &writes.inbox {
            let mut document = codec::encode_record(record).map_err(decision_failed)?;
            let mut scope = None;
            if let InboxRecord::Open(open) = record {
                scope = Some(open.scope.clone());
                document.append(cstr!("d"), entry_id(&open.key));
                let bytes = i64::try_from(open.bytes()).unwrap_or(i64::MAX);
                document.append(cstr!("b"), bytes);
            }
            let id = record.id().as_str();
            let update = rawdoc! { "q": { "_id": id }, "u": document, "upsert": true };
            self.push(StatementKind::Update, collection, update, None);
            self.changes_inbox(scope);
        }
        if !writes.conflicts_removed.is_empty() {
            self.changes_inbox(None);
        }
        let removed = writes.resolutions_removed.iter();
        for id in removed.chain(&writes.conflicts_removed) {
            let delete = rawdoc! { "q": { "_id": id.as_str() }, "limit": 1 };
            self.push(StatementKind::Delete, collection, delete, None);
        }
        Ok(())
    }
}

/// The documents of each user's shares, by their ids in the feed.
fn by_user(shares: &BTreeSet<UserAndDocument>) -> BTreeMap<&UserId, Vec<String>> {
    let mut users: BTreeMap<&UserId, Vec<String>> = BTreeMap::new();
    for (key, user) in shares {
        users.entry(user).or_default().push(entry_id(key));
    }
    users
}

/// The keys of the indexes: an inbox by scope, the conflicts of a document and of its users, and the settled conflicts,
/// the oldest first.
pub(super) fn indexes() -> [(Document, bool); 3] {
    [
        (doc! { "s": 1, "at": 1, "_id": 1 }, false),
        (doc! { "d": 1, "u": 1 }, true),
        (doc! { "x": 1 }, true),
    ]
}

fn record(raw: &RawDocument) -> Result<InboxRecord, MongoError> {
    Ok(codec::decode_record(raw.as_bytes())?)
}
