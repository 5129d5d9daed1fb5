//! Templates such as `team:{teamId}`: literal text around placeholders.
//!
//! What a placeholder means (a claim, a field) is the caller's; here it is a dotted path and a text.

use std::fmt;

use thiserror::Error;

use crate::id::{NameError, Scope};

/// The most texts that one template may give to one identity.
pub(super) const TEXTS_MAX: usize = 10_000;

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A dotted path into claims, or the name of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder(Vec<String>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
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
    /// `{a}{b}`: nobody could tell where one value ends.
    #[error("two placeholders stand side by side without text between them")]
    Adjacent,
}

/// Why a template could not be filled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FillError {
    /// A placeholder has no value.
    #[error("`{0}` has no value")]
    Missing(String),
    /// The value contains the text that separates it from the next one, so that two different fillings would give
    /// the same name.
    #[error("the value of `{0}` contains the separator that follows it")]
    Ambiguous(String),
    /// More than 10,000 texts.
    #[error("it would give more than 10000 scopes")]
    TooMany,
    /// The filled text is no scope.
    #[error("the scope is not usable: {0}")]
    Name(#[from] NameError),
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
                parts.push(Part::Literal(literal.to_owned()));
                rest = &rest[open..];
                continue;
            }
            let close = rest.find('}').ok_or(TemplateError::Brace)?;
            if matches!(parts.last(), Some(Part::Placeholder(_))) {
                return Err(TemplateError::Adjacent);
            }
            parts.push(Part::Placeholder(Placeholder::parse(&rest[1..close])?));
            rest = &rest[close + 1..];
        }
        Ok(Self { parts })
    }

    /// The placeholders in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(placeholder) => Some(placeholder),
            Part::Literal(_) => None,
        })
    }

    /// Every text the template gives when each placeholder stands for each of its values in turn.
    ///
    /// # Errors
    /// [`FillError::Missing`] for a placeholder without value, [`FillError::Ambiguous`] for a value that
    /// contains the text separating it from a later placeholder, [`FillError::TooMany`] beyond 10,000 texts.
    pub fn fill_all(
        &self,
        mut values: impl FnMut(&Placeholder) -> Vec<String>,
    ) -> Result<Vec<String>, FillError> {
        let mut texts = vec![String::new()];
        for (i, part) in self.parts.iter().enumerate() {
            let choices = match part {
                Part::Literal(literal) => vec![literal.clone()],
                Part::Placeholder(placeholder) => {
                    let choices = values(placeholder);
                    if choices.is_empty() {
                        return Err(FillError::Missing(placeholder.to_string()));
                    }
                    if let Some(separator) = self.separator_after(i)
                        && choices.iter().any(|choice| choice.contains(separator))
                    {
                        return Err(FillError::Ambiguous(placeholder.to_string()));
                    }
                    choices
                }
            };
            if texts.len() * choices.len() > TEXTS_MAX {
                return Err(FillError::TooMany);
            }
            texts = texts
                .iter()
                .flat_map(|text| choices.iter().map(move |choice| format!("{text}{choice}")))
                .collect();
        }
        Ok(texts)
    }

    /// The one text the template gives when each placeholder has one value.
    ///
    /// # Errors
    /// As [`Template::fill_all`].
    pub fn fill(
        &self,
        mut value: impl FnMut(&Placeholder) -> Option<String>,
    ) -> Result<String, FillError> {
        let texts = self.fill_all(|placeholder| value(placeholder).into_iter().collect())?;
        Ok(texts.into_iter().next().unwrap_or_default())
    }

    /// The one scope the template gives.
    ///
    /// # Errors
    /// As [`Template::fill`], and [`FillError::Name`] when the text is no scope.
    pub fn fill_scope(
        &self,
        value: impl FnMut(&Placeholder) -> Option<String>,
    ) -> Result<Scope, FillError> {
        Ok(Scope::new(&self.fill(value)?)?)
    }

    /// The literal between the placeholder at `i` and a later placeholder.
    fn separator_after(&self, i: usize) -> Option<&str> {
        match self.parts.get(i + 1..) {
            Some([Part::Literal(literal), Part::Placeholder(_), ..]) => Some(literal),
            _ => None,
        }
    }
}

impl Placeholder {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        let path: Vec<String> = text.split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err(TemplateError::EmptyPlaceholder);
        }
        Ok(Self(path))
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

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(literal) => f.write_str(literal),
            Part::Placeholder(placeholder) => write!(f, "{{{placeholder}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_gives_one_text_for_each_value() {
        let template = Template::parse("team:{teams}").unwrap();
        let texts = template.fill_all(|_| vec!["1".into(), "2".into()]);
        assert_eq!(texts.unwrap(), ["team:1", "team:2"]);
    }

    #[test]
    fn a_template_without_placeholder_is_its_text() {
        let template = Template::parse("public").unwrap();
        assert_eq!(template.fill(|_| None).unwrap(), "public");
    }

    #[test]
    fn two_different_fillings_never_give_one_name() {
        let template = Template::parse("x:{a}:{b}").unwrap();
        let fill = |a: &str, b: &str| {
            template.fill(|p| Some(if p.path()[0] == "a" { a } else { b }.to_owned()))
        };
        assert_eq!(fill("1", "2:3").unwrap(), "x:1:2:3");
        assert_eq!(fill("1:2", "3"), Err(FillError::Ambiguous("a".into())));
    }

    #[test]
    fn broken_templates_are_refused() {
        for (text, error) in [
            ("a{b", TemplateError::Brace),
            ("a}b", TemplateError::Brace),
            ("{}", TemplateError::EmptyPlaceholder),
            ("{a..b}", TemplateError::EmptyPlaceholder),
            ("{a}{b}", TemplateError::Adjacent),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
        }
    }
}
