//! The scalars that the fields of a model may have.
//!
//! [`crate::value`] has their values.

/// The scalars of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// Text that names something. It may have more than 256 bytes.
    Id,
    /// Text.
    String,
    /// 32-bit integer.
    Int,
    /// 64-bit floating point, finite.
    Float,
    /// true or false.
    Boolean,
    /// A day of the calendar, as text such as `2026-02-28`.
    Date,
    /// An instant in milliseconds; RFC 3339 on the wire.
    DateTime,
    /// 64-bit integer; a string on the wire.
    Long,
    /// Decimal128; a string on the wire.
    Decimal,
    /// Bytes; base64 on the wire.
    Bytes,
    /// Any JSON.
    Json,
}

impl Scalar {
    /// The name in SDL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "ID",
            Self::String => "String",
            Self::Int => "Int",
            Self::Float => "Float",
            Self::Boolean => "Boolean",
            Self::Date => "Date",
            Self::DateTime => "DateTime",
            Self::Long => "Long",
            Self::Decimal => "Decimal",
            Self::Bytes => "Bytes",
            Self::Json => "JSON",
        }
    }

    /// All scalars a model may use.
    pub const ALL: [Self; 11] = [
        Self::Id,
        Self::String,
        Self::Int,
        Self::Float,
        Self::Boolean,
        Self::Date,
        Self::DateTime,
        Self::Long,
        Self::Decimal,
        Self::Bytes,
        Self::Json,
    ];
}
