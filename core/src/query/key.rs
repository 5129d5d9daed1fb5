//! The order of values in an index: null and absent first, then numbers by value, texts by code points, truth values and
//! instants. MongoDB has the same order, so that a document of an earlier model, with values of another type, has one
//! place in all stores.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
};

use serde::{Deserialize, Serialize};

use crate::{
    value::{Decimal, Timestamp, Value},
    view::Seen,
};

/// One value of an index key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyPart(Value);

/// The kinds of values, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rank {
    /// Null, or absent.
    Null,
    /// Numbers of all types.
    Number,
    /// Texts: String, ID, Date and values of enums.
    Text,
    /// false, then true.
    Bool,
    /// Instants.
    Instant,
}

impl Rank {
    /// The rank after this one.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Null => Some(Self::Number),
            Self::Number => Some(Self::Text),
            Self::Text => Some(Self::Bool),
            Self::Bool => Some(Self::Instant),
            Self::Instant => None,
        }
    }
}

impl KeyPart {
    /// Null, which also stands for an absent value.
    pub const NULL: Self = Self(Value::Null);

    /// A text.
    pub fn text(text: &str) -> Self {
        Self(Value::String(text.to_owned()))
    }

    /// The value of a field. Bytes, lists and objects have no place of their own, and no field of an index holds them.
    pub fn of_seen(seen: Seen<'_>) -> Self {
        seen.scalar().map_or(Self::NULL, Self::from)
    }

    /// The value itself.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Its kind.
    pub fn rank(&self) -> Rank {
        match &self.0 {
            Value::Int(_) | Value::Long(_) | Value::Float(_) | Value::Decimal(_) => Rank::Number,
            Value::String(_) => Rank::Text,
            Value::Bool(_) => Rank::Bool,
            Value::DateTime(_) => Rank::Instant,
            Value::Null | Value::Bytes(_) | Value::List(_) | Value::Object(_) => Rank::Null,
        }
    }

    /// Whether it is a value that a document may hold: a text of digits may claim to be a decimal.
    pub(super) fn is_sound(&self) -> bool {
        match &self.0 {
            Value::Decimal(decimal) => decimal.as_str().parse().as_ref() == Ok(decimal),
            Value::Bytes(_) | Value::List(_) | Value::Object(_) => false,
            _ => true,
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        self.rank() == Rank::Null
    }

    /// Appends bytes that sort as the values do. No bytes of a value begin those of another one, so that keys of several
    /// values sort part by part.
    pub fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.rank() as u8);
        match &self.0 {
            Value::String(text) => append_text(text, bytes),
            Value::Bool(value) => bytes.push(u8::from(*value)),
            Value::DateTime(at) => bytes.extend(biased(at.ms())),
            Value::Int(_) | Value::Long(_) | Value::Float(_) | Value::Decimal(_) => {
                Number::of(&self.0).append_to(bytes);
            }
            Value::Null | Value::Bytes(_) | Value::List(_) | Value::Object(_) => {}
        }
    }
}

/// A text ends with two zeros. A zero inside it is followed by 0xFF.
pub(super) fn append_text(text: &str, bytes: &mut Vec<u8>) {
    for byte in text.bytes() {
        bytes.push(byte);
        if byte == 0 {
            bytes.push(0xff);
        }
    }
    bytes.extend([0, 0]);
}

/// The bytes of a number in the order of numbers.
fn biased(number: i64) -> [u8; 8] {
    number.wrapping_sub(i64::MIN).cast_unsigned().to_be_bytes()
}

impl From<Value> for KeyPart {
    fn from(value: Value) -> Self {
        match value {
            Value::Bytes(_) | Value::List(_) | Value::Object(_) => Self::NULL,
            value => Self(value),
        }
    }
}

impl Ord for KeyPart {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::DateTime(a), Value::DateTime(b)) => a.cmp(b),
            (a, b) => self
                .rank()
                .cmp(&other.rank())
                .then_with(|| match self.rank() {
                    Rank::Number => Number::of(a).cmp(&Number::of(b)),
                    _ => Ordering::Equal,
                }),
        }
    }
}

impl PartialOrd for KeyPart {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for KeyPart {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for KeyPart {}

impl Hash for KeyPart {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut bytes = Vec::new();
        self.append_to(&mut bytes);
        bytes.hash(state);
    }
}

impl From<Timestamp> for KeyPart {
    fn from(at: Timestamp) -> Self {
        Self(Value::DateTime(at))
    }
}

/// A number of any type as `sign × 0.digits × 10^magnitude`, exactly. Zero has no digits.
#[derive(PartialEq, Eq)]
struct Number {
    sign: i8,
    magnitude: i32,
    digits: Vec<u8>,
}

impl Number {
    fn of(value: &Value) -> Self {
        match value {
            Value::Int(number) => Self::parse(&number.to_string()),
            Value::Long(number) => Self::parse(&number.to_string()),
            // A double has at most 1,074 places.
            Value::Float(number) => Self::parse(&format!("{number:.1074}")),
            Value::Decimal(number) => Self::of_decimal(number),
            _ => Self::parse("0"),
        }
    }

    fn of_decimal(number: &Decimal) -> Self {
        let text = number.as_str();
        let (mantissa, exponent) = text.split_once('E').unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        let mut number = Self::parse(mantissa);
        if number.sign != 0 {
            number.magnitude = number.magnitude.saturating_add(exponent);
        }
        number
    }

    /// Reads digits with a point and a sign.
    fn parse(text: &str) -> Self {
        let unsigned = text.trim_start_matches('-');
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0');
        let zeros = all.len() - significant.len();
        let digits = significant.trim_end_matches('0').as_bytes().to_vec();
        let count = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
        match (digits.is_empty(), unsigned.len() < text.len()) {
            (true, _) => Self {
                sign: 0,
                magnitude: 0,
                digits,
            },
            (false, negative) => Self {
                sign: if negative { -1 } else { 1 },
                magnitude: count(whole.len()) - count(zeros),
                digits,
            },
        }
    }

    /// The sign, the magnitude and the digits up to a zero byte; those of a negative number inverted.
    fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.sign.wrapping_add(1).cast_unsigned());
        if self.sign == 0 {
            return;
        }
        let begin = bytes.len();
        bytes.extend(biased(self.magnitude.into()));
        bytes.extend(&self.digits);
        bytes.push(0);
        if self.sign < 0 {
            bytes[begin..].iter_mut().for_each(|byte| *byte = !*byte);
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_size = || (self.magnitude, &self.digits).cmp(&(other.magnitude, &other.digits));
        self.sign.cmp(&other.sign).then_with(|| match self.sign {
            1 => by_size(),
            -1 => by_size().reverse(),
            _ => Ordering::Equal,
        })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Value {
        Value::Decimal(text.parse().unwrap())
    }

    /// Values in their order; equal ones in one row.
    fn ascending() -> Vec<Vec<Value>> {
        let text = |text: &str| vec![Value::String(text.to_owned())];
        let at = |ms| vec![Value::DateTime(Timestamp::from_ms(ms).unwrap())];
        vec![
            vec![Value::Null],
            vec![decimal("-9E+6100")],
            vec![Value::Float(f64::MIN)],
            vec![Value::Long(i64::MIN), decimal("-9223372036854775808")],
            vec![Value::Int(-3), Value::Float(-3.0), decimal("-3.00")],
            vec![decimal("-0.1")],
            vec![Value::Float(-5e-324)],
            vec![Value::Int(0), Value::Float(-0.0), decimal("0E+3")],
            vec![Value::Float(5e-324)],
            vec![decimal("0.1")],
            // The double next to 0.1 is a little larger.
            vec![Value::Float(0.1)],
            vec![decimal("0.10000000000000001")],
            vec![
                Value::Int(1),
                Value::Long(1),
                Value::Float(1.0),
                decimal("1.0"),
            ],
            vec![Value::Int(9)],
            vec![Value::Int(10), decimal("1E+1")],
            vec![Value::Float(9_007_199_254_740_992.0)],
            vec![Value::Long(9_007_199_254_740_993)],
            vec![Value::Long(i64::MAX)],
            vec![Value::Float(f64::MAX)],
            text(""),
            text("\0"),
            text("\0a"),
            text("a"),
            text("a\0"),
            text("aa"),
            text("\u{ffff}"),
            text("\u{10000}"),
            vec![Value::Bool(false)],
            vec![Value::Bool(true)],
            at(-1),
            at(0),
            at(1),
        ]
    }

    #[test]
    fn values_of_all_types_have_one_order_and_their_bytes_have_the_same() {
        let rows = ascending();
        let bytes = |part: &KeyPart| {
            let mut bytes = Vec::new();
            part.append_to(&mut bytes);
            bytes
        };
        for (i, row) in rows.iter().enumerate() {
            for (j, other) in rows.iter().enumerate() {
                for (a, b) in row.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
                    let (a, b) = (KeyPart::from(a.clone()), KeyPart::from(b.clone()));
                    assert_eq!(a.cmp(&b), i.cmp(&j), "{a:?} {b:?}");
                    assert_eq!(bytes(&a).cmp(&bytes(&b)), i.cmp(&j), "{a:?} {b:?}");
                    let begins = bytes(&a).starts_with(&bytes(&b));
                    assert_eq!(begins, i == j, "{a:?} {b:?}");
                }
            }
        }
    }
}
