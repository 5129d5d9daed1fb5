//! Templates. Those over a document's fields (`@scope`, `@grants`) are checked against the fields. Those over claims
//! are checked only for their form, since a model knows no token. No two templates of scopes may give the same scope.
//!
//! [`Template`] and [`ScopeTemplate`] fill templates.

use apollo_compiler::{Node, ast::ObjectTypeDefinition, parser::SourceSpan};

use super::{
    directives::DirectiveArguments,
    report::{DiagnosticReport, did_you_mean},
    sdl::Sdl,
};
use crate::{
    id::Scope,
    model::{FieldType, Placeholder, Scalar, ScopeTemplate, Shape, Template, TemplateError},
};

const CLAIMS_HINT: &str = "write each claim as {claim}, such as \"user:{sub}\"";
const FIELDS_HINT: &str = "write each field as {field}, such as \"team:{teamId}\"";

/// A template of either form.
pub(super) trait Form: Sized {
    fn parse(text: &str) -> Result<Self, TemplateProblem>;
    fn placeholders(&self) -> impl Iterator<Item = &Placeholder>;
}

impl Form for Template {
    fn parse(text: &str) -> Result<Self, TemplateProblem> {
        Ok(Self::parse(text)?)
    }

    fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.placeholders()
    }
}

impl Form for ScopeTemplate {
    fn parse(text: &str) -> Result<Self, TemplateProblem> {
        let template = Self::parse(text)?;
        let is_fixed = template.placeholders().next().is_none();
        match Scope::new(text) {
            Err(error) if is_fixed => Err(TemplateProblem {
                problem: error.to_string(),
                hint: None,
            }),
            _ => Ok(template),
        }
    }

    fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.placeholders()
    }
}

/// Reads a template over claims; `None` after reporting that it is broken.
pub(super) fn read_claims<T: Form>(
    arguments: DirectiveArguments<'_>,
    argument: &str,
    report: &mut DiagnosticReport<'_>,
) -> Option<T> {
    read(arguments, argument, CLAIMS_HINT, report)
}

fn read<T: Form>(
    arguments: DirectiveArguments<'_>,
    argument: &str,
    hint: &str,
    report: &mut DiagnosticReport<'_>,
) -> Option<T> {
    let text = arguments.text(argument)?;
    let broken = match T::parse(text) {
        Ok(template) => return Some(template),
        Err(broken) => broken,
    };
    report.add(
        arguments.place(argument),
        format!("the template \"{text}\" is broken: {}", broken.problem),
        broken.hint.unwrap_or_else(|| hint.to_owned()),
    );
    None
}

/// What is wrong with a template, and what to do about it if that is known.
pub(super) struct TemplateProblem {
    problem: String,
    hint: Option<String>,
}

impl From<TemplateError> for TemplateProblem {
    fn from(error: TemplateError) -> Self {
        let hint = match &error {
            TemplateError::Mixed { separated, .. } => {
                Some(format!("put a colon between them: \"{separated}\""))
            }
            TemplateError::Percent => Some("leave the `%` out".to_owned()),
            TemplateError::Whole(path) => Some(format!("write {{{path}}}")),
            _ => None,
        };
        let problem = error.to_string();
        Self { problem, hint }
    }
}

/// A scope as the model writes it.
pub(super) struct WrittenScope<'a> {
    pub(super) at: Option<SourceSpan>,
    pub(super) text: &'a str,
    pub(super) template: ScopeTemplate,
    /// The type whose documents are in it; `None` if it is granted.
    pub(super) holds: Option<&'a str>,
}

impl<'a> WrittenScope<'a> {
    /// Every scope that can be read: those of the schema, then those of each type.
    pub(super) fn all(sdl: &Sdl<'a>) -> impl Iterator<Item = Self> {
        let of_types = sdl.synced.iter().flat_map(|object| {
            let own = DirectiveArguments::of(&object.directives, "scope").and_then(|arguments| {
                let scope = Self::read(arguments, "by")?;
                Some(Self {
                    template: scope.template.with_lone_as_whole(),
                    holds: Some(&object.name),
                    ..scope
                })
            });
            let opened = DirectiveArguments::of(&object.directives, "grants");
            let opened = opened.and_then(|arguments| Self::read(arguments, "scope"));
            own.into_iter().chain(opened)
        });
        let granted = sdl.grants();
        let granted = granted.filter_map(|arguments| Self::read(arguments, "scope"));
        granted.chain(of_types)
    }

    fn read(arguments: DirectiveArguments<'a>, argument: &str) -> Option<Self> {
        let text = arguments.text(argument)?;
        Some(Self {
            at: arguments.place(argument),
            text,
            template: ScopeTemplate::parse(text).ok()?,
            holds: None,
        })
    }
}

/// Reports scopes of different shapes that are equal for some values: a user with one of them would have the other. A
/// lone placeholder in `@scope` and a `{=claim}` hold whole scopes by intent.
pub(super) fn check_meetings(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) {
    let mut known: Vec<WrittenScope<'_>> = Vec::new();
    for scope in WrittenScope::all(sdl) {
        let template = &scope.template;
        if known.iter().any(|it| template.is_shaped_like(&it.template)) {
            continue;
        }
        for other in &known {
            if let Some(both) = template.meeting(&other.template) {
                let line = report.line(other.at);
                report.add(
                    scope.at,
                    format!("\"{}\" can be the same scope as \"{}\" in line {line}: \"{both}\"", scope.text, other.text),
                    "let them differ in a text that both have at the same place, or in the number of colons",
                );
            }
        }
        known.push(scope);
    }
}

/// Reads the templates of one type.
#[derive(Clone, Copy)]
pub(super) struct FieldTemplates<'a> {
    pub(super) sdl: &'a Sdl<'a>,
    pub(super) object: &'a Node<ObjectTypeDefinition>,
}

/// What a field must be to stand in a template.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TemplateFieldRule {
    /// A scalar that is text or a whole number, or an enum.
    Scalar,
    /// The same, and never null.
    Required,
}

impl FieldTemplates<'_> {
    /// Reads the template in `argument`; `None` after reporting that it is broken.
    pub(super) fn read<T: Form>(
        self,
        arguments: DirectiveArguments<'_>,
        argument: &str,
        need: TemplateFieldRule,
        report: &mut DiagnosticReport<'_>,
    ) -> Option<T> {
        let template: T = read(arguments, argument, FIELDS_HINT, report)?;
        for placeholder in template.placeholders() {
            if let Err((message, hint)) = self.check(placeholder, need) {
                report.add(arguments.place(argument), message, hint);
            }
        }
        Some(template)
    }

    fn check(
        self,
        placeholder: &Placeholder,
        need: TemplateFieldRule,
    ) -> Result<(), (String, String)> {
        let [name] = placeholder.path() else {
            return Err((
                format!(
                    "`{placeholder}` is a path, and a template here takes a document's own fields"
                ),
                "keep the value in a field of the document itself".into(),
            ));
        };
        let fields = &self.object.fields;
        let Some(field) = fields.iter().find(|field| field.name == name.as_str()) else {
            return Err((
                format!(
                    "the template names `{name}`, and {} has no such field",
                    self.object.name
                ),
                did_you_mean(name, fields.iter().map(|field| field.name.as_str())),
            ));
        };
        if field.directives.has("retired") {
            return Err((
                format!("the template names `{name}`, which is retired"),
                "remove @retired, or let the template name another field".into(),
            ));
        }
        if field.directives.has("server") {
            return Err((
                format!(
                    "the template names `{name}`, which is @server, and is set once the change is decided"
                ),
                format!(
                    "name a field that is set before, such as `owner: {}! @default(value: \"{{sub}}\")`",
                    field.ty.inner_named_type()
                ),
            ));
        }
        // The field's own check reports a type that cannot be stored.
        let Some(ty) = self.sdl.field_type(&field.ty) else {
            return Ok(());
        };
        if !is_name_like(&ty) {
            return Err((
                format!(
                    "`{name}` cannot stand in a template: its type is {}",
                    field.ty
                ),
                "use a field of type ID, String, Int, Long, or an enum".into(),
            ));
        }
        if need == TemplateFieldRule::Required && !ty.required {
            return Err((
                format!("`{name}` may be null, and a document must always be in a scope"),
                format!("write `{name}: {}!`", field.ty),
            ));
        }
        Ok(())
    }
}

fn is_name_like(ty: &FieldType) -> bool {
    matches!(
        ty.shape,
        Shape::Scalar(Scalar::Id | Scalar::String | Scalar::Int | Scalar::Long) | Shape::Enum(_)
    )
}
