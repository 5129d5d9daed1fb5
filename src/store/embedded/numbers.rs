//! What checkpoints need of the file: the numbers of scopes, and the secret.

use std::collections::{BTreeSet, HashMap};

use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};
use tidegate_core::{
    checkpoint::TokenKey,
    id::{Scope, ScopeNumber},
};

use super::{
    tables::{NUMBERED, SCOPE_NUMBERS, TOKEN_KEY},
    view::{ReadView, unreadable},
};
use crate::store::StoreError;

/// The tables of numbers, open for writing.
pub(super) struct NumberTables<'t> {
    numbers: Table<'t, &'static str, u32>,
    scopes: Table<'t, u32, &'static str>,
}

impl<'t> NumberTables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            numbers: transaction.open_table(SCOPE_NUMBERS)?,
            scopes: transaction.open_table(NUMBERED)?,
        })
    }

    /// Numbers a scope that has no number.
    pub(super) fn number(&mut self, scope: &str) -> Result<(), StoreError> {
        if self.numbers.get(scope)?.is_some() {
            return Ok(());
        }
        let last = self.scopes.last()?.map_or(0, |(last, _)| last.value());
        let next = last
            .checked_add(1)
            .ok_or_else(|| StoreError::Corrupt("the numbers of scopes are used up".to_owned()))?;
        self.scopes.insert(next, scope)?;
        self.numbers.insert(scope, next)?;
        Ok(())
    }
}

/// The secret of checkpoints.
pub(super) fn token_key(transaction: &ReadTransaction) -> Result<TokenKey, StoreError> {
    let row = transaction.open_table(TOKEN_KEY)?.get(())?;
    let row = row.ok_or_else(|| StoreError::Corrupt("it has no secret".to_owned()))?;
    Ok(TokenKey(row.value()))
}

/// The number of each of these scopes that has one.
pub(super) fn numbers<'s>(
    transaction: &ReadTransaction,
    scopes: &'s BTreeSet<Scope>,
) -> Result<HashMap<&'s Scope, ScopeNumber>, StoreError> {
    let table = transaction.open_table(SCOPE_NUMBERS)?;
    let mut found = HashMap::with_capacity(scopes.len());
    for scope in scopes {
        if let Some(number) = table.get(scope.as_str())? {
            found.insert(scope, ScopeNumber(number.value()));
        }
    }
    Ok(found)
}

impl ReadView {
    pub(super) fn scopes_numbered(
        &self,
        numbers: &BTreeSet<ScopeNumber>,
    ) -> Result<HashMap<ScopeNumber, Scope>, StoreError> {
        self.watched(|transaction| {
            let table = transaction.open_table(NUMBERED)?;
            let mut scopes = HashMap::new();
            for number in numbers {
                if let Some(scope) = table.get(number.0)? {
                    let scope = Scope::new(scope.value()).map_err(unreadable)?;
                    scopes.insert(*number, scope);
                }
            }
            Ok(scopes)
        })
    }
}
