//! The coerced variables of one operation, and passing their values on. `literals.rs` checks where each may stand;
//! `coerce.rs` coerces the values.

use std::collections::HashMap;

use apollo_compiler::{Name, schema::Type};
use async_graphql::Value;

use super::{RequestError, RequestErrorKind, document::ValidatedDocument, value::InputPath};

pub(super) struct Variables<'d> {
    checked: &'d ValidatedDocument,
    values: HashMap<&'d str, VariableValue>,
    copied_bytes: usize,
    copied_bytes_max: usize,
}

struct VariableValue {
    value: Value,
    bytes: usize,
}

impl<'d> Variables<'d> {
    pub(super) fn new(checked: &'d ValidatedDocument, copied_bytes_max: usize) -> Self {
        Self {
            checked,
            values: HashMap::new(),
            copied_bytes: 0,
            copied_bytes_max,
        }
    }

    /// How many bytes of values were copied, by the estimate of [`Variables::keep`].
    pub(super) fn copied_bytes(&self) -> usize {
        self.copied_bytes
    }

    /// Keeps the value of the variable `name`; `bytes` is the cost of a copy.
    pub(super) fn keep(&mut self, name: &'d Name, value: Value, bytes: usize) {
        self.values.insert(name, VariableValue { value, bytes });
    }

    /// The value of `$name` for a place of the type `ty`; `None` if it has none. The types fit: `literals.rs` has
    /// compared them, and allows a nullable variable if it or the place has a default.
    ///
    /// # Errors
    /// If it is null, or has been copied too often.
    pub(super) fn value_for(
        &mut self,
        name: &Name,
        ty: &Type,
        place: &InputPath<'_>,
    ) -> Result<Option<Value>, RequestError> {
        let is_null = |held: &VariableValue| held.value == Value::Null;
        if ty.is_non_null() && self.values.get(name.as_str()).is_some_and(is_null) {
            let problem = format!("cannot be null, but `${name}` is");
            return Err(place.refuse(RequestErrorKind::Variables, &problem));
        }
        self.value(name, place)
    }

    /// The value of `$name` for a place of any type; `None` if it has none. A value that is used once moves. Others are
    /// copied within a budget, since fifty aliases of one mutation would copy its large input fifty times.
    ///
    /// # Errors
    /// If the budget is spent.
    pub(super) fn value(
        &mut self,
        name: &Name,
        place: &InputPath<'_>,
    ) -> Result<Option<Value>, RequestError> {
        if self.checked.mentioned_once.contains(name.as_str()) {
            return Ok(self.values.remove(name.as_str()).map(|held| held.value));
        }
        let Some(held) = self.values.get(name.as_str()) else {
            return Ok(None);
        };
        self.copied_bytes += held.bytes;
        if self.copied_bytes > self.copied_bytes_max {
            let problem = format!("repeats `${name}`, which is too large to repeat");
            return Err(place.refuse(RequestErrorKind::Limit, &problem));
        }
        Ok(Some(held.value.clone()))
    }

    /// The value of a variable that is a condition, if it has one.
    pub(super) fn boolean(&self, name: &Name) -> Option<bool> {
        match self.values.get(name.as_str())?.value {
            Value::Boolean(value) => Some(value),
            _ => None,
        }
    }
}
