//! Mistakes and warnings. Every check adds what it finds, so that a model's author sees all at once. The checks decide
//! what is a mistake.

use std::{error::Error, fmt, slice};

use apollo_compiler::{diagnostic::ToCliReport, parser::SourceSpan, validation::DiagnosticList};

/// Whether a model with this problem can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, with a warning.
    Warning,
}

/// A mistake or a warning at one place of a model file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The character of the line, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Self {
            file,
            line,
            column,
            message,
            hint,
            ..
        } = self;
        write!(
            f,
            "{file}:{line}:{column}: {severity}: {message}\n  hint: {hint}"
        )
    }
}

/// All mistakes of a model in the order of the file; there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// The mistakes in the order of the file.
    pub fn iter(&self) -> slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// The mistakes that prevent `source` from being SDL: the first of each line, since the others follow from it.
    pub(super) fn of_syntax(source: Source<'_>, errors: &DiagnosticList) -> Self {
        let diagnostics = errors.iter().map(|diagnostic| {
            let message = spell_tokens(&diagnostic.error.to_string());
            source.mistake(
                diagnostic.error.location(),
                message,
                syntax_hint(source.text),
            )
        });
        let mut diagnostics = Self::sorted(diagnostics.collect());
        diagnostics.0.dedup_by_key(|mistake| mistake.line);
        diagnostics
    }

    fn sorted(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|mistake| (mistake.line, mistake.column));
        diagnostics.dedup();
        Self(diagnostics)
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl Error for Diagnostics {}

/// One model file.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// A mistake without a place counts as at the beginning of the file.
    fn mistake(
        self,
        at: Option<SourceSpan>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Diagnostic {
        let before = at
            .and_then(|span| self.text.get(..span.offset()))
            .unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Diagnostic {
            severity: Severity::Error,
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// Gathers the mistakes of one file.
pub(super) struct DiagnosticReport<'a> {
    source: Source<'a>,
    mistakes: Vec<Diagnostic>,
}

impl<'a> DiagnosticReport<'a> {
    pub(super) fn new(source: Source<'a>) -> Self {
        Self {
            source,
            mistakes: Vec::new(),
        }
    }

    /// Adds a mistake; without a place it counts as at the beginning of the file.
    pub(super) fn add(
        &mut self,
        at: Option<SourceSpan>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.mistakes.push(self.source.mistake(at, message, hint));
    }

    /// The line of a place, from 1.
    pub(super) fn line(&self, at: Option<SourceSpan>) -> usize {
        self.source.mistake(at, "", "").line
    }

    /// Adds a warning.
    pub(super) fn warn(
        &mut self,
        at: Option<SourceSpan>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.mistakes.push(Diagnostic {
            severity: Severity::Warning,
            ..self.source.mistake(at, message, hint)
        });
    }

    /// All that was found, in the order of the file.
    pub(super) fn found(self) -> Vec<Diagnostic> {
        Diagnostics::sorted(self.mistakes).0
    }

    /// `value`, if nothing was found.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Diagnostics> {
        if self.mistakes.is_empty() {
            Ok(value)
        } else {
            Err(Diagnostics::sorted(self.mistakes))
        }
    }
}

/// A file that begins with a keyword of another tool is no SDL.
fn syntax_hint(text: &str) -> &'static str {
    let is_foreign = |line: &str| {
        let first = line.split_whitespace().next();
        first.is_some_and(|word| ["model", "generator", "datasource", "class", "{"].contains(&word))
    };
    let mut lines = text.lines().map(str::trim);
    if lines
        .find(|line| !line.is_empty() && !line.starts_with(['#', '/']))
        .is_some_and(is_foreign)
    {
        "a model is written in GraphQL's SDL, such as `type Task @collection(name: \"tasks\") @scope(by: \"public\") { id: ID! title: String }`"
    } else {
        "look at this place and just before it: a name, a colon, a quote or a bracket is missing or too many"
    }
}

/// Replaces the parser's names of brackets by the brackets.
fn spell_tokens(message: &str) -> String {
    const SPELLINGS: [(&str, &str); 7] = [
        ("L_CURLY", "`{`"),
        ("R_CURLY", "`}`"),
        ("L_PAREN", "`(`"),
        ("R_PAREN", "`)`"),
        ("L_BRACK", "`[`"),
        ("R_BRACK", "`]`"),
        ("EOF", "the end of the file"),
    ];
    SPELLINGS
        .into_iter()
        .fold(message.to_owned(), |text, (token, spelling)| {
            text.replace(token, spelling)
        })
}

/// A hint for a name that is not among the `known` ones: the nearest of them, or all.
pub(super) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let distance = |candidate: &str| {
        strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase())
    };
    let nearest = known
        .iter()
        .copied()
        .min_by_key(|candidate| distance(candidate));
    match nearest {
        Some(nearest) if distance(nearest) <= (name.len() / 3).max(1) => {
            format!("did you mean `{nearest}`?")
        }
        Some(_) => format!("known here: {}", known.join(", ")),
        None => "none is known here".to_owned(),
    }
}
