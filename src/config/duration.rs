//! Durations as people write them in a configuration: a whole number and one unit, such as `90d`.
//! The bounds of a duration belong to its setting.

use std::time::Duration;

/// Reads `10s`, `30m`, `12h` or `90d`.
///
/// # Errors
/// For every other form, and for a number of seconds above 64 bits.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let split = text
        .find(|character: char| !character.is_ascii_digit())
        .ok_or(InvalidDuration)?;
    let (number, unit) = text.split_at(split);
    let unit_s: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(InvalidDuration),
    };
    let number: u64 = number.parse().map_err(|_| InvalidDuration)?;
    number
        .checked_mul(unit_s)
        .map(Duration::from_secs)
        .ok_or(InvalidDuration)
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a duration is a whole number and one of s, m, h and d, such as \"90d\"")]
pub(crate) struct InvalidDuration;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_one_unit() {
        for (text, seconds) in [
            ("0s", 0),
            ("10s", 10),
            ("30m", 1800),
            ("12h", 43_200),
            ("90d", 7_776_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "10",
            "s",
            "1.5h",
            "-1s",
            "1h30m",
            "1 h",
            "1w",
            "1H",
            "300000000000000d",
            "１s",
        ] {
            assert_eq!(parse_duration(text), Err(InvalidDuration), "{text}");
        }
    }
}
