//! `@constraint`: whether a value satisfies it.
//!
//! Whether a constraint suits a field's type is settled when the model is parsed, so what does not concern a value
//! is passed over here.

use regex::Regex;

use super::{Constraint, Format};
use crate::value::{Timestamp, Value};

/// What stands around the pattern of a model, so that it has to match the whole text.
const WHOLE_BEGIN: &str = "^(?:";
const WHOLE_END: &str = ")$";

impl Constraint {
    /// Checks `value`: bounds on items hold for a list itself, all others for each of its items. Null satisfies
    /// every constraint. Decimals are compared as 64-bit floating-point numbers.
    ///
    /// # Errors
    /// What is wrong, in a sentence without its subject, such as `must have at most 200 characters`.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        if let Value::List(items) = value {
            check_count(items.len(), self.min_items, self.max_items, "item")?;
        }
        self.check_leaf(value)
    }

    /// A pattern for [`Constraint::pattern`], which the whole text has to match.
    pub(super) fn whole(pattern: &str) -> Result<Regex, regex::Error> {
        Regex::new(pattern)?;
        Regex::new(&format!("{WHOLE_BEGIN}{pattern}{WHOLE_END}"))
    }

    fn check_leaf(&self, value: &Value) -> Result<(), String> {
        match value {
            Value::List(items) => items.iter().try_for_each(|item| self.check_leaf(item)),
            Value::String(text) => self.check_text(text),
            Value::Int(number) => self.check_integer(i64::from(*number)),
            Value::Long(number) => self.check_integer(*number),
            Value::Float(number) => self.check_number(*number),
            Value::Decimal(decimal) => decimal
                .as_str()
                .parse()
                .map_or(Ok(()), |number| self.check_number(number)),
            _ => Ok(()),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        check_count(
            text.chars().count(),
            self.min_length,
            self.max_length,
            "character",
        )?;
        if let Some(pattern) = self
            .pattern
            .as_ref()
            .filter(|pattern| !pattern.is_match(text))
        {
            let written = pattern.as_str();
            let written = written.strip_prefix(WHOLE_BEGIN).unwrap_or(written);
            let written = written.strip_suffix(WHOLE_END).unwrap_or(written);
            return Err(format!("must match the pattern {written}"));
        }
        match self.format {
            Some(format) if !format.matches(text) => Err(format!("must be {}", format.in_words())),
            _ => Ok(()),
        }
    }

    /// Compares without the rounding that `number as f64` brings above 2^53.
    fn check_integer(&self, number: i64) -> Result<(), String> {
        let number = i128::from(number);
        let below = self.min.filter(|min| number < min.ceil() as i128);
        let above = self.max.filter(|max| number > max.floor() as i128);
        out_of_bounds(below, above)
    }

    fn check_number(&self, number: f64) -> Result<(), String> {
        out_of_bounds(
            self.min.filter(|min| number < *min),
            self.max.filter(|max| number > *max),
        )
    }
}

impl Format {
    fn matches(self, text: &str) -> bool {
        let spaced = text.chars().any(|c| c.is_whitespace() || c.is_control());
        match self {
            Self::Email => {
                let parts: Vec<&str> = text.split('@').collect();
                !spaced && parts.len() == 2 && parts.iter().all(|part| !part.is_empty())
            }
            Self::Uri => {
                !spaced
                    && text
                        .split_once(':')
                        .is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty())
            }
            Self::Uuid => is_uuid(text),
            // RFC 3339 builds its date-times from this date, so the parser of instants knows the calendar.
            Self::Date => {
                text.len() == 10 && format!("{text}T00:00:00Z").parse::<Timestamp>().is_ok()
            }
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Email => "an e-mail address, such as alice@example.com",
            Self::Uri => "an absolute URI, such as https://example.com/",
            Self::Uuid => "a UUID, such as 0f8fad5b-d9cb-469f-a165-70867728950e",
            Self::Date => "a date, such as 2026-02-28",
        }
    }
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn check_count(
    count: usize,
    min: Option<usize>,
    max: Option<usize>,
    unit: &str,
) -> Result<(), String> {
    let (bound, number) = match (min, max) {
        (Some(min), _) if count < min => ("least", min),
        (_, Some(max)) if count > max => ("most", max),
        _ => return Ok(()),
    };
    let plural = if number == 1 { "" } else { "s" };
    Err(format!("must have at {bound} {number} {unit}{plural}"))
}

fn out_of_bounds(below: Option<f64>, above: Option<f64>) -> Result<(), String> {
    if let Some(min) = below {
        return Err(format!("must be at least {min}"));
    }
    above.map_or(Ok(()), |max| Err(format!("must be at most {max}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    fn format(format: Format) -> Constraint {
        Constraint {
            format: Some(format),
            ..Constraint::default()
        }
    }

    #[test]
    fn length_counts_characters_not_bytes() {
        let constraint = Constraint {
            min_length: Some(2),
            max_length: Some(3),
            ..Constraint::default()
        };
        assert_eq!(constraint.check(&text("äöü")), Ok(()));
        assert_eq!(
            constraint.check(&text("ä")),
            Err("must have at least 2 characters".into())
        );
        assert_eq!(
            constraint.check(&text("abcd")),
            Err("must have at most 3 characters".into())
        );
        assert_eq!(constraint.check(&Value::Null), Ok(()));
    }

    #[test]
    fn a_list_is_counted_and_its_items_are_checked() {
        let constraint = Constraint {
            max_items: Some(2),
            max_length: Some(3),
            ..Constraint::default()
        };
        let list = |items: &[&str]| Value::List(items.iter().map(|item| text(item)).collect());
        assert_eq!(constraint.check(&list(&["a", "b"])), Ok(()));
        assert_eq!(
            constraint.check(&list(&["a", "b", "c"])),
            Err("must have at most 2 items".into())
        );
        assert_eq!(
            constraint.check(&list(&["abcd"])),
            Err("must have at most 3 characters".into())
        );
    }

    #[test]
    fn numbers_are_compared_exactly() {
        let constraint = Constraint {
            min: Some(0.5),
            max: Some(9_007_199_254_740_992.0),
            ..Constraint::default()
        };
        let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
        for (value, expected) in [
            (Value::Int(1), Ok(())),
            (Value::Int(0), Err("must be at least 0.5".into())),
            (Value::Float(0.5), Ok(())),
            (Value::Float(0.25), Err("must be at least 0.5".into())),
            (Value::Long(9_007_199_254_740_992), Ok(())),
            (
                Value::Long(9_007_199_254_740_993),
                Err("must be at most 9007199254740992".into()),
            ),
            (decimal("0.50"), Ok(())),
            (decimal("-3"), Err("must be at least 0.5".into())),
        ] {
            assert_eq!(constraint.check(&value), expected, "{value:?}");
        }
    }

    #[test]
    fn patterns_match_the_whole_text() {
        let pattern = Some(Constraint::whole("a|[b-z]+").unwrap());
        let constraint = Constraint {
            pattern,
            ..Constraint::default()
        };
        assert_eq!(constraint.check(&text("xyz")), Ok(()));
        for wrong in ["ab", "xyz1", "xyz\n", ""] {
            assert_eq!(
                constraint.check(&text(wrong)),
                Err("must match the pattern a|[b-z]+".into())
            );
        }
        assert!(Constraint::whole("a)|(b").is_err());
    }

    #[test]
    fn formats_know_their_forms() {
        for (kind, right, wrong) in [
            (Format::Email, "a@b.c", "a@b@c"),
            (Format::Email, "alice@example.com", "@example.com"),
            (Format::Email, "a@b", "a b@c"),
            (Format::Uri, "https://example.com/", "example.com"),
            (Format::Uri, "mailto:a@b.c", "1a:b"),
            (Format::Uri, "urn:x", "urn:"),
            (
                Format::Uuid,
                "0F8FAD5B-d9cb-469f-a165-70867728950e",
                "0F8FAD5Bd9cb469fa16570867728950e",
            ),
            (Format::Date, "2024-02-29", "2026-02-29"),
            (Format::Date, "2026-12-31", "2026-2-8"),
        ] {
            assert_eq!(format(kind).check(&text(right)), Ok(()), "{kind:?} {right}");
            assert!(
                format(kind).check(&text(wrong)).is_err(),
                "{kind:?} {wrong}"
            );
        }
    }
}
