//! The fields that the gateway keeps in documents (`@server`): when and by whom they were created and last changed.
//!
//! [`crate::decide`] writes their values.

use super::{DocumentType, Field};
use crate::{
    id::UserId,
    value::{Document, Value},
};

/// `@server(value)`: what the gateway writes into a field with the versions that changes of clients make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerValue {
    /// When the document was created.
    CreatedAt,
    /// When it was last changed.
    UpdatedAt,
    /// Who created it.
    CreatedBy,
    /// Who last changed it.
    UpdatedBy,
}

impl ServerValue {
    /// All values, by their names in a model.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("CREATED_AT", Self::CreatedAt),
        ("UPDATED_AT", Self::UpdatedAt),
        ("CREATED_BY", Self::CreatedBy),
        ("UPDATED_BY", Self::UpdatedBy),
    ];

    /// Its name in a model.
    pub fn name(self) -> &'static str {
        let named = Self::NAMES.into_iter().find(|(_, value)| *value == self);
        named.map_or("", |(name, _)| name)
    }

    /// Whether it stays as the creation of the document made it.
    pub fn is_of_creation(self) -> bool {
        matches!(self, Self::CreatedAt | Self::CreatedBy)
    }

    /// Whether it is the id of a user, and not a time.
    pub fn is_user(self) -> bool {
        matches!(self, Self::CreatedBy | Self::UpdatedBy)
    }
}

impl DocumentType {
    /// What the gateway keeps in a field of the type, if it does: by `@server`, or as the `updatedAtField`.
    pub fn server_value(&self, field: &Field) -> Option<ServerValue> {
        let updated_at_field = self.upkeep.updated_at_field.as_ref();
        let is_upkeep = updated_at_field == Some(&field.stored_as);
        let upkeep = is_upkeep.then_some(ServerValue::UpdatedAt);
        field.server.or(upkeep)
    }

    /// The fields in which the gateway has named this user in a document.
    pub fn fields_naming<'t>(
        &'t self,
        user: &UserId,
        document: &Document,
    ) -> impl Iterator<Item = &'t Field> {
        let fields = self.fields.iter();
        fields.filter(move |field| {
            let value = document.get(&field.stored_as);
            field.server.is_some_and(ServerValue::is_user)
                && matches!(value, Some(Value::String(named)) if named == user.as_str())
        })
    }
}
