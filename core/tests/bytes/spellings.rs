//! The spellings that a scalar accepts besides its canonical one. They mean the same value, to the last digit.

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tidegate_core::{
    model::{FieldType, Model, Scalar, Shape},
    value::{Decimal, Timestamp, Value, json},
};

const MODEL: &str = r#"
extend schema @grant(scope: "public", access: READ)
type Task @collection(name: "tasks") @scope(by: "public") { id: ID! title: String }
"#;

fn read(scalar: Scalar, json: Json) -> Result<Value, String> {
    let model = Model::parse("model.graphql", MODEL).unwrap();
    let ty = FieldType {
        shape: Shape::Scalar(scalar),
        required: false,
    };
    json::decode(&model, &ty, json, "x").map_err(|error| error.to_string())
}

/// `digits` with its point before the last `places`, and an exponent that makes up for it.
fn pointed(digits: &str, places: usize, exponent: i32) -> String {
    let places = places.min(digits.len());
    let (whole, fraction) = digits.split_at(digits.len() - places);
    format!("{whole}.{fraction}e{:+}", exponent + places as i32)
}

proptest! {
    #[test]
    fn wherever_its_point_stands_a_decimal_is_the_same(
        digits in "[1-9][0-9]{0,33}",
        exponent in -6176..=6111,
        places in 0_usize..40,
        zeros in 0_usize..40,
        sign in "[-+]?",
    ) {
        let canonical: Decimal = format!("{sign}{digits}E{exponent}").parse().unwrap();
        let text = format!("{sign}{}{}", "0".repeat(zeros), pointed(&digits, places, exponent));
        prop_assert_eq!(read(Scalar::Decimal, json!(text)), Ok(Value::Decimal(canonical.clone())));
        prop_assert_eq!(canonical.as_str().parse(), Ok(canonical));
    }

    #[test]
    fn any_text_is_no_decimal_or_has_one_spelling(text in "[-+]?[0-9]{0,36}[.]?[0-9]{0,5}([eE][-+]?[0-9]{0,20})?") {
        if let Ok(decimal) = text.parse::<Decimal>() {
            let spelled = decimal.to_string();
            prop_assert_eq!(spelled.parse(), Ok(decimal));
        }
    }

    #[test]
    fn an_instant_is_the_same_in_every_time_zone(
        ms in -62_167_000_000_000_i64..253_402_000_000_000,
        minutes in -23 * 60..23 * 60_i64,
    ) {
        let local = Timestamp::from_ms(ms + minutes * 60_000).unwrap().to_string();
        let offset = format!("{}{:02}:{:02}", if minutes < 0 { '-' } else { '+' }, minutes.abs() / 60, minutes.abs() % 60);
        let text = local.replace('Z', &offset);
        let instant = Timestamp::from_ms(ms).unwrap();
        prop_assert_eq!(read(Scalar::DateTime, json!(text)), Ok(Value::DateTime(instant)));
    }

    #[test]
    fn a_long_is_the_same_as_text_and_as_a_number(long in any::<i64>()) {
        prop_assert_eq!(read(Scalar::Long, json!(long)), Ok(Value::Long(long)));
        prop_assert_eq!(read(Scalar::Long, json!(long.to_string())), Ok(Value::Long(long)));
        prop_assert_eq!(read(Scalar::Id, json!(long)), Ok(Value::String(long.to_string())));
    }

    /// A text whose last digits a double cannot hold is another number than the document would show.
    #[test]
    fn whole_numbers_of_json_keep_every_digit_or_are_refused(digits in "-?[1-9][0-9]{0,30}") {
        let sent: Json = serde_json::from_str(&digits).unwrap();
        if let Ok(value) = read(Scalar::Json, sent) {
            prop_assert_eq!(value, Value::Long(digits.parse().unwrap()));
        }
    }
}

/// `-9223372036854775809` in JSON was stored as the float -9223372036854775808: the reader's bound was that of positive
/// integers.
#[test]
fn an_integer_just_below_64_bits_is_refused() {
    for digits in [
        "-9223372036854775809",
        "-9300000000000000001",
        "18446744073709551616",
        "9223372036854775808",
    ] {
        let sent: Json = serde_json::from_str(digits).unwrap();
        assert!(read(Scalar::Json, sent).is_err(), "{digits}");
    }
    assert_eq!(
        read(Scalar::Json, json!(i64::MIN)),
        Ok(Value::Long(i64::MIN))
    );
    assert_eq!(
        read(Scalar::Json, json!(-9.2e18)),
        Ok(Value::Float(-9.2e18))
    );
}
