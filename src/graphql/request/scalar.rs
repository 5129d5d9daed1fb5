//! What the scalars of the specification can hold, and what a custom one makes of a value without
//! parts. Lists, objects and enums are read in `coerce.rs`.

use async_graphql::{Number, Value};

use super::value::Leaf;

/// The value of the scalar `name` that `leaf` stands for, or `None` if the scalar cannot hold it.
pub(super) fn built_in(name: &str, leaf: Leaf<'_>) -> Option<Value> {
    match (name, leaf) {
        ("Boolean", Leaf::Boolean(value)) => Some(Value::Boolean(value)),
        ("String" | "ID", Leaf::String(value)) => Some(Value::String(value)),
        ("ID", Leaf::Integer(value)) => Some(Value::String(value.to_string())),
        ("ID", Leaf::LongInteger(digits)) => Some(Value::String(digits.to_owned())),
        ("Int", Leaf::Integer(value)) => whole_32_bits(&value).map(Value::from),
        ("Float", Leaf::Float(value)) => Some(Value::from(value)),
        ("Float", Leaf::Integer(value)) => exact_float(&value).map(Value::from),
        _ => None,
    }
}

/// The value a custom scalar receives, or `None` for an integer literal of more than 64 bits, which
/// JSON numbers would round.
pub(super) fn custom(leaf: Leaf<'_>) -> Option<Value> {
    match leaf {
        Leaf::Boolean(value) => Some(Value::Boolean(value)),
        Leaf::Integer(value) => Some(Value::Number(value)),
        Leaf::Float(value) => Some(Value::from(value)),
        Leaf::String(value) => Some(Value::String(value)),
        Leaf::Enum(name) => Some(Value::String(name.to_owned())),
        Leaf::LongInteger(_) => None,
    }
}

fn whole_32_bits(number: &Number) -> Option<i32> {
    number.as_i64().and_then(|whole| i32::try_from(whole).ok())
}

/// Integers up to 2^53, which a float holds exactly; larger ones are refused, not rounded.
fn exact_float(number: &Number) -> Option<f64> {
    const EXACT_MAX: u64 = 1 << f64::MANTISSA_DIGITS;
    let whole = number
        .as_i64()
        .map(i64::unsigned_abs)
        .or_else(|| number.as_u64())?;
    if whole <= EXACT_MAX {
        number.as_f64()
    } else {
        None
    }
}
