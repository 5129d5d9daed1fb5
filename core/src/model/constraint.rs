//! `@constraint`: whether a value satisfies it.
//!
//! The parser of the model checks whether a constraint suits its field's type. So a bound that does not apply to a
//! value is ignored here.

use std::cmp::Ordering;

use regex::Regex;

use super::{Constraint, Format};
use crate::{
    id::{NameError, is_uuid},
    value::{Decimal, Timestamp, Value},
};

/// The text around a model's pattern that makes it match the whole text.
const WHOLE_BEGIN: &str = "^(?:";
const WHOLE_END: &str = ")$";

impl Constraint {
    /// Checks `value`: bounds on items hold for a list itself, all others for each of its items. Null satisfies
    /// every constraint.
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
            Value::Int(number) => self.check_number(&i64::from(*number).into()),
            Value::Long(number) => self.check_number(&(*number).into()),
            Value::Float(number) => self.check_float(*number),
            Value::Decimal(number) => self.check_number(number),
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
        if let Some(id_type) = self.id_type
            && let Err(error) = id_type.parse(text)
        {
            return Err(match error {
                NameError::NotCanonical { expected } => format!("must be {expected}"),
                error => format!("cannot be stored as {id_type}: {error}"),
            });
        }
        match self.format {
            Some(format) if !format.matches(text) => Err(format!("must be {}", format.in_words())),
            _ => Ok(()),
        }
    }

    fn check_number(&self, number: &Decimal) -> Result<(), String> {
        self.check_bounds(|bound| Some(number.compare(bound)))
    }

    /// A bound on a Float is the Float nearest to its text; otherwise 0.1 would lie above `max: 0.1`.
    fn check_float(&self, number: f64) -> Result<(), String> {
        self.check_bounds(|bound| number.partial_cmp(&bound.as_str().parse().ok()?))
    }

    fn check_bounds(&self, compare: impl Fn(&Decimal) -> Option<Ordering>) -> Result<(), String> {
        let outside = |bound: &Option<Decimal>, wrong| {
            let bound = bound.as_ref()?;
            (compare(bound) == Some(wrong)).then(|| bound.clone())
        };
        if let Some(min) = outside(&self.min, Ordering::Less) {
            return Err(format!("must be at least {min}"));
        }
        match outside(&self.max, Ordering::Greater) {
            Some(max) => Err(format!("must be at most {max}")),
            None => Ok(()),
        }
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
            Self::Uuid => is_uuid(&text.to_ascii_lowercase()),
            // RFC 3339 builds its date-times from this date, so its parser knows the calendar.
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
        let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
        let beyond = |digits: usize| format!("10.{}1", "0".repeat(digits));
        for (min, max, value, expected) in [
            ("0.5", "1", Value::Int(1), Ok(())),
            ("0.5", "1", Value::Int(0), Err("least 0.5")),
            ("0.5", "1", Value::Float(0.5), Ok(())),
            ("0.5", "1", Value::Float(0.25), Err("least 0.5")),
            ("0.1", "0.1", Value::Float(0.1), Ok(())),
            ("0.1", "0.1", decimal("0.1"), Ok(())),
            (
                "0.1",
                "0.1",
                decimal("0.1000000000000000055"),
                Err("most 0.1"),
            ),
            ("0.5", "1", decimal("0.50"), Ok(())),
            ("0.5", "1", decimal("-3"), Err("least 0.5")),
            ("-10", "10", decimal("-10.00"), Ok(())),
            (
                "-10",
                "10",
                decimal(&format!("-{}", beyond(20))),
                Err("least -10"),
            ),
            ("-10", "10", decimal(&beyond(20)), Err("most 10")),
            ("-10", "10", decimal("1E-6000"), Ok(())),
            // 2^53 + 1, which no 64-bit floating-point number can be.
            (
                "0",
                "9007199254740993",
                Value::Long(9_007_199_254_740_993),
                Ok(()),
            ),
            (
                "0",
                "9007199254740993",
                Value::Long(9_007_199_254_740_994),
                Err("most 9007199254740993"),
            ),
            ("-9223372036854775808", "0", Value::Long(i64::MIN), Ok(())),
        ] {
            let constraint = Constraint {
                min: Some(min.parse().unwrap()),
                max: Some(max.parse().unwrap()),
                ..Constraint::default()
            };
            let expected = expected.map_err(|bound| format!("must be at {bound}"));
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
