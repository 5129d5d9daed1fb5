//! What is kept of clients beside their states: which of them can repeat their last push, and since when.

use std::collections::{BTreeSet, HashMap};

use mongodb::{
    bson::{RawDocument, doc},
    options::{FindOptions, Hint},
};
use tidegate_core::{
    id::{ClientId, ClientKey, MutationId, UserId},
    push::ClientState,
    transaction::{ExpiryQuery, Reads},
    value::Timestamp,
};

use super::{
    error::MongoError,
    names::{StateKey, clients_of},
    reader::{KEYS_MAX, SessionReader, text, unreadable},
    state::client_state,
};
use crate::store::{ClientCount, codec};

impl SessionReader<'_> {
    /// How many clients of a user can repeat their last push, for each user of a client that cannot. The index alone
    /// answers.
    pub(super) async fn clients_of(
        &mut self,
        reads: &Reads,
        states: &HashMap<ClientKey, ClientState>,
    ) -> Result<HashMap<UserId, usize>, MongoError> {
        let context = self.context;
        let is_new = |key: &&ClientKey| states.get(key).is_none_or(|state| state.at.is_none());
        let users = reads.clients.iter().filter(is_new).map(|key| &key.user);
        let users: BTreeSet<&UserId> = users.collect();
        let mut counts = HashMap::new();
        let users: Vec<&str> = users.into_iter().map(UserId::as_str).collect();
        for users in users.chunks(KEYS_MAX) {
            let options = FindOptions::builder()
                .projection(doc! { "_id": 0, "u": 1 })
                .hint(Hint::Keys(doc! { "u": 1 }))
                .build();
            let filter = doc! { "u": { "$in": users } };
            let count = |raw: &RawDocument| {
                let user = UserId::new(text(raw, "u")?).map_err(unreadable)?;
                *counts.entry(user).or_default() += 1;
                Ok(true)
            };
            self.find_each(&context.names.state, filter, options, count)
                .await?;
        }
        Ok(counts)
    }

    /// The clients of a user in the order of their names.
    pub(super) async fn clients_of_user(
        &mut self,
        user: &UserId,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientKey, ClientState)>, MongoError> {
        let context = self.context;
        let (first, end) = clients_of(user, after);
        let options = FindOptions::builder()
            .sort(doc! { "_id": 1 })
            .limit(i64::try_from(limit.max(1)).unwrap_or(i64::MAX))
            .build();
        let filter = doc! { "_id": { "$gt": first, "$lt": end } };
        let mut clients = Vec::new();
        let each = |raw: &RawDocument| {
            if let Some(StateKey::Client { user, client }) = StateKey::of(text(raw, "_id")?) {
                clients.push(client_state(user, client, raw)?);
            }
            Ok(true)
        };
        self.find_each(&context.names.state, filter, options, each)
            .await?;
        Ok(clients)
    }

    /// Clients that have pushed since, by the API of their app.
    pub(super) async fn clients_by_api(
        &mut self,
        since: Timestamp,
        limit: usize,
    ) -> Result<ClientCount, MongoError> {
        let context = self.context;
        let options = FindOptions::builder()
            .projection(doc! { "_id": 0, "a": 1 })
            .hint(Hint::Keys(doc! { "x": 1 }))
            .build();
        let since = mongodb::bson::DateTime::from_millis(since.ms());
        let mut count = ClientCount::default();
        let add = |raw: &RawDocument| Ok(count.add(codec::decode_api(raw.as_bytes())?, limit));
        let filter = doc! { "x": { "$gte": since } };
        self.find_each(&context.names.state, filter, options, add)
            .await?;
        Ok(count)
    }

    /// Clients whose last push is older, the oldest first. Of their states only the last id is read.
    pub(super) async fn idle(
        &mut self,
        expired: ExpiryQuery,
    ) -> Result<Vec<(ClientKey, MutationId)>, MongoError> {
        let context = self.context;
        let Some(limit) = i64::try_from(expired.limit).ok().filter(|limit| *limit > 0) else {
            return Ok(Vec::new());
        };
        let before = mongodb::bson::DateTime::from_millis(expired.before.ms());
        let options = FindOptions::builder()
            .sort(doc! { "x": 1 })
            .projection(doc! { "l": 1 })
            .limit(limit)
            .build();
        let filter = doc! { "x": { "$lt": before } };
        let found = self.find(&context.names.state, filter, options).await?;
        let mut idle = Vec::with_capacity(found.len());
        for raw in &found {
            if let Some(StateKey::Client { user, client }) = StateKey::of(text(raw, "_id")?) {
                let key = ClientKey {
                    user: UserId::new(user).map_err(unreadable)?,
                    client: ClientId::new(client).map_err(unreadable)?,
                };
                let last = raw.get_i32("l").map_err(unreadable)?;
                idle.push((key, MutationId(last)));
            }
        }
        Ok(idle)
    }
}
