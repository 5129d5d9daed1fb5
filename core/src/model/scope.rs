//! Templates of scopes such as `team:{teamId}`: segments joined by `:`. The filled text identifies the values that made
//! it.
//!
//! Two different shapes or values never give one text: values are escaped, and a model with two shapes that can be
//! equal is refused ([`super::parse`]). The caller provides the values.

use std::fmt;

use super::template::{FillError, Placeholder, Template, TemplateError, TemplatePart};
use crate::id::Scope;

/// The most scopes that one template may give to one identity.
const SCOPES_MAX: usize = 10_000;

/// What joins the segments of a scope.
const SEPARATOR: char = ':';

/// What escapes it in values.
const ESCAPE: char = '%';

/// The template of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeTemplate {
    /// Segments, joined by `:`.
    Segments(Vec<Segment>),
    /// The value is the text of a whole scope.
    Whole(Placeholder),
}

/// The content between two colons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Text, which may be empty.
    Literal(String),
    /// A value, escaped.
    Placeholder(Placeholder),
}

impl ScopeTemplate {
    /// Parses `text`. A lone placeholder is a segment, and `{=path}` holds a whole scope.
    ///
    /// # Errors
    /// [`TemplateError`] when it is no template, or a segment is neither text without `%` nor one placeholder.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let whole = text
            .strip_prefix("{=")
            .and_then(|text| text.strip_suffix('}'));
        if let Some(path) = whole.filter(|path| !path.contains(['{', '}'])) {
            return Placeholder::parse(path).map(Self::Whole);
        }
        segments(text).map(Self::Segments)
    }

    /// The same, but a lone placeholder holds a whole scope.
    #[must_use]
    pub fn with_lone_as_whole(self) -> Self {
        match self {
            Self::Segments(segments) => match <[Segment; 1]>::try_from(segments) {
                Ok([Segment::Placeholder(placeholder)]) => Self::Whole(placeholder),
                Ok(literal) => Self::Segments(literal.into()),
                Err(segments) => Self::Segments(segments),
            },
            whole @ Self::Whole(_) => whole,
        }
    }

    /// The same with other names for its fields.
    #[must_use]
    pub(super) fn renamed(mut self, rename: impl Fn(&str) -> String) -> Self {
        match &mut self {
            Self::Whole(placeholder) => placeholder.rename(rename),
            Self::Segments(segments) => {
                for segment in segments {
                    if let Segment::Placeholder(placeholder) = segment {
                        placeholder.rename(&rename);
                    }
                }
            }
        }
        self
    }

    /// The placeholders in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        let (segments, whole) = match self {
            Self::Segments(segments) => (&segments[..], None),
            Self::Whole(placeholder) => (&[][..], Some(placeholder)),
        };
        let filled = segments.iter().filter_map(|segment| match segment {
            Segment::Placeholder(placeholder) => Some(placeholder),
            Segment::Literal(_) => None,
        });
        filled.chain(whole)
    }

    /// Every scope the template gives when each placeholder stands for each of its values in turn. Texts that are no
    /// scopes are left out.
    ///
    /// # Errors
    /// [`FillError::Missing`] for a placeholder without value, [`FillError::TooMany`] beyond 10,000 scopes.
    pub fn fill_all(
        &self,
        mut values: impl FnMut(&Placeholder) -> Vec<String>,
    ) -> Result<Vec<Scope>, FillError> {
        let texts = match self {
            Self::Segments(segments) => texts(segments, values)?,
            Self::Whole(placeholder) => {
                let mut texts = values(placeholder);
                texts.retain(|text| is_canonical(text));
                check_count(texts.len())?;
                texts
            }
        };
        let scopes = texts.iter().filter_map(|text| Scope::new(text).ok());
        Ok(scopes.collect())
    }

    /// The one scope the template gives when each placeholder has one value.
    ///
    /// # Errors
    /// [`FillError::Missing`] for a placeholder without value, [`FillError::NotCanonical`] when the value of a whole
    /// scope is none, [`FillError::Name`] when the text is no scope.
    pub fn fill(
        &self,
        mut value: impl FnMut(&Placeholder) -> Option<String>,
    ) -> Result<Scope, FillError> {
        let text = match self {
            Self::Segments(segments) => {
                let values = |placeholder: &Placeholder| value(placeholder).into_iter().collect();
                let texts = texts(segments, values)?;
                texts.into_iter().next().unwrap_or_default()
            }
            Self::Whole(placeholder) => {
                let text = value(placeholder);
                let text = text.ok_or_else(|| FillError::Missing(placeholder.to_string()))?;
                if !is_canonical(&text) {
                    return Err(FillError::NotCanonical(placeholder.to_string()));
                }
                text
            }
        };
        Ok(Scope::new(&text)?)
    }

    /// Whether the template gives scopes of the same shape as `other`. Placeholders may have different names.
    pub fn is_shaped_like(&self, other: &Self) -> bool {
        use Segment::{Literal, Placeholder};
        match (self, other) {
            (Self::Segments(a), Self::Segments(b)) => {
                a.len() == b.len()
                    && a.iter().zip(b).all(|pair| match pair {
                        (Literal(a), Literal(b)) => a == b,
                        (Placeholder(_), Placeholder(_)) => true,
                        _ => false,
                    })
            }
            (Self::Whole(_), Self::Whole(_)) => true,
            _ => false,
        }
    }

    /// A scope that both templates can give, if there is one. A template of whole scopes has no shape, and meets
    /// nothing.
    pub fn meeting(&self, other: &Self) -> Option<String> {
        use Segment::{Literal, Placeholder};
        let (Self::Segments(a), Self::Segments(b)) = (self, other) else {
            return None;
        };
        if a.len() != b.len() {
            return None;
        }
        let common = a.iter().zip(b).map(|pair| match pair {
            (Literal(a), Literal(b)) => (a == b).then_some(a.as_str()),
            // No value is empty.
            (Literal(text), Placeholder(_)) | (Placeholder(_), Literal(text)) => {
                (!text.is_empty()).then_some(text.as_str())
            }
            (Placeholder(_), Placeholder(_)) => Some("x"),
        });
        let common: Vec<&str> = common.collect::<Option<_>>()?;
        Some(common.join(":"))
    }

    /// Whether it gives `scope` for some values.
    pub fn can_give(&self, scope: &Scope) -> bool {
        let Self::Segments(segments) = self else {
            return is_canonical(scope.as_str());
        };
        let texts: Vec<&str> = scope.as_str().split(SEPARATOR).collect();
        texts.len() == segments.len()
            && segments
                .iter()
                .zip(texts)
                .all(|(segment, text)| match segment {
                    Segment::Literal(literal) => literal == text,
                    Segment::Placeholder(_) => !text.is_empty() && is_canonical(text),
                })
    }
}

impl fmt::Display for ScopeTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let segments = match self {
            Self::Segments(segments) => segments,
            Self::Whole(placeholder) => return write!(f, "{{={placeholder}}}"),
        };
        for (i, segment) in segments.iter().enumerate() {
            if i > 0 {
                write!(f, "{SEPARATOR}")?;
            }
            match segment {
                Segment::Literal(text) => f.write_str(text)?,
                Segment::Placeholder(placeholder) => write!(f, "{{{placeholder}}}")?,
            }
        }
        Ok(())
    }
}

/// Splits at the colons outside of placeholders: a claim may be called `cognito:groups`.
fn segments(text: &str) -> Result<Vec<Segment>, TemplateError> {
    let mut in_placeholder = false;
    let pieces = text.split(|c| {
        match c {
            '{' => in_placeholder = true,
            '}' => in_placeholder = false,
            _ => {}
        }
        c == SEPARATOR && !in_placeholder
    });
    pieces.map(segment).collect()
}

fn segment(piece: &str) -> Result<Segment, TemplateError> {
    let template = Template::parse(piece)?;
    match &template.parts[..] {
        [] => Ok(Segment::Literal(String::new())),
        [TemplatePart::Literal(text)] if text.contains(ESCAPE) => Err(TemplateError::Percent),
        [TemplatePart::Literal(text)] => Ok(Segment::Literal(text.clone())),
        [TemplatePart::Placeholder(placeholder)] => Ok(Segment::Placeholder(placeholder.clone())),
        parts => Err(TemplateError::Mixed {
            part: piece.to_owned(),
            separated: separated(parts),
        }),
    }
}

/// The parts with colons in place of their present separators.
fn separated(parts: &[TemplatePart]) -> String {
    let texts = parts.iter().map(|part| match part {
        TemplatePart::Placeholder(_) => part.to_string(),
        TemplatePart::Literal(text) => {
            let name = text.trim_matches(|c: char| !c.is_alphanumeric());
            name.to_owned()
        }
    });
    let texts: Vec<String> = texts.filter(|text| !text.is_empty()).collect();
    texts.join(":")
}

fn texts(
    segments: &[Segment],
    mut values: impl FnMut(&Placeholder) -> Vec<String>,
) -> Result<Vec<String>, FillError> {
    let mut texts = vec![String::new()];
    for (i, segment) in segments.iter().enumerate() {
        let choices = match segment {
            Segment::Literal(literal) => vec![literal.clone()],
            Segment::Placeholder(placeholder) => {
                let values = values(placeholder);
                if values.is_empty() {
                    return Err(FillError::Missing(placeholder.to_string()));
                }
                values.iter().map(|value| escaped(value)).collect()
            }
        };
        check_count(texts.len() * choices.len())?;
        let separator = if i == 0 { "" } else { ":" };
        let continued = |text: &String| {
            let choices = choices.iter();
            let longer = choices.map(|choice| format!("{text}{separator}{choice}"));
            longer.collect::<Vec<_>>()
        };
        texts = texts.iter().flat_map(continued).collect();
    }
    Ok(texts)
}

fn check_count(scopes: usize) -> Result<(), FillError> {
    if scopes > SCOPES_MAX {
        return Err(FillError::TooMany);
    }
    Ok(())
}

/// A value in the form that it has in a segment.
fn escaped(value: &str) -> String {
    value.replace(ESCAPE, "%25").replace(SEPARATOR, "%3A")
}

/// Whether `text` can be the text of a scope: in segments, `%` occurs only in an escape.
pub fn is_canonical(text: &str) -> bool {
    let mut escapes = text.split(ESCAPE).skip(1);
    escapes.all(|rest| rest.starts_with("25") || rest.starts_with("3A"))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn template(text: &str) -> ScopeTemplate {
        ScopeTemplate::parse(text).unwrap()
    }

    /// Fills the placeholders in their order.
    fn fill(template: &ScopeTemplate, values: &[&str]) -> Result<Scope, FillError> {
        let mut values = values.iter().map(|value| (*value).to_owned());
        template.fill(|_| values.next())
    }

    #[test]
    fn a_template_gives_one_scope_for_each_value() {
        let scopes = template("team:{teams}").fill_all(|_| vec!["1".into(), "2:3".into()]);
        let scopes = scopes.unwrap();
        let texts: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
        assert_eq!(texts, ["team:1", "team:2%3A3"]);
    }

    #[test]
    fn a_value_stays_in_its_segment() {
        let cases: [(&str, &[&str], &str); 6] = [
            ("public", &[], "public"),
            ("team:{t}", &["42"], "team:42"),
            ("{org}::{dept}", &["1", ":2"], "1::%3A2"),
            ("{org}::{dept}", &["1:", "2"], "1%3A::2"),
            ("{t}", &["a:b%"], "a%3Ab%25"),
            ("{cognito:groups}:x", &["a"], "a:x"),
        ];
        for (text, values, scope) in cases {
            assert_eq!(fill(&template(text), values).unwrap().as_str(), scope);
        }
    }

    #[test]
    fn the_bound_of_a_scope_counts_its_escaped_text() {
        assert!(fill(&template("{a}"), &[&":".repeat(85)]).is_ok());
        let too_long = fill(&template("{a}"), &[&":".repeat(86)]);
        assert!(matches!(too_long, Err(FillError::Name(_))), "{too_long:?}");
    }

    #[test]
    fn a_whole_scope_is_taken_as_it_is_and_only_in_its_canonical_text() {
        for whole in [template("{=a}"), template("{a}").with_lone_as_whole()] {
            assert_eq!(fill(&whole, &["team:42"]).unwrap().as_str(), "team:42");
            assert_eq!(fill(&whole, &["a%3Ab"]).unwrap().as_str(), "a%3Ab");
            for text in ["100%", "a%3ab", "%2", "%253%"] {
                let refused = fill(&whole, &[text]);
                assert_eq!(refused, Err(FillError::NotCanonical("a".into())), "{text}");
            }
            let texts = || ["a:b", "50%", "c"].map(str::to_owned).to_vec();
            let given = whole.fill_all(|_| texts()).unwrap();
            let given: Vec<&str> = given.iter().map(Scope::as_str).collect();
            assert_eq!(given, ["a:b", "c"]);
        }
    }

    #[test]
    fn a_segment_is_text_or_one_placeholder() {
        let mixed = |part: &str, separated: &str| TemplateError::Mixed {
            part: part.into(),
            separated: separated.into(),
        };
        for (text, error) in [
            ("org-{id}", mixed("org-{id}", "org:{id}")),
            ("x:{a}--{b}:y", mixed("{a}--{b}", "{a}:{b}")),
            ("{a}aa{b}", mixed("{a}aa{b}", "{a}:aa:{b}")),
            ("50%:{a}", TemplateError::Percent),
            ("{a}{b}", TemplateError::Adjacent),
            ("team:{=a}", TemplateError::Whole("a".into())),
            ("team:{a", TemplateError::Brace),
        ] {
            assert_eq!(ScopeTemplate::parse(text), Err(error), "{text}");
        }
    }

    /// Each pair with a scope that both would give, which shows why the pair has to be refused.
    #[test]
    fn templates_that_meet_have_two_fillings_of_one_scope() {
        let cases: [(&str, &str, &[&str], &[&str]); 5] = [
            ("team:{t}", "team:public", &["public"], &[]),
            ("{a}", "all", &["all"], &[]),
            ("{a}:x", "y:{b}", &["y"], &["x"]),
            ("a:{b}:{c}", "a:{b}:z", &["x", "z"], &["x"]),
            ("{a}::{b}", "{a}::c", &["x", "c"], &["x"]),
        ];
        for (a, b, of_a, of_b) in cases {
            let (a, b) = (template(a), template(b));
            let witness = a.meeting(&b);
            let witness = witness.as_deref();
            assert_eq!(witness, Some(fill(&a, of_a).unwrap().as_str()));
            assert_eq!(witness, Some(fill(&b, of_b).unwrap().as_str()));
        }
        for (a, b) in [
            ("team:{t}", "user:{t}"),
            ("team:{t}", "team:{t}:{kind}"),
            ("{a}::{b}", "{a}:{c}:{b}"),
            ("public", "all"),
            ("{=a}", "all"),
        ] {
            assert_eq!(template(a).meeting(&template(b)), None, "{a} {b}");
        }
    }

    /// Few letters, so that texts are often equal by accident.
    fn value() -> impl Strategy<Value = String> {
        "[a:%2]{1,4}"
    }

    /// `None` is a placeholder.
    fn shapes() -> impl Strategy<Value = Vec<Option<String>>> {
        vec(prop_oneof![Just(None), "[a2]{0,2}".prop_map(Some)], 1..4)
    }

    fn of_shape(shape: &[Option<String>]) -> ScopeTemplate {
        let segments = shape.iter().map(|literal| match literal {
            None => Segment::Placeholder(Placeholder::parse("p").unwrap()),
            Some(text) => Segment::Literal(text.clone()),
        });
        ScopeTemplate::Segments(segments.collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        /// Equal texts if and only if equal shapes and values, unless a model with the two is refused.
        #[test]
        fn a_scope_says_what_it_was_made_of(
            (a, b) in (shapes(), shapes()),
            (of_a, of_b) in (vec(value(), 3), vec(value(), 3)),
            alike in any::<bool>(),
        ) {
            let b = if alike { a.clone() } else { b };
            let used = |shape: &[Option<String>], values: &[String]| {
                let placeholders = shape.iter().filter(|segment| segment.is_none()).count();
                values[..placeholders].to_vec()
            };
            let (of_a, of_b) = (used(&a, &of_a), used(&b, &of_b));
            let filled = |shape: &[Option<String>], values: &[String]| {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                fill(&of_shape(shape), &values).ok()
            };
            let (Some(text_a), Some(text_b)) = (filled(&a, &of_a), filled(&b, &of_b)) else {
                // The empty text is no scope.
                return Ok(());
            };
            let meets = of_shape(&a).meeting(&of_shape(&b)).is_some();
            prop_assert!(of_shape(&a).can_give(&text_a));
            prop_assert_eq!(of_shape(&b).is_shaped_like(&of_shape(&a)), a == b);
            if a == b || !meets {
                prop_assert_eq!(text_a == text_b, (&a, of_a) == (&b, of_b));
            }
        }

        /// A refused pair has two fillings that give one scope.
        #[test]
        fn what_meets_is_given_by_both((a, b) in (shapes(), shapes())) {
            let (a, b) = (of_shape(&a), of_shape(&b));
            if let Some(witness) = a.meeting(&b).and_then(|text| Scope::new(&text).ok()) {
                prop_assert!(a.can_give(&witness) && b.can_give(&witness));
            }
        }
    }
}
