//! What is kept of clients beside their states: which of them can repeat their last push, and since when.

use std::collections::{BTreeSet, HashMap};

use redb::{ReadOnlyTable, ReadTransaction, TableError};
use tidegate_core::{
    id::{ClientId, ClientKey, MutationId, UserId},
    transaction::ExpiryQuery,
};

use super::{
    tables::{CLIENTS, PUSHED},
    view::{ReadView, unreadable},
};
use crate::store::{StoreError, codec};

type PushedRow = ReadOnlyTable<(&'static str, &'static str), i64>;

impl ReadView {
    /// How many clients of a user can repeat their last push, for each user of a client that cannot.
    pub(super) fn clients_of(
        &self,
        clients: &BTreeSet<ClientKey>,
    ) -> Result<HashMap<UserId, usize>, StoreError> {
        self.watched(|transaction| {
            let Some(pushed) = open(transaction)? else {
                return Ok(HashMap::new());
            };
            let mut counts = HashMap::new();
            for ClientKey { user, client } in clients {
                let is_counted = pushed.get((user.as_str(), client.as_str()))?.is_some();
                if !is_counted && !counts.contains_key(user) {
                    counts.insert(user.clone(), count(&pushed, user)?);
                }
            }
            Ok(counts)
        })
    }

    /// Clients whose last push is older. They come in no order, since each costs the same to keep.
    pub(super) fn idle(
        &self,
        expired: ExpiryQuery,
    ) -> Result<Vec<(ClientKey, MutationId)>, StoreError> {
        self.watched(|transaction| {
            let Some(pushed) = open(transaction)? else {
                return Ok(Vec::new());
            };
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
                let (last, pushed_at) = codec::decode_last(state.value()).map_err(unreadable)?;
                if pushed_at.is_some_and(|pushed_at| pushed_at.ms() == at.value()) {
                    let (user, client) = names.value();
                    let key = ClientKey {
                        user: UserId::new(user).map_err(unreadable)?,
                        client: ClientId::new(client).map_err(unreadable)?,
                    };
                    idle.push((key, last));
                }
            }
            Ok(idle)
        })
    }
}

/// `None` in a file that only gateways without this table have written.
fn open(transaction: &ReadTransaction) -> Result<Option<PushedRow>, StoreError> {
    match transaction.open_table(PUSHED) {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        table => Ok(Some(table?)),
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
