//! Kinds of stored values, as far as the scalars of a model differ in what they read.

use mongodb::bson::{raw::RawBsonRef, spec::BinarySubtype};

/// The whole numbers up to here are exact as a double.
const DOUBLE_WHOLE_MAX: i64 = 1 << 53;
/// The first and the last instant of the years 0000 to 9999, in milliseconds.
const DATE_MS_MIN: i64 = -62_167_219_200_000;
const DATE_MS_MAX: i64 = 253_402_300_799_999;
const DAY_MS: i64 = 86_400_000;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Null,
    Boolean,
    /// A whole number of 32 bits.
    Int,
    /// A larger one that a double holds exactly.
    Long,
    /// A larger one.
    Huge,
    /// A double without a fraction.
    Whole,
    /// Another finite double.
    Fraction,
    NotFinite,
    Decimal,
    Text,
    /// 24 lower-case hexadecimal digits.
    ObjectIdText,
    /// A UUID in lower case with hyphens.
    UuidText,
    ObjectId,
    Uuid,
    /// A UUID of binary subtype 3, whose order of bytes depends on the driver that wrote it.
    LegacyUuid,
    Bytes,
    OtherBinary,
    Date,
    /// A date at midnight UTC.
    Midnight,
    /// A date that the years 0000 to 9999 do not have.
    FarDate,
    Object,
    List,
    /// Types that no scalar of a model has, such as regular expressions.
    Other,
}

impl Kind {
    pub(super) fn of(value: RawBsonRef<'_>) -> Self {
        match value {
            RawBsonRef::Null => Self::Null,
            RawBsonRef::Boolean(_) => Self::Boolean,
            RawBsonRef::Int32(_) => Self::Int,
            RawBsonRef::Int64(number) => of_whole(number),
            RawBsonRef::Double(number) => of_double(number),
            RawBsonRef::Decimal128(_) => Self::Decimal,
            RawBsonRef::String(text) => of_text(text),
            RawBsonRef::ObjectId(_) => Self::ObjectId,
            RawBsonRef::Binary(binary) => match binary.subtype {
                BinarySubtype::Uuid if binary.bytes.len() == 16 => Self::Uuid,
                BinarySubtype::UuidOld => Self::LegacyUuid,
                BinarySubtype::Generic => Self::Bytes,
                _ => Self::OtherBinary,
            },
            RawBsonRef::DateTime(date) => of_date(date.timestamp_millis()),
            RawBsonRef::Document(_) => Self::Object,
            RawBsonRef::Array(_) => Self::List,
            _ => Self::Other,
        }
    }

    /// The word for it in comments.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Int | Self::Long | Self::Huge => "a whole number",
            Self::Whole | Self::Fraction => "a double",
            Self::NotFinite => "NaN or infinite",
            Self::Decimal => "a decimal",
            Self::Text | Self::ObjectIdText | Self::UuidText => "a string",
            Self::ObjectId => "an ObjectId",
            Self::Uuid => "a UUID",
            Self::LegacyUuid => "a legacy UUID (subtype 3)",
            Self::Bytes => "binary",
            Self::OtherBinary => "binary of a subtype that no scalar has",
            Self::Date | Self::Midnight => "a date",
            Self::FarDate => "a date outside the years 0000 to 9999",
            Self::Object => "a document",
            Self::List => "a list",
            Self::Other => "of a type that no scalar has",
        }
    }

    /// Whether JSON has it, whatever is inside.
    pub(super) fn is_json(self) -> bool {
        matches!(
            self,
            Self::Null
                | Self::Boolean
                | Self::Int
                | Self::Long
                | Self::Huge
                | Self::Whole
                | Self::Fraction
                | Self::Text
                | Self::ObjectIdText
                | Self::UuidText
                | Self::Object
                | Self::List
        )
    }
}

fn of_whole(number: i64) -> Kind {
    match i32::try_from(number) {
        Ok(_) => Kind::Int,
        Err(_) if (-DOUBLE_WHOLE_MAX..=DOUBLE_WHOLE_MAX).contains(&number) => Kind::Long,
        Err(_) => Kind::Huge,
    }
}

fn of_double(number: f64) -> Kind {
    match number {
        _ if !number.is_finite() => Kind::NotFinite,
        _ if number.fract() == 0.0 => Kind::Whole,
        _ => Kind::Fraction,
    }
}

fn of_date(ms: i64) -> Kind {
    match ms {
        _ if !(DATE_MS_MIN..=DATE_MS_MAX).contains(&ms) => Kind::FarDate,
        _ if ms % DAY_MS == 0 => Kind::Midnight,
        _ => Kind::Date,
    }
}

fn of_text(text: &str) -> Kind {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let bytes = text.as_bytes();
    let is_uuid = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => is_hex(*byte),
    };
    match bytes.len() {
        24 if bytes.iter().all(|byte| is_hex(*byte)) => Kind::ObjectIdText,
        36 if bytes.iter().enumerate().all(is_uuid) => Kind::UuidText,
        _ => Kind::Text,
    }
}
