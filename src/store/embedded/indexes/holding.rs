//! Who has a value that is unique: the first row of its index with these values.

use std::collections::{BTreeMap, BTreeSet};

use redb::TableError;
use tidegate_core::{
    id::{DocumentId, DocumentKey, Scope},
    query::IndexDefinition,
    unique::UniqueKey,
};

use super::{INDEXED_AT, INDEXES, KeptIndex, ROWS, kept_in, prefix_of};
use crate::store::{
    StoreError,
    embedded::view::{ReadView, unreadable},
};

impl ReadView {
    /// Who has each of these values.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while their index is not complete.
    pub(in crate::store::embedded) fn holders(
        &self,
        keys: &BTreeSet<UniqueKey>,
    ) -> Result<BTreeMap<UniqueKey, Option<DocumentKey>>, StoreError> {
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.watched(|file| {
            let table = match file.open_table(INDEXES) {
                Err(TableError::TableDoesNotExist(_)) => return Err(not_complete()),
                opened => opened?,
            };
            let at = file.open_table(INDEXED_AT)?.get(())?.map(|at| at.value());
            let kept = match at == Some(self.commits) {
                true => kept_in(&table)?,
                false => return Err(not_complete()),
            };
            let rows = file.open_table(ROWS)?;
            let mut holders = BTreeMap::new();
            for key in keys {
                let definition = IndexDefinition::of_key(key);
                let serves = |it: &&KeptIndex| it.is_complete && it.definition == definition;
                let index = kept.iter().find(serves).ok_or_else(not_complete)?;
                let scope = key.scope.as_ref().map_or("", Scope::as_str);
                let mut prefix = prefix_of(index.number, scope);
                key.values
                    .iter()
                    .for_each(|value| value.append_to(&mut prefix));
                let row = rows
                    .range::<&[u8]>(prefix.as_slice()..)?
                    .next()
                    .transpose()?;
                let found = row.filter(|(row, _)| row.value().starts_with(&prefix));
                let holder = found.map(|(_, id)| {
                    let id = DocumentId::new(id.value()).map_err(unreadable)?;
                    let type_name = key.type_name.clone();
                    Ok::<_, StoreError>(DocumentKey { type_name, id })
                });
                holders.insert(key.clone(), holder.transpose()?);
            }
            Ok(holders)
        })
    }
}

fn not_complete() -> StoreError {
    StoreError::Unavailable("an index of unique values is not complete yet".to_owned())
}
