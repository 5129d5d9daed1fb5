//! `@constraint`: its bounds, and whether they suit the field's type and one another.
//!
//! [`Constraint::check`] checks values.

use super::{directives::DirectiveArguments, report::DiagnosticReport};
use crate::{
    model::{Constraint, FieldType, Format, Scalar, Shape},
    value::Decimal,
};

const FORMATS: [(&str, Format); 4] = [
    ("EMAIL", Format::Email),
    ("URI", Format::Uri),
    ("UUID", Format::Uuid),
    ("DATE", Format::Date),
];

/// The arguments that apply to text, to numbers and to lists.
const TEXT: [&str; 4] = ["minLength", "maxLength", "pattern", "format"];
const NUMBER: [&str; 2] = ["min", "max"];
const ITEMS: [&str; 2] = ["minItems", "maxItems"];

/// Reads the constraint of the field `name`. A bound that does not suit is reported and left out.
pub(super) fn read(
    name: &str,
    ty: &FieldType,
    arguments: DirectiveArguments<'_>,
    report: &mut DiagnosticReport<'_>,
) -> Constraint {
    let mut reader = ConstraintReader {
        name,
        arguments,
        report,
    };
    let leaf = ty.leaf();
    let is_text = matches!(leaf, Shape::Scalar(Scalar::String | Scalar::Id));
    let is_number = matches!(
        leaf,
        Shape::Scalar(Scalar::Int | Scalar::Long | Scalar::Float | Scalar::Decimal)
    );
    let is_list = matches!(ty.shape, Shape::List(_));
    reader.check_suited(&TEXT, is_text, "text: String and ID, or lists of them");
    reader.check_suited(
        &NUMBER,
        is_number,
        "Int, Long, Float and Decimal, or lists of them",
    );
    reader.check_suited(&ITEMS, is_list, "lists");
    reader.check_order("minLength", "maxLength");
    reader.check_order("min", "max");
    reader.check_order("minItems", "maxItems");
    let (min, max) = (reader.bound("min"), reader.bound("max"));
    Constraint {
        min_length: reader.count("minLength"),
        max_length: reader.count("maxLength"),
        pattern: reader.pattern(),
        min,
        max,
        min_items: reader.count("minItems"),
        max_items: reader.count("maxItems"),
        format: arguments.choice("format", &FORMATS),
        id_type: None,
    }
}

struct ConstraintReader<'a, 'r, 'f> {
    name: &'a str,
    arguments: DirectiveArguments<'a>,
    report: &'r mut DiagnosticReport<'f>,
}

impl ConstraintReader<'_, '_, '_> {
    fn check_suited(&mut self, arguments: &[&str], suited: bool, suits: &str) {
        for argument in arguments.iter().filter(|_| !suited) {
            if self.arguments.value(argument).is_some() {
                self.report.add(
                    self.arguments.place(argument),
                    format!(
                        "`{argument}` says nothing about the type of `{}`",
                        self.name
                    ),
                    format!("remove it; it is for {suits}"),
                );
            }
        }
    }

    fn check_order(&mut self, min: &str, max: &str) {
        let number = |argument| self.arguments.number(argument)?.ok();
        let (Some(least), Some(most)) = (number(min), number(max)) else {
            return;
        };
        if least.compare(&most).is_gt() {
            self.report.add(
                self.arguments.place(min),
                format!(
                    "no value of `{}` could satisfy {min} {least} and {max} {most}",
                    self.name
                ),
                "swap them",
            );
        }
    }

    fn bound(&mut self, argument: &str) -> Option<Decimal> {
        let bound = self.arguments.number(argument)?;
        if let Err(error) = &bound {
            self.report.add(
                self.arguments.place(argument),
                format!("`{argument}` of `{}` {error}", self.name),
                "write fewer digits",
            );
        }
        bound.ok()
    }

    fn count(&mut self, argument: &str) -> Option<usize> {
        let count = self.arguments.integer(argument)?;
        let count = usize::try_from(count).ok();
        if count.is_none() {
            self.report.add(
                self.arguments.place(argument),
                format!("`{argument}` of `{}` is negative", self.name),
                "write 0 or more",
            );
        }
        count
    }

    fn pattern(&mut self) -> Option<regex::Regex> {
        let pattern = self.arguments.text("pattern")?;
        match Constraint::whole(pattern) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default();
                let reason = reason.trim_start_matches("error: ");
                self.report.add(
                    self.arguments.place("pattern"),
                    format!("the pattern of `{}` is no regular expression: {reason}", self.name),
                    "the syntax is that of the Rust crate `regex`; a backslash is written twice in a quoted string",
                );
                None
            }
        }
    }
}
