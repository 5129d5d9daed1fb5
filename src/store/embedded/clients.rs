//! What is kept of clients beside their states: which of them can repeat their last push, and since when.

use std::{collections::HashMap, ops::Bound};

use redb::ReadOnlyTable;
use tidegate_core::{
    id::{ClientId, ClientKey, MutationId, UserId},
    push::{ClientState, erased_client},
    transaction::{ExpiryQuery, Reads},
    value::Timestamp,
};

use super::{
    tables::{CLIENTS, PUSHED},
    view::{ReadView, in_order, unreadable},
};
use crate::store::{ClientCount, Clients, StoreError, codec};

type PushedRow = ReadOnlyTable<(&'static str, &'static str), i64>;

impl ReadView {
    /// Clients in the order of `keys`, as far as their records have room.
    pub(super) fn clients<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k ClientKey>,
        bytes_max: usize,
    ) -> Result<Clients, StoreError> {
        self.watched(|transaction| {
            let table = transaction.open_table(CLIENTS)?;
            in_order(keys, bytes_max, |key| {
                let row = table.get((key.user.as_str(), key.client.as_str()))?;
                let row = match row {
                    None => {
                        let kept = erased_client(&self.state.token_key, key);
                        table.get((kept.user.as_str(), kept.client.as_str()))?
                    }
                    row => row,
                };
                let state = row.map(|row| {
                    let state = codec::decode_client(row.value()).map_err(unreadable)?;
                    Ok((row.value().len(), state))
                });
                state.transpose()
            })
        })
    }

    /// The clients of a user in the order of their names.
    pub(super) fn clients_of_user(
        &self,
        user: &UserId,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientKey, ClientState)>, StoreError> {
        self.watched(|transaction| {
            let table = transaction.open_table(CLIENTS)?;
            let after = (user.as_str(), after.map_or("", ClientId::as_str));
            let mut clients = Vec::new();
            let rows = table.range::<(&str, &str)>((Bound::Excluded(after), Bound::Unbounded))?;
            for row in rows.take(limit) {
                let (names, bytes) = row?;
                let (of_user, client) = names.value();
                if of_user != user.as_str() {
                    break;
                }
                let key = ClientKey {
                    user: user.clone(),
                    client: ClientId::new(client).map_err(unreadable)?,
                };
                let state = codec::decode_client(bytes.value()).map_err(unreadable)?;
                clients.push((key, state));
            }
            Ok(clients)
        })
    }

    /// How many clients of a user can repeat their last push, for each user of a client that cannot.
    pub(super) fn clients_of(&self, reads: &Reads) -> Result<HashMap<UserId, usize>, StoreError> {
        self.watched(|transaction| {
            let pushed = transaction.open_table(PUSHED)?;
            let mut counts = HashMap::new();
            for ClientKey { user, client } in &reads.clients {
                let is_counted = pushed.get((user.as_str(), client.as_str()))?.is_some();
                if !is_counted && !counts.contains_key(user) {
                    counts.insert(user.clone(), count(&pushed, user)?);
                }
            }
            Ok(counts)
        })
    }

    /// Clients that have pushed since, by the API of their app.
    pub(super) fn clients_by_api(
        &self,
        since: Timestamp,
        limit: usize,
    ) -> Result<ClientCount, StoreError> {
        self.watched(|transaction| {
            let mut count = ClientCount::default();
            let pushed = transaction.open_table(PUSHED)?;
            let states = transaction.open_table(CLIENTS)?;
            for row in pushed.range::<(&str, &str)>(..)? {
                let (names, at) = row?;
                if at.value() < since.ms() {
                    continue;
                }
                let Some(state) = states.get(names.value())? else {
                    continue;
                };
                let api = codec::decode_api(state.value()).map_err(unreadable)?;
                if !count.add(api, limit) {
                    break;
                }
            }
            Ok(count)
        })
    }

    /// Clients whose last push is older. They come in no order, since each costs the same to keep.
    pub(super) fn idle(
        &self,
        expired: ExpiryQuery,
    ) -> Result<Vec<(ClientKey, MutationId)>, StoreError> {
        self.watched(|transaction| {
            let pushed = transaction.open_table(PUSHED)?;
            let states = transaction.open_table(CLIENTS)?;
            let mut idle = Vec::new();
            for row in pushed.range::<(&str, &str)>(..)? {
                let (names, at) = row?;
                if at.value() >= expired.before.ms() {
                    continue;
                }
                if idle.len() >= expired.limit {
                    break;
                }
                let Some(state) = states.get(names.value())? else {
                    continue;
                };
                let last = codec::decode_last(state.value()).map_err(unreadable)?;
                let (user, client) = names.value();
                let key = ClientKey {
                    user: UserId::new(user).map_err(unreadable)?,
                    client: ClientId::new(client).map_err(unreadable)?,
                };
                idle.push((key, last));
            }
            Ok(idle)
        })
    }
}

fn count(pushed: &PushedRow, user: &UserId) -> Result<usize, StoreError> {
    let mut count = 0;
    for row in pushed.range((user.as_str(), "")..)? {
        let (names, _) = row?;
        if names.value().0 != user.as_str() {
            break;
        }
        count += 1;
    }
    Ok(count)
}
