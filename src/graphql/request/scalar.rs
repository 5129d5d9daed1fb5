//! What the scalars of the specification can hold, and what a custom one makes of a value without
//! parts. Lists, objects and enums are read in `coerce.rs`.

use async_graphql::Number;
use async_graphql_value::Value;

use super::value::Leaf;

/// Up to here a float holds every integer.
const EXACT_MAX: u64 = 1 << f64::MANTISSA_DIGITS;

/// The value of the scalar `name` that `leaf` stands for, or `None` if the scalar cannot hold it.
pub(super) fn built_in(name: &str, leaf: Leaf<'_>) -> Option<Value> {
    match (name, leaf) {
        ("Boolean", Leaf::Boolean(value)) => Some(Value::Boolean(value)),
        ("String" | "ID", Leaf::String(value)) => Some(Value::String(value)),
        ("ID", Leaf::Digits(digits)) => Some(Value::String(digits.to_owned())),
        ("ID", Leaf::Integer(value)) => Some(Value::String(value.to_string())),
        ("ID", Leaf::Float(value)) => whole(value).map(|whole| Value::String(whole.to_string())),
        ("Int", Leaf::Digits(digits)) => whole_32_bits(&number(digits)?).map(int),
        ("Int", Leaf::Integer(value)) => whole_32_bits(&value).map(int),
        ("Int", Leaf::Float(value)) => whole_32_bits(&whole(value)?.into()).map(int),
        ("Float", Leaf::Digits(digits)) => exact_float(&number(digits)?).map(float),
        ("Float", Leaf::Integer(value)) => exact_float(&value).map(float),
        ("Float", Leaf::Float(value)) => Some(float(value)),
        _ => None,
    }
}

/// The value a custom scalar receives, or `None` for an integer literal of more than 64 bits, which
/// JSON numbers would round.
pub(super) fn custom(leaf: Leaf<'_>) -> Option<Value> {
    match leaf {
        Leaf::Boolean(value) => Some(Value::Boolean(value)),
        Leaf::Digits(digits) => number(digits).map(Value::Number),
        Leaf::Integer(value) => Some(Value::Number(value)),
        Leaf::Float(value) => Some(float(value)),
        Leaf::String(value) => Some(Value::String(value)),
        Leaf::Enum(name) => Some(Value::String(name.to_owned())),
    }
}

fn number(digits: &str) -> Option<Number> {
    let signed = digits.parse::<i64>().map(Number::from);
    signed
        .or_else(|_| digits.parse::<u64>().map(Number::from))
        .ok()
}

/// The integer that a float of a variable stands for: JSON does not tell 1.0 from 1, and neither do clients written in
/// JavaScript. A literal does, and validation has refused it.
fn whole(value: f64) -> Option<i64> {
    let is_exact = value.fract() == 0.0 && value.abs() <= EXACT_MAX as f64;
    is_exact.then_some(value as i64)
}

fn whole_32_bits(number: &Number) -> Option<i32> {
    number.as_i64().and_then(|whole| i32::try_from(whole).ok())
}

/// Integers up to 2^53, which a float holds exactly; larger ones are refused, not rounded.
fn exact_float(number: &Number) -> Option<f64> {
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

fn int(value: i32) -> Value {
    Value::Number(value.into())
}

/// JSON has no number that is not finite.
fn float(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}
