//! What checkpoints need of the file: the numbers of scopes, and the secret.

use std::collections::{BTreeSet, HashMap};

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableError, WriteTransaction,
};
use tidegate_core::{
    checkpoint::TokenKey,
    id::{Scope, ScopeNumber},
};

use super::{
    tables::{NUMBERED, SCOPE_NUMBERS, SCOPES, TOKEN_KEY},
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

/// Numbers the scopes of a file that an older gateway wrote, and writes the secret if there is none.
pub(super) fn make_complete(database: &Database, first_key: &TokenKey) -> Result<(), StoreError> {
    if is_complete(&database.begin_read()?)? {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    {
        let mut keys = transaction.open_table(TOKEN_KEY)?;
        if keys.get(())?.is_none() {
            keys.insert((), first_key.0)?;
        }
        let scopes = transaction.open_table(SCOPES)?;
        let mut numbers = NumberTables::open(&transaction)?;
        for row in scopes.iter()? {
            numbers.number(row?.0.value())?;
        }
    }
    Ok(transaction.commit()?)
}

/// A scope is never removed, so equal counts are enough.
fn is_complete(transaction: &ReadTransaction) -> Result<bool, StoreError> {
    let numbers = match transaction.open_table(SCOPE_NUMBERS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(false),
        opened => opened?.len()?,
    };
    Ok(numbers == transaction.open_table(SCOPES)?.len()?)
}

/// The secret of checkpoints; `None` in a file of an older gateway that cannot be written now.
pub(super) fn token_key(transaction: &ReadTransaction) -> Result<Option<TokenKey>, StoreError> {
    let table = match transaction.open_table(TOKEN_KEY) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        opened => opened?,
    };
    Ok(table.get(())?.map(|key| TokenKey(key.value())))
}

/// The number of each of these scopes that has one.
pub(super) fn numbers<'s>(
    transaction: &ReadTransaction,
    scopes: &'s BTreeSet<Scope>,
) -> Result<HashMap<&'s Scope, ScopeNumber>, StoreError> {
    let table = match transaction.open_table(SCOPE_NUMBERS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(HashMap::new()),
        opened => opened?,
    };
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
            let table = match transaction.open_table(NUMBERED) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(HashMap::new()),
                opened => opened?,
            };
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
