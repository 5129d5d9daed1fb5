//! What the gateway keeps in the fields of `@server` (rules.md 4.15): when and by whom a document was created and last
//! changed.
//!
//! They are set once a change is decided, so that no decision depends on them.

use super::{CLOCK_SKEW_MAX_MS, DecisionContext};
use crate::{
    entry::Entry,
    model::Field,
    mutant::{Mutant, is_active},
    value::{Document, Timestamp, Value, check},
};

impl DecisionContext<'_> {
    /// Sets the fields in a version that a change of the caller makes.
    pub(super) fn keep_server_fields(&self, entry: &mut Entry) {
        let Some(body) = entry.body.as_mut() else {
            return;
        };
        let is_created = entry.began == entry.version;
        for field in &self.document_type.fields {
            let Some(kept) = self.document_type.server_value(field) else {
                continue;
            };
            if (kept.is_of_creation() && !is_created) || is_active(Mutant::ServerFieldsStay) {
                continue;
            }
            let name = &field.stored_as;
            let value = match kept.is_user() {
                true => self.user_in(field),
                false => Value::DateTime(self.time_after(body.get(name))),
            };
            body.insert(name.clone(), value);
            entry.field_versions.insert(name.clone(), entry.version);
        }
    }

    /// What the gateway has kept in the living document of an entry, and keeps with every change.
    pub(super) fn server_fields(&self, entry: &Entry) -> Document {
        let kept = entry.body.iter().flatten().filter(|(name, _)| {
            let field = self.document_type.stored_field(name);
            field.is_some_and(|field| field.server.is_some())
        });
        kept.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The caller, as the field can hold it; null if the caller's id is not of the type in which the field is stored.
    fn user_in(&self, field: &Field) -> Value {
        let user = Value::String(self.identity.user.as_str().to_owned());
        match check::check_value(self.model, field, &user, &field.name) {
            Ok(()) => user,
            Err(_) => Value::Null,
        }
    }

    /// Server time, which does not go back on a document by the differences of clocks. A time further ahead comes from a
    /// clock that was wrong, or from another service, and must not stay for ever.
    fn time_after(&self, before: Option<&Value>) -> Timestamp {
        let latest = self.now.plus_ms(CLOCK_SKEW_MAX_MS);
        match before {
            Some(Value::DateTime(before)) if *before <= latest => self.now.max(*before),
            _ => self.now,
        }
    }
}
