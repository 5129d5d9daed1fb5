//! Templates such as `user-{sub}`: literal text around placeholders.
//!
//! A placeholder is a dotted path here. The caller gives it its meaning, a claim or a field. Templates of scopes have a
//! form of their own, [`ScopeTemplate`](super::ScopeTemplate).

use std::fmt;

use thiserror::Error;

use crate::id::NameError;

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub(super) parts: Vec<TemplatePart>,
}

/// A dotted path into claims, or the stored name of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder(Vec<String>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TemplatePart {
    Literal(String),
    Placeholder(Placeholder),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// `{` without `}`, or the other way round.
    #[error("a brace is not closed or not opened")]
    Brace,
    /// `{}` or `{a..b}`.
    #[error("a placeholder is empty")]
    EmptyPlaceholder,
    /// `{a}{b}`: the end of the first value would be unknown.
    #[error("two placeholders stand side by side without text between them")]
    Adjacent,
    /// `org-{id}` in a scope.
    #[error("a part between two colons is either text or one placeholder, and `{part}` is both")]
    Mixed {
        /// The part.
        part: String,
        /// The whole template with a colon between its text and its placeholders.
        separated: String,
    },
    /// `50%` in a scope.
    #[error("its text contains `%`, which escapes values")]
    Percent,
    /// `{=a}` beside other text, or where no whole scope can stand.
    #[error("`{{={0}}}` stands for the text of a whole scope, and only where it stands alone")]
    Whole(String),
}

/// Why a template could not be filled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FillError {
    /// A placeholder has no value.
    #[error("`{0}` has no value")]
    Missing(String),
    /// The value contains its separator from the next one, so that two different fillings would give the same text.
    #[error("the value of `{0}` runs into the separator that follows it")]
    Ambiguous(String),
    /// The value has to be the text of a scope, and is not.
    #[error(
        "the value of `{0}` is not the text of a scope, in which `%` stands only in `%25` and `%3A`"
    )]
    NotCanonical(String),
    /// More than 10,000 texts.
    #[error("it would give more than 10000 scopes")]
    TooMany,
    /// The filled text is no scope.
    #[error("the scope is not usable: {0}")]
    Name(#[from] NameError),
}

impl FillError {
    /// The placeholder that cannot be filled, if one is to blame.
    pub fn placeholder(&self) -> Option<&str> {
        match self {
            Self::Missing(name) | Self::Ambiguous(name) | Self::NotCanonical(name) => Some(name),
            Self::TooMany | Self::Name(_) => None,
        }
    }

    /// The same with another name for the placeholder.
    pub(crate) fn renamed(mut self, rename: impl Fn(&str) -> String) -> Self {
        if let Self::Missing(name) | Self::Ambiguous(name) | Self::NotCanonical(name) = &mut self {
            *name = rename(name);
        }
        self
    }
}

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    /// [`TemplateError`] when braces do not pair, or placeholders are empty or adjacent.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let open = rest.find('{').unwrap_or(rest.len());
            if open > 0 {
                let literal = &rest[..open];
                if literal.contains('}') {
                    return Err(TemplateError::Brace);
                }
                parts.push(TemplatePart::Literal(literal.to_owned()));
                rest = &rest[open..];
                continue;
            }
            let close = rest.find('}').ok_or(TemplateError::Brace)?;
            if matches!(parts.last(), Some(TemplatePart::Placeholder(_))) {
                return Err(TemplateError::Adjacent);
            }
            parts.push(TemplatePart::Placeholder(Placeholder::parse(
                &rest[1..close],
            )?));
            rest = &rest[close + 1..];
        }
        Ok(Self { parts })
    }

    /// The same with other names for its fields.
    #[must_use]
    pub(super) fn renamed(mut self, rename: impl Fn(&str) -> String) -> Self {
        for part in &mut self.parts {
            if let TemplatePart::Placeholder(placeholder) = part {
                placeholder.rename(&rename);
            }
        }
        self
    }

    /// The placeholders in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Placeholder(placeholder) => Some(placeholder),
            TemplatePart::Literal(_) => None,
        })
    }

    /// Its placeholder, if there is nothing else.
    pub(super) fn lone(&self) -> Option<&Placeholder> {
        match &self.parts[..] {
            [TemplatePart::Placeholder(placeholder)] => Some(placeholder),
            _ => None,
        }
    }

    /// The text of the template when each placeholder has this value.
    ///
    /// # Errors
    /// [`FillError::Missing`] for a placeholder without value, [`FillError::Ambiguous`] for a value after which the
    /// separator would be found elsewhere.
    pub fn fill(
        &self,
        mut value: impl FnMut(&Placeholder) -> Option<String>,
    ) -> Result<String, FillError> {
        let mut text = String::new();
        for (i, part) in self.parts.iter().enumerate() {
            match part {
                TemplatePart::Literal(literal) => text.push_str(literal),
                TemplatePart::Placeholder(placeholder) => {
                    let value =
                        value(placeholder).ok_or(FillError::Missing(placeholder.to_string()))?;
                    if self
                        .separator_after(i)
                        .is_some_and(|separator| !ends_before(&value, separator))
                    {
                        return Err(FillError::Ambiguous(placeholder.to_string()));
                    }
                    text.push_str(&value);
                }
            }
        }
        Ok(text)
    }

    /// The literal between the placeholder at `i` and a later placeholder.
    fn separator_after(&self, i: usize) -> Option<&str> {
        match self.parts.get(i + 1..) {
            Some(
                [
                    TemplatePart::Literal(literal),
                    TemplatePart::Placeholder(_),
                    ..,
                ],
            ) => Some(literal),
            _ => None,
        }
    }
}

/// Whether a search for the first `separator` finds it right after `value`. A separator such as `::` may also begin
/// inside the value.
fn ends_before(value: &str, separator: &str) -> bool {
    format!("{value}{separator}").find(separator) == Some(value.len())
}

impl Placeholder {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        if let Some(whole) = text.strip_prefix('=') {
            return Err(TemplateError::Whole(whole.to_owned()));
        }
        let path: Vec<String> = text.split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err(TemplateError::EmptyPlaceholder);
        }
        Ok(Self(path))
    }

    /// Gives another name to the field that it stands for.
    pub(super) fn rename(&mut self, rename: impl Fn(&str) -> String) {
        if let [name] = &mut self.0[..] {
            *name = rename(name);
        }
    }

    /// The path's segments, at least one.
    pub fn path(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl fmt::Display for TemplatePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(literal) => f.write_str(literal),
            Self::Placeholder(placeholder) => write!(f, "{{{placeholder}}}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_without_placeholder_is_its_text() {
        let template = Template::parse("public").unwrap();
        assert_eq!(template.fill(|_| None).unwrap(), "public");
    }

    #[test]
    fn two_different_fillings_never_give_one_text() {
        let fill = |text: &str, a: &str, b: &str| {
            let template = Template::parse(text).unwrap();
            template.fill(|p| Some(if p.path()[0] == "a" { a } else { b }.to_owned()))
        };
        let ambiguous = Err(FillError::Ambiguous("a".into()));
        assert_eq!(fill("x:{a}:{b}", "1", "2:3").unwrap(), "x:1:2:3");
        assert_eq!(fill("x:{a}:{b}", "1:2", "3"), ambiguous);
        // A separator that overlaps itself.
        assert_eq!(fill("{a}--{b}", "1", "-2").unwrap(), "1---2");
        assert_eq!(fill("{a}--{b}", "1-", "2"), ambiguous);
    }

    #[test]
    fn broken_templates_are_refused() {
        for (text, error) in [
            ("a{b", TemplateError::Brace),
            ("a}b", TemplateError::Brace),
            ("{}", TemplateError::EmptyPlaceholder),
            ("{a..b}", TemplateError::EmptyPlaceholder),
            ("{a}{b}", TemplateError::Adjacent),
            ("{=a}", TemplateError::Whole("a".into())),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
        }
    }
}
