//! Values as BSON and back. Each comes back as exactly the variant it was, without the model.
//!
//! Int is int32, Long int64, Float double, DateTime a date, Decimal a Decimal128, Bytes binary; an absent field is
//! absent and null is null. Other BSON types are refused, never converted.

use bson::{
    Binary, DateTime, Decimal128, RawArray, RawArrayBuf, RawBson, RawDocument, RawDocumentBuf,
    raw::{CStr, RawBsonRef},
    spec::BinarySubtype,
};
use tidegate_core::value::{DEPTH_MAX, Decimal, Document, Timestamp, Value, origin::ORIGIN};

use super::CodecError;

/// The levels of a document: its own, and those its values may nest.
pub(crate) const LEVELS_MAX: usize = DEPTH_MAX + 1;

/// Writes a document without the marks of a transaction.
pub(super) fn encode(document: &Document) -> Result<RawDocumentBuf, CodecError> {
    let mut raw = RawDocumentBuf::new();
    let fields = document.iter().filter(|(name, _)| *name != ORIGIN);
    for (name, value) in fields {
        raw.append(<&CStr>::try_from(name.as_str())?, encode_value(value)?);
    }
    Ok(raw)
}

pub(super) fn decode(raw: &RawDocument) -> Result<Document, CodecError> {
    decode_document(raw, 0)
}

/// Writes one value.
///
/// # Errors
/// [`CodecError::Bson`] when the name of a field contains U+0000.
pub(crate) fn encode_value(value: &Value) -> Result<RawBson, CodecError> {
    Ok(match value {
        Value::Null => RawBson::Null,
        Value::Bool(bool) => RawBson::Boolean(*bool),
        Value::Int(int) => RawBson::Int32(*int),
        Value::Long(long) => RawBson::Int64(*long),
        Value::Float(float) => RawBson::Double(*float),
        Value::String(text) => RawBson::String(text.clone()),
        Value::DateTime(at) => RawBson::DateTime(DateTime::from_millis(at.ms())),
        Value::Decimal(decimal) => RawBson::Decimal128(decimal.as_str().parse::<Decimal128>()?),
        Value::Bytes(bytes) => RawBson::Binary(Binary {
            subtype: BinarySubtype::Generic,
            bytes: bytes.clone(),
        }),
        Value::List(items) => {
            let mut array = RawArrayBuf::new();
            for item in items {
                array.push(encode_value(item)?);
            }
            RawBson::Array(array)
        }
        Value::Object(document) => RawBson::Document(encode(document)?),
    })
}

fn decode_document(raw: &RawDocument, depth: usize) -> Result<Document, CodecError> {
    raw.iter()
        .map(|element| {
            let (name, value) = element?;
            Ok((name.as_str().to_owned(), decode_value(value, depth + 1)?))
        })
        .collect()
}

fn decode_list(raw: &RawArray, depth: usize) -> Result<Vec<Value>, CodecError> {
    raw.into_iter()
        .map(|element| decode_value(element?, depth + 1))
        .collect()
}

fn decode_value(raw: RawBsonRef<'_>, depth: usize) -> Result<Value, CodecError> {
    if depth > LEVELS_MAX {
        return Err(CodecError::Depth);
    }
    Ok(match raw {
        RawBsonRef::Null => Value::Null,
        RawBsonRef::Boolean(bool) => Value::Bool(bool),
        RawBsonRef::Int32(int) => Value::Int(int),
        RawBsonRef::Int64(long) => Value::Long(long),
        RawBsonRef::Double(float) => Value::Float(float),
        RawBsonRef::String(text) => Value::String(text.to_owned()),
        RawBsonRef::DateTime(date) => Value::DateTime(Timestamp::from_ms(date.timestamp_millis())?),
        RawBsonRef::Decimal128(decimal) => Value::Decimal(decode_decimal(decimal)?),
        RawBsonRef::Binary(binary) => Value::Bytes(binary.bytes.to_vec()),
        RawBsonRef::Array(items) => Value::List(decode_list(items, depth)?),
        RawBsonRef::Document(document) => Value::Object(decode_document(document, depth)?),
        other => return Err(CodecError::Type(other.element_type())),
    })
}

/// Reads a decimal. One that is no finite number is refused.
///
/// # Errors
/// [`CodecError::Decimal`].
pub(crate) fn decode_decimal(decimal: Decimal128) -> Result<Decimal, CodecError> {
    decimal.to_string().parse().map_err(|_| CodecError::Decimal)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::{
        collection::{btree_map, vec},
        num::f64,
        prelude::*,
    };

    use super::*;

    fn decimal() -> impl Strategy<Value = Decimal> {
        ("-?[0-9]{1,34}", -6176_i32..=6111)
            .prop_map(|(digits, exponent)| format!("{digits}E{exponent}").parse().unwrap())
    }

    fn scalar() -> impl Strategy<Value = Value> {
        let instants = -62_167_219_200_000_i64..=253_402_300_799_999;
        let longs = prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX)];
        let floats = f64::NORMAL | f64::SUBNORMAL | f64::ZERO | f64::NEGATIVE | f64::POSITIVE;
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(Value::Int),
            longs.prop_map(Value::Long),
            floats.prop_map(Value::Float),
            any::<String>().prop_map(Value::String),
            instants.prop_map(|ms| Value::DateTime(Timestamp::from_ms(ms).unwrap())),
            decimal().prop_map(Value::Decimal),
            vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
        ]
    }

    fn field_name() -> impl Strategy<Value = String> {
        prop_oneof!["[a-zA-Z_$.]{0,6}", Just("__proto__".to_owned())]
    }

    fn value() -> impl Strategy<Value = Value> {
        scalar().prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::List),
                btree_map(field_name(), inner, 0..4).prop_map(Value::Object),
            ]
        })
    }

    pub(in super::super) fn arbitrary_body() -> impl Strategy<Value = Document> {
        btree_map(field_name(), value(), 0..5)
    }

    fn round_trip(value: Value) -> Value {
        let document = Document::from([("x".to_owned(), value)]);
        decode(&encode(&document).unwrap()).unwrap()["x"].clone()
    }

    /// `==` treats -0.0 and 0.0 as equal. The text of the whole value does not.
    fn assert_exact(value: Value) {
        assert_eq!(
            format!("{:?}", round_trip(value.clone())),
            format!("{value:?}")
        );
    }

    proptest! {
        #[test]
        fn every_value_comes_back_exactly(value in value()) {
            assert_exact(value);
        }
    }

    #[test]
    fn the_values_that_are_easily_bent_come_back_exactly() {
        let decimals = ["-0", "0E+3", "0E-6176", "1E+6111", "12.50", "1E-7"];
        for text in decimals
            .into_iter()
            .chain(["9999999999999999999999999999999999E+6111"])
        {
            assert_exact(Value::Decimal(text.parse().unwrap()));
        }
        for float in [
            0.0,
            -0.0,
            f64::MIN_POSITIVE,
            5e-324,
            f64::MAX,
            9_007_199_254_740_993.0,
        ] {
            assert_exact(Value::Float(float));
        }
        for long in [i64::MIN, i64::MAX, 0, 9_007_199_254_740_993] {
            assert_exact(Value::Long(long));
        }
        for text in ["", "$x", "a\0b", "\u{feff}"] {
            assert_exact(Value::String(text.to_owned()));
        }
        assert_exact(Value::DateTime("0000-01-01T00:00:00Z".parse().unwrap()));
        assert_exact(Value::List(vec![]));
        assert_exact(Value::Object(Document::new()));
    }

    #[test]
    fn an_absent_field_stays_absent_and_null_stays_null() {
        let document = Document::from([("x".to_owned(), Value::Null)]);
        let read = decode(&encode(&document).unwrap()).unwrap();
        assert_eq!(read.get("x"), Some(&Value::Null));
        assert_eq!(read.get("y"), None);
    }

    #[test]
    fn values_nest_as_deep_as_the_core_lets_them_and_no_deeper() {
        let nested = |levels| (0..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        assert_exact(nested(DEPTH_MAX));
        let document = Document::from([("x".to_owned(), nested(LEVELS_MAX))]);
        let refused = decode(&encode(&document).unwrap());
        assert!(matches!(refused, Err(CodecError::Depth)));
    }
}
