//! The coerced variables of one operation: where each may stand, and handing its value over.
//! How a value becomes one of its type is decided in `coerce.rs`.

use std::collections::HashMap;

use apollo_compiler::Name;
use apollo_compiler::executable::{Operation, Type, VariableDefinition};
use async_graphql::Value;

use super::document::CheckedDocument;
use super::value::Place;
use super::{Refusal, RefusalKind};

pub(super) struct Variables<'d> {
    checked: &'d CheckedDocument,
    operation: &'d Operation,
    held: HashMap<&'d str, Held>,
    copied_bytes: usize,
    copied_bytes_max: usize,
}

struct Held {
    value: Value,
    bytes: usize,
}

/// What a place expects of a variable.
#[derive(Clone, Copy)]
pub(super) struct Expected<'d> {
    pub(super) ty: &'d Type,
    pub(super) has_default: bool,
    /// The place is the field of a `@oneOf` object, which takes no null whatever its type says.
    pub(super) one_of: bool,
}

impl<'d> Variables<'d> {
    pub(super) fn new(
        checked: &'d CheckedDocument,
        operation: &'d Operation,
        copied_bytes_max: usize,
    ) -> Self {
        Self {
            checked,
            operation,
            held: HashMap::new(),
            copied_bytes: 0,
            copied_bytes_max,
        }
    }

    /// Keeps the value of the variable `name`; `bytes` is what a copy of it costs.
    pub(super) fn keep(&mut self, name: &'d Name, value: Value, bytes: usize) {
        self.held.insert(name, Held { value, bytes });
    }

    /// The value of `$name` for a place, or `None` if it has none. Validation has compared the
    /// types of variable and place only where the variable is a whole argument, hence the
    /// comparison here.
    ///
    /// # Errors
    /// If the variable may not stand there, is null there against the type, or has been copied too
    /// often.
    pub(super) fn value_for(
        &mut self,
        name: &Name,
        expected: Expected<'_>,
        place: &Place<'_>,
    ) -> Result<Option<Value>, Refusal> {
        let mut definitions = self.operation.variables.iter();
        let definition = definitions.find(|definition| definition.name == *name);
        if !definition.is_some_and(|definition| may_stand(definition, expected)) {
            let problem = format!("cannot take `${name}`: the types differ");
            return Err(place.refuse(RefusalKind::Validation, &problem));
        }
        let is_null = |held: &Held| held.value == Value::Null;
        let takes_null = !expected.ty.is_non_null() && !expected.one_of;
        if !takes_null && self.held.get(name.as_str()).is_some_and(is_null) {
            let problem = format!("cannot be null, but `${name}` is");
            return Err(place.refuse(RefusalKind::Variables, &problem));
        }
        self.value(name, place)
    }

    /// The value of `$name` for a place of any type, or `None` if it has none. A value that is
    /// asked for once moves, others are copied within a budget: fifty aliases of one mutation with
    /// one large input would multiply it.
    ///
    /// # Errors
    /// If the budget is spent.
    pub(super) fn value(
        &mut self,
        name: &Name,
        place: &Place<'_>,
    ) -> Result<Option<Value>, Refusal> {
        if self.checked.mentioned_once.contains(name.as_str()) {
            return Ok(self.held.remove(name.as_str()).map(|held| held.value));
        }
        let Some(held) = self.held.get(name.as_str()) else {
            return Ok(None);
        };
        self.copied_bytes += held.bytes;
        if self.copied_bytes > self.copied_bytes_max {
            let problem = format!("repeats `${name}`, which is too large to repeat");
            return Err(place.refuse(RefusalKind::Limit, &problem));
        }
        Ok(Some(held.value.clone()))
    }

    /// The value of a variable that is a condition, if it has one.
    pub(super) fn boolean(&self, name: &Name) -> Option<bool> {
        match self.held.get(name.as_str())?.value {
            Value::Boolean(value) => Some(value),
            _ => None,
        }
    }
}

/// `IsVariableUsageAllowed` of the specification (5.8.5).
fn may_stand(definition: &VariableDefinition, expected: Expected<'_>) -> bool {
    let takes_null = !expected.ty.is_non_null() && !expected.one_of;
    let default = definition.default_value.as_ref();
    let never_null = definition.ty.is_non_null()
        || default.is_some_and(|default| !default.is_null())
        || (expected.has_default && !expected.one_of);
    (takes_null || never_null)
        && definition
            .ty
            .is_assignable_to(&expected.ty.clone().nullable())
}
