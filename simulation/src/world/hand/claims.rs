//! What a user makes of what no two orders may have: numbers, and slots within a scope.

use tidegate_core::value::Value;

use super::Hand;
use crate::people::{self, NUMBER, SLOT};

/// Edits of these numbers are about them, and not about lists.
const CLAIMS: u8 = 16;

impl Hand {
    pub(super) fn is_claim(&self) -> bool {
        self.what >= CLAIMS
    }

    /// The number and the slot of a new order.
    pub(super) fn claims(&self) -> impl Iterator<Item = (String, Value)> {
        let claims = [NUMBER, SLOT].map(|name| (name.to_owned(), self.claimed(name)));
        claims.into_iter().filter(|(_, value)| !value.is_null())
    }

    /// A field of an order and its new value.
    pub(super) fn claim(&self) -> (&'static str, Value) {
        match self.what % 8 {
            1 => ("audience", people::audience(self.user, self.value)),
            2..=4 => (NUMBER, self.claimed(NUMBER)),
            _ => (SLOT, self.claimed(SLOT)),
        }
    }

    /// One of two values, so that orders clash, or none.
    fn claimed(&self, name: &str) -> Value {
        let chosen = match name {
            NUMBER => self.value / 4,
            _ => self.value / 12,
        };
        match chosen % 3 {
            2 => Value::Null,
            chosen => Value::Int(chosen.into()),
        }
    }
}
