//! The values of documents, each distinct from the others: null, absent, 0 and "" are never equal.
//!
//! [`json`] reads and writes JSON, the form on the wire. Each store decides how it keeps values.

pub mod check;
pub mod content;
pub mod date;
pub mod defaults;
pub mod fit;
pub(crate) mod items;
pub mod json;
pub mod origin;
pub mod unrepresentable;

use std::{cmp::Ordering, collections::BTreeMap, fmt, str::FromStr};

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::view::ValueRef;

/// The deepest nesting of a value. Storage engines refuse 180 levels, and recursion must end well before.
pub const DEPTH_MAX: usize = 64;

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Explicitly nothing; an absent field has no `Value` at all.
    Null,
    /// true or false.
    Bool(bool),
    /// A GraphQL Int.
    Int(i32),
    /// A 64-bit integer: the scalar Long, and the integers inside JSON.
    Long(i64),
    /// A finite floating-point number.
    Float(f64),
    /// Text: String, ID, Date and enum values.
    String(String),
    /// An instant.
    DateTime(Timestamp),
    /// A Decimal128.
    Decimal(Decimal),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// An embedded document, or an object inside JSON.
    Object(Document),
}

impl Value {
    /// Whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text of a [`Value::String`].
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// MongoDB's name for the type that holds it.
    pub fn bson_type(&self) -> &'static str {
        ValueRef::Value(self).seen().bson_type()
    }

    /// About how many bytes a store needs for it.
    pub(crate) fn bytes(&self) -> usize {
        let inside = match self {
            Self::String(text) => text.len(),
            Self::Decimal(decimal) => decimal.as_str().len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(items) => items.iter().map(Self::bytes).sum(),
            Self::Object(document) => document_bytes(document),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Long(_)
            | Self::Float(_)
            | Self::DateTime(_) => 0,
        };
        VALUE_BYTES + inside
    }
}

/// The items of the longest list in a value.
pub(crate) fn longest_list(value: &Value) -> usize {
    match value {
        Value::List(items) => items.iter().map(longest_list).fold(items.len(), usize::max),
        Value::Object(document) => document
            .values()
            .map(longest_list)
            .max()
            .unwrap_or_default(),
        _ => 0,
    }
}

/// The bytes of a value beside its text or its parts: a tag, a length or number, and its place in a list.
const VALUE_BYTES: usize = 12;

/// About how many bytes a store needs for a document.
pub fn document_bytes(document: &Document) -> usize {
    document
        .iter()
        .map(|(name, value)| name.len() + value.bytes())
        .sum()
}

/// The fields of a document by their stored names; an absent field is not in the map.
pub type Document = BTreeMap<String, Value>;

/// An instant, in milliseconds since 1970-01-01T00:00:00Z; between the years 0000 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// Why a text or a number is no [`Timestamp`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "is not an RFC 3339 date-time between the years 0000 and 9999 and no leap second, such as 2026-02-28T12:30:00.000Z"
)]
pub struct TimestampError;

impl Timestamp {
    const MIN_MS: i64 = -62_167_219_200_000;
    const MAX_MS: i64 = 253_402_300_799_999;

    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// From milliseconds since 1970.
    ///
    /// # Errors
    /// [`TimestampError`] outside the years 0000 to 9999, which RFC 3339 cannot write.
    pub fn from_ms(ms: i64) -> Result<Self, TimestampError> {
        if (Self::MIN_MS..=Self::MAX_MS).contains(&ms) {
            Ok(Self(ms))
        } else {
            Err(TimestampError)
        }
    }

    /// Milliseconds since 1970.
    pub fn ms(self) -> i64 {
        self.0
    }

    /// `ms` milliseconds later (earlier when negative), held within the years 0000 to 9999.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms).clamp(Self::MIN_MS, Self::MAX_MS))
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Cuts off what is finer than a millisecond. A leap second has no number of milliseconds of its own and is
    /// refused.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| TimestampError)?;
        let is_leap_second = parsed.timestamp_subsec_millis() >= 1_000;
        if is_leap_second {
            return Err(TimestampError);
        }
        Self::from_ms(parsed.timestamp_millis())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
        let (year, ms) = (at.year().unsigned_abs(), at.timestamp_subsec_millis());
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let parts = [
            (year, 0..4),
            (at.month(), 5..7),
            (at.day(), 8..10),
            (at.hour(), 11..13),
            (at.minute(), 14..16),
            (at.second(), 17..19),
            (ms, 20..23),
        ];
        for (mut number, place) in parts {
            for digit in text[place].iter_mut().rev() {
                *digit += (number % 10) as u8;
                number /= 10;
            }
        }
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

/// A finite decimal number that a Decimal128 holds exactly, in the one spelling that IEEE 754-2008 gives its
/// coefficient and exponent (the "scientific string" of the General Decimal Arithmetic Specification).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Decimal(String);

/// Why a text is no [`Decimal`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("is not a decimal number of at most 34 digits, such as \"12.50\"")]
pub struct DecimalError;

impl Decimal {
    const DIGITS_MAX: usize = 34;
    const EXPONENT_MIN: i64 = -6176;
    const EXPONENT_MAX: i64 = 6111;

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The larger of two numbers: 1.0 and 1.00 are equal here, though not the same value.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        let (a, b) = (self.parts(), other.parts());
        match a.sign.cmp(&b.sign) {
            Ordering::Equal if a.sign < 0 => b.magnitude().cmp(&a.magnitude()),
            Ordering::Equal => a.magnitude().cmp(&b.magnitude()),
            unequal => unequal,
        }
    }

    /// The parts of the number. The text is canonical, so that this cannot fail.
    fn parts(&self) -> DecimalParts {
        let unsigned = self.0.trim_start_matches('-');
        let (mantissa, exponent) = unsigned.split_once('E').unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let padded = format!("{whole}{fraction}");
        let digits = padded.trim_start_matches('0');
        let sign = match (digits.is_empty(), unsigned.len() < self.0.len()) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => -1,
        };
        let leading_zeros = (padded.len() - digits.len()) as i64;
        let exponent: i64 = exponent.parse().unwrap_or_default();
        DecimalParts {
            sign,
            magnitude: whole.len() as i64 - leading_zeros + exponent,
            digits: digits.trim_end_matches('0').to_owned(),
        }
    }
}

/// `sign × 0.digits × 10^magnitude`; zero has the sign 0 and no digits.
struct DecimalParts {
    sign: i8,
    magnitude: i64,
    digits: String,
}

impl DecimalParts {
    /// Orders numbers of one sign by their distance from zero.
    fn magnitude(&self) -> (i64, &str) {
        if self.sign == 0 {
            (0, "")
        } else {
            (self.magnitude, &self.digits)
        }
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Self(number.to_string())
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (sign, unsigned) = match text.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse().map_err(|_| DecimalError)?),
            None => (unsigned, 0_i64),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(DecimalError);
        }
        let coefficient = match digits.trim_start_matches('0') {
            "" => "0",
            significant => significant,
        };
        let exponent = i64::try_from(fraction.len())
            .ok()
            .and_then(|places| exponent.checked_sub(places))
            .ok_or(DecimalError)?;
        let exponent_fits = (Self::EXPONENT_MIN..=Self::EXPONENT_MAX).contains(&exponent);
        if coefficient.len() > Self::DIGITS_MAX || !exponent_fits {
            return Err(DecimalError);
        }
        Ok(Self(format!("{sign}{}", scientific(coefficient, exponent))))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn scientific(coefficient: &str, exponent: i64) -> String {
    let length = coefficient.len() as i64;
    let adjusted = exponent + length - 1;
    if exponent == 0 {
        return coefficient.to_owned();
    }
    if exponent < 0 && adjusted >= -6 {
        let point = length + exponent;
        return if point > 0 {
            let (whole, fraction) = coefficient.split_at(point as usize);
            format!("{whole}.{fraction}")
        } else {
            format!(
                "0.{}{coefficient}",
                "0".repeat(point.unsigned_abs() as usize)
            )
        };
    }
    let (first, others) = coefficient.split_at(1);
    let point = if others.is_empty() { "" } else { "." };
    format!("{first}{point}{others}E{adjusted:+}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_rfc_3339_has_them() {
        // Some six years apart, each at another time of the day.
        let every = 189_345_678_901;
        for ms in (Timestamp::MIN_MS..=Timestamp::MAX_MS).step_by(every) {
            let known = DateTime::from_timestamp_millis(ms).unwrap();
            let known = known.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            assert_eq!(Timestamp::from_ms(ms).unwrap().to_string(), known);
        }
    }

    #[test]
    fn instants_keep_their_milliseconds_and_no_more_and_move_to_utc() {
        for (text, canonical) in [
            ("2026-02-28T12:30:00Z", "2026-02-28T12:30:00.000Z"),
            ("2026-02-28 12:30:00Z", "2026-02-28T12:30:00.000Z"),
            ("2026-02-28T12:30:00.5+02:00", "2026-02-28T10:30:00.500Z"),
            ("2026-02-28T12:30:00.123987Z", "2026-02-28T12:30:00.123Z"),
            ("2026-02-28T12:30:00.999999999Z", "2026-02-28T12:30:00.999Z"),
            ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), canonical);
        }
        for text in [
            "",
            "2026-02-28",
            "2026-02-30T00:00:00Z",
            "12345",
            "9999-12-31T23:59:59-01:00",
            "2016-12-31T23:59:60Z",
            "2016-12-31T23:59:60.500Z",
            "2017-01-01T01:29:60+01:30",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
    }

    #[test]
    fn decimals_are_ordered_by_their_value() {
        let ascending = [
            "-1E+3", "-10", "-9.99", "-0.001", "0", "1E-7", "0.01", "0.1", "1", "9.5", "10", "1E+3",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                let (a, b): (Decimal, Decimal) = (a.parse().unwrap(), b.parse().unwrap());
                assert_eq!(a.compare(&b), i.cmp(&j), "{a} {b}");
            }
        }
        let (a, b): (Decimal, Decimal) = ("1.0".parse().unwrap(), "1.00".parse().unwrap());
        assert_eq!(a.compare(&b), Ordering::Equal);
    }

    #[test]
    fn decimals_have_one_spelling() {
        for (text, canonical) in [
            ("12.50", "12.50"),
            ("+012.50", "12.50"),
            ("-0", "-0"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e3", "1E+3"),
            ("0.0000001", "1E-7"),
            ("0.000001", "0.000001"),
            ("123e-1", "12.3"),
            ("12345e10", "1.2345E+14"),
            (
                "9999999999999999999999999999999999",
                "9999999999999999999999999999999999",
            ),
        ] {
            let decimal = text.parse::<Decimal>().unwrap();
            assert_eq!(decimal.as_str(), canonical, "{text}");
            assert_eq!(canonical.parse::<Decimal>().unwrap(), decimal);
        }
        for text in [
            "",
            ".",
            "-",
            "1.2.3",
            "NaN",
            "Infinity",
            "1e7000",
            "1e-7000",
            "1e",
            "0x1",
            "12345678901234567890123456789012345",
            "1e99999999999999999999",
        ] {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError), "{text}");
        }
    }
}
