//! Values as edits, outcomes and the store have them.

use tidegate_core::value::Value;

use super::Line;
use crate::people::{self, Edition};

pub(super) fn same_client(line: &Line, other: &Line) -> bool {
    line.sent.by.is_some() && line.sent.by == other.sent.by
}

/// To a client, absent and null are equal.
pub(super) fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    a.unwrap_or(&Value::Null) == b.unwrap_or(&Value::Null)
}

/// Whether they are equal as the gateway's model reads them.
pub(super) fn alike(line: &Line, a: &Option<Value>, b: &Option<Value>) -> bool {
    let read = |value: &Option<Value>| Some(read(line.sent.gateway, value.as_ref()?));
    same(read(a).as_ref(), read(b).as_ref())
}

/// The value as a model reads it.
pub(super) fn read(edition: Edition, value: &Value) -> Value {
    match edition {
        Edition::A => people::value_without_only_b(value),
        Edition::B => value.clone(),
    }
}

/// Whether the value is an embedded document, or a list of them.
pub(super) fn holds_documents(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::List(items) => items.iter().any(holds_documents),
        _ => false,
    }
}

pub(super) fn whole(value: Option<&Value>) -> Option<i32> {
    match value {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    }
}

pub(super) fn sum(
    theirs: Option<&Value>,
    mine: Option<&Value>,
    seen: Option<&Value>,
) -> Option<Value> {
    let number = |value: Option<&Value>| match value {
        None | Some(Value::Null) => Some(0),
        Some(Value::Int(number)) => Some(*number),
        Some(_) => None,
    };
    Some(Value::Int(number(theirs)? + number(mine)? - number(seen)?))
}

pub(super) fn joined_sets(theirs: Option<&Value>, mine: &Value, seen: &Value) -> Value {
    let items = |value: Option<&Value>| match value {
        Some(Value::List(items)) => items.clone(),
        _ => Vec::new(),
    };
    let (theirs, mine, seen) = (items(theirs), items(Some(mine)), items(Some(seen)));
    let gone = |item: &Value| seen.contains(item) && !mine.contains(item);
    let mut joined: Vec<Value> = theirs.into_iter().filter(|item| !gone(item)).collect();
    for item in mine.iter().filter(|item| !seen.contains(item)) {
        if !joined.contains(item) {
            joined.push(item.clone());
        }
    }
    Value::List(joined)
}
