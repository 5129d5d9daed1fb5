//! A walk over BSON that copies and decodes nothing: names and values are slices of the bytes. It serves readers that
//! take few fields of thousands of records. The meaning of the values is not known here.
//!
//! It knows only the BSON types that records hold (<https://bsonspec.org/spec.html>).

use bson::{Decimal128, spec::ElementType};

use super::CodecError;

/// One element of a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawElement<'r> {
    pub(crate) name: &'r [u8],
    pub(crate) kind: ElementType,
    pub(crate) value: &'r [u8],
}

/// The elements of a document or an array, in order. After an error there are no more.
pub(crate) struct RawElements<'r> {
    rest: &'r [u8],
}

impl<'r> RawElements<'r> {
    /// The elements of the document in `bytes`.
    ///
    /// # Errors
    /// [`CodecError::Bytes`] if the bytes are no document.
    pub(crate) fn of(bytes: &'r [u8]) -> Result<Self, CodecError> {
        let whole = int32(bytes).and_then(|length| usize::try_from(length).ok());
        match bytes {
            [_, _, _, _, rest @ .., 0] if whole == Some(bytes.len()) => Ok(Self { rest }),
            _ => Err(CodecError::Bytes),
        }
    }

    /// No elements.
    pub(crate) fn none() -> Self {
        Self { rest: &[] }
    }

    fn element(&mut self) -> Result<RawElement<'r>, CodecError> {
        let (kind, rest) = self.rest.split_first().ok_or(CodecError::Bytes)?;
        let kind = ElementType::from(*kind).ok_or(CodecError::Bytes)?;
        let name_end = rest.iter().position(|byte| *byte == 0);
        let (name, rest) = rest.split_at(name_end.ok_or(CodecError::Bytes)?);
        let rest = &rest[1..];
        let length = length(kind, rest)?;
        let (value, rest) = rest.split_at_checked(length).ok_or(CodecError::Bytes)?;
        self.rest = rest;
        Ok(RawElement { name, kind, value })
    }
}

impl<'r> Iterator for RawElements<'r> {
    type Item = Result<RawElement<'r>, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let element = self.element();
        if element.is_err() {
            self.rest = &[];
        }
        Some(element)
    }
}

/// The length of the value at the start of `rest`.
fn length(kind: ElementType, rest: &[u8]) -> Result<usize, CodecError> {
    let reported = |beside| {
        let reported = usize::try_from(int32(rest)?).ok()?;
        reported.checked_add(beside)
    };
    let length = match kind {
        ElementType::Null => Some(0),
        ElementType::Boolean => Some(1),
        ElementType::Int32 => Some(4),
        ElementType::Int64 | ElementType::Double | ElementType::DateTime => Some(8),
        ElementType::ObjectId => Some(12),
        ElementType::Decimal128 => Some(16),
        ElementType::String => reported(4),
        ElementType::Binary => reported(5),
        ElementType::EmbeddedDocument | ElementType::Array => reported(0),
        other => return Err(CodecError::Type(other)),
    };
    length.ok_or(CodecError::Bytes)
}

impl<'r> RawElement<'r> {
    /// The name as text.
    ///
    /// # Errors
    /// [`CodecError::Bytes`] if it is not in UTF-8.
    pub(crate) fn name(&self) -> Result<&'r str, CodecError> {
        std::str::from_utf8(self.name).map_err(|_| CodecError::Bytes)
    }

    /// The text of a string.
    ///
    /// # Errors
    /// [`CodecError::Bytes`] if it is no string, or not in UTF-8.
    pub(crate) fn text(&self) -> Result<&'r str, CodecError> {
        match (self.kind, self.value) {
            (ElementType::String, [_, _, _, _, text @ .., 0]) => {
                std::str::from_utf8(text).map_err(|_| CodecError::Bytes)
            }
            _ => Err(CodecError::Bytes),
        }
    }

    /// Whether a boolean is true.
    pub(crate) fn is_true(&self) -> bool {
        self.kind == ElementType::Boolean && self.value == [1]
    }

    /// The bytes of a binary, without their length and subtype.
    pub(crate) fn binary(&self) -> Option<&'r [u8]> {
        let binary = self.value.get(5..);
        binary.filter(|_| self.kind == ElementType::Binary)
    }

    pub(crate) fn decimal(&self) -> Option<Decimal128> {
        let bytes = self.value.first_chunk();
        let bytes = bytes.filter(|_| self.kind == ElementType::Decimal128)?;
        Some(Decimal128::from_bytes(*bytes))
    }

    pub(crate) fn int32(&self) -> Option<i32> {
        int32(self.value).filter(|_| self.kind == ElementType::Int32)
    }

    pub(crate) fn int64(&self) -> Option<i64> {
        int64(self.value).filter(|_| self.kind == ElementType::Int64)
    }

    pub(crate) fn double(&self) -> Option<f64> {
        let bits = int64(self.value).filter(|_| self.kind == ElementType::Double)?;
        Some(f64::from_bits(bits.cast_unsigned()))
    }

    /// A date, in milliseconds since 1970.
    pub(crate) fn date_ms(&self) -> Option<i64> {
        int64(self.value).filter(|_| self.kind == ElementType::DateTime)
    }
}

/// MongoDB's name for a type.
pub(crate) fn type_name(kind: ElementType) -> &'static str {
    match kind {
        ElementType::Double => "double",
        ElementType::String => "string",
        ElementType::EmbeddedDocument => "object",
        ElementType::Array => "array",
        ElementType::Binary => "binData",
        ElementType::Undefined => "undefined",
        ElementType::ObjectId => "objectId",
        ElementType::Boolean => "bool",
        ElementType::DateTime => "date",
        ElementType::Null => "null",
        ElementType::RegularExpression => "regex",
        ElementType::DbPointer => "dbPointer",
        ElementType::JavaScriptCode => "javascript",
        ElementType::Symbol => "symbol",
        ElementType::JavaScriptCodeWithScope => "javascriptWithScope",
        ElementType::Int32 => "int",
        ElementType::Timestamp => "timestamp",
        ElementType::Int64 => "long",
        ElementType::Decimal128 => "decimal",
        ElementType::MaxKey => "maxKey",
        ElementType::MinKey => "minKey",
    }
}

fn int32(bytes: &[u8]) -> Option<i32> {
    bytes.first_chunk().map(|bytes| i32::from_le_bytes(*bytes))
}

fn int64(bytes: &[u8]) -> Option<i64> {
    bytes.first_chunk().map(|bytes| i64::from_le_bytes(*bytes))
}
