//! The values of the specification's scalars, and what a custom one makes of a value without parts. `coerce.rs` reads
//! lists, objects and enums.

use async_graphql::{Number, Value};
use tidegate_core::value::unrepresentable::Unrepresentable;

use super::value::RawScalar;

/// Up to this number a float holds every integer.
const EXACT_MAX: u64 = 1 << f64::MANTISSA_DIGITS;

/// The value of the scalar `name` that `leaf` stands for, or `None` if the scalar cannot hold it.
pub(super) fn built_in(name: &str, leaf: RawScalar<'_>) -> Option<Value> {
    match (name, leaf) {
        ("Boolean", RawScalar::Boolean(value)) => Some(Value::Boolean(value)),
        ("String" | "ID", RawScalar::String(value)) => Some(Value::String(value)),
        ("ID", RawScalar::Digits(digits)) => Some(Value::String(digits.to_owned())),
        ("ID", RawScalar::Integer(value)) => Some(Value::String(value.to_string())),
        ("ID", RawScalar::Float(value)) => {
            whole(value).map(|whole| Value::String(whole.to_string()))
        }
        ("Int", RawScalar::Digits(digits)) => whole_32_bits(&number(digits)?).map(int),
        ("Int", RawScalar::Integer(value)) => whole_32_bits(&value).map(int),
        ("Int", RawScalar::Float(value)) => whole_32_bits(&whole(value)?.into()).map(int),
        ("Float", RawScalar::Digits(digits)) => finite(digits).map(float),
        ("Float", RawScalar::Integer(value)) => value.as_f64().map(float),
        ("Float", RawScalar::Float(value)) => Some(float(value)),
        _ => None,
    }
}

/// The value that a custom scalar receives. An integer beyond 64 bits becomes a float, as in a variable. The change
/// that carries it decides about either.
pub(super) fn custom(leaf: RawScalar<'_>) -> Value {
    match leaf {
        RawScalar::Boolean(value) => Value::Boolean(value),
        RawScalar::Digits(digits) => number(digits)
            .map(Value::Number)
            .or_else(|| finite(digits).map(float))
            .unwrap_or_else(|| unheld(Unrepresentable::Number)),
        RawScalar::Integer(value) => Value::Number(value),
        RawScalar::Float(value) => float(value),
        RawScalar::String(value) => Value::String(value),
        RawScalar::Enum(name) => Value::String(name.to_owned()),
    }
}

/// What a custom scalar receives in place of a value that cannot be held.
pub(super) fn unheld(unheld: Unrepresentable) -> Value {
    Value::String(unheld.mark().to_owned())
}

fn finite(digits: &str) -> Option<f64> {
    let number: f64 = digits.parse().ok()?;
    number.is_finite().then_some(number)
}

fn number(digits: &str) -> Option<Number> {
    let signed = digits.parse::<i64>().map(Number::from);
    signed
        .or_else(|_| digits.parse::<u64>().map(Number::from))
        .ok()
}

/// The integer of a variable's float: JSON does not distinguish 1.0 from 1, and neither do clients in JavaScript. A
/// literal does, and validation has refused it.
fn whole(value: f64) -> Option<i64> {
    let is_exact = value.fract() == 0.0 && value.abs() <= EXACT_MAX as f64;
    is_exact.then_some(value as i64)
}

fn whole_32_bits(number: &Number) -> Option<i32> {
    number.as_i64().and_then(|whole| i32::try_from(whole).ok())
}

fn int(value: i32) -> Value {
    Value::Number(value.into())
}

/// JSON has no number that is not finite.
fn float(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}
