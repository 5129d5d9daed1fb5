//! What is kept of clients beside their states: which of them can repeat their last push, and since when.

use std::collections::HashMap;

use redb::ReadOnlyTable;
use tidegate_core::{
    id::{ClientId, ClientKey, MutationId, UserId},
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
                let state = row.map(|row| {
                    let state = codec::decode_client(row.value()).map_err(unreadable)?;
                    Ok((row.value().len(), state))
                });
                state.transpose()
            })
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
