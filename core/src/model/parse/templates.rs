//! Templates. Those over a document's fields (`@scope`, `@grants`) are checked against the fields. Those over claims
//! are checked only for their form, since a model knows no token. No two templates of scopes may give the same scope.
//!
//! [`Template`] and [`ScopeTemplate`] fill templates.

use apollo_compiler::{Node, ast::ObjectTypeDefinition, parser::SourceSpan};

use super::{
    directives::Arguments,
    report::{Report, did_you_mean},
    sdl::Sdl,
};
use crate::{
    id::Scope,
    model::{FieldType, Placeholder, Scalar, ScopeTemplate, Shape, Template, TemplateError},
};

const CLAIMS_HINT: &str = "write each claim as {claim}, such as \"user:{sub}\"";
const FIELDS_HINT: &str = "write each field as {field}, such as \"team:{teamId}\"";

/// Reads a text over claims; `None` after reporting that it is broken.
pub(super) fn read_claims(
    arguments: Arguments<'_>,
    argument: &str,
    report: &mut Report<'_>,
) -> Option<Template> {
    read(Template::parse, arguments, argument, CLAIMS_HINT, report)
}

/// Reads a scope over claims; `None` after reporting that it is broken.
pub(super) fn read_claims_scope(
    arguments: Arguments<'_>,
    argument: &str,
    report: &mut Report<'_>,
) -> Option<ScopeTemplate> {
    read(parse_scope, arguments, argument, CLAIMS_HINT, report)
}

fn read<T, E: Into<Broken>>(
    parse: impl FnOnce(&str) -> Result<T, E>,
    arguments: Arguments<'_>,
    argument: &str,
    hint: &str,
    report: &mut Report<'_>,
) -> Option<T> {
    let text = arguments.text(argument)?;
    let broken = match parse(text) {
        Ok(template) => return Some(template),
        Err(error) => error.into(),
    };
    report.add(
        arguments.place(argument),
        format!("the template \"{text}\" is broken: {}", broken.problem),
        broken.hint.unwrap_or_else(|| hint.to_owned()),
    );
    None
}

/// What is wrong with a template, and what to do about it if that is known.
struct Broken {
    problem: String,
    hint: Option<String>,
}

impl From<TemplateError> for Broken {
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

fn parse_scope(text: &str) -> Result<ScopeTemplate, Broken> {
    let template = ScopeTemplate::parse(text)?;
    let is_fixed = template.placeholders().next().is_none();
    match Scope::new(text) {
        Err(error) if is_fixed => Err(Broken {
            problem: error.to_string(),
            hint: None,
        }),
        _ => Ok(template),
    }
}

/// Reports scopes of different shapes that are equal for some values: a user with one of them would have the other. A
/// lone placeholder in `@scope` and a `{=claim}` hold whole scopes by intent.
pub(super) fn check_meetings(sdl: &Sdl<'_>, report: &mut Report<'_>) {
    let grants = sdl
        .schema
        .iter()
        .flat_map(|schema| Arguments::all_of(&schema.directives, "grant"));
    let grants = grants.map(|arguments| ("scope", arguments));
    let types = sdl.synced.iter().flat_map(|object| {
        let of = |directive| Arguments::of(&object.directives, directive);
        let scope = of("scope").map(|arguments| ("by", arguments));
        let opened = of("grants").map(|arguments| ("scope", arguments));
        scope.into_iter().chain(opened)
    });
    let mut known: Vec<(ScopeTemplate, &str, Option<SourceSpan>)> = Vec::new();
    for (argument, arguments) in grants.chain(types) {
        let Some(text) = arguments.text(argument) else {
            continue;
        };
        let Ok(mut template) = ScopeTemplate::parse(text) else {
            continue;
        };
        if argument == "by" {
            template = template.with_lone_as_whole();
        }
        if known
            .iter()
            .any(|(other, ..)| template.is_shaped_like(other))
        {
            continue;
        }
        let at = arguments.place(argument);
        for (other, other_text, other_at) in &known {
            if let Some(both) = template.meeting(other) {
                let line = report.line(*other_at);
                report.add(
                    at,
                    format!("\"{text}\" can be the same scope as \"{other_text}\" in line {line}: \"{both}\""),
                    "let them differ in a text that both have at the same place, or in the number of colons",
                );
            }
        }
        known.push((template, text, at));
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
pub(super) enum Need {
    /// A scalar that is text or a whole number, or an enum.
    Scalar,
    /// The same, and never null.
    Required,
}

impl FieldTemplates<'_> {
    /// Reads the text in `argument`; `None` after reporting that it is broken.
    pub(super) fn read(
        self,
        arguments: Arguments<'_>,
        argument: &str,
        need: Need,
        report: &mut Report<'_>,
    ) -> Option<Template> {
        let template = read(Template::parse, arguments, argument, FIELDS_HINT, report)?;
        self.check_all(
            template.placeholders(),
            arguments.place(argument),
            need,
            report,
        );
        Some(template)
    }

    /// The same for a scope.
    pub(super) fn read_scope(
        self,
        arguments: Arguments<'_>,
        argument: &str,
        need: Need,
        report: &mut Report<'_>,
    ) -> Option<ScopeTemplate> {
        let template = read(parse_scope, arguments, argument, FIELDS_HINT, report)?;
        self.check_all(
            template.placeholders(),
            arguments.place(argument),
            need,
            report,
        );
        Some(template)
    }

    fn check_all<'p>(
        self,
        placeholders: impl Iterator<Item = &'p Placeholder>,
        at: Option<SourceSpan>,
        need: Need,
        report: &mut Report<'_>,
    ) {
        for placeholder in placeholders {
            if let Err((message, hint)) = self.check(placeholder, need) {
                report.add(at, message, hint);
            }
        }
    }

    fn check(self, placeholder: &Placeholder, need: Need) -> Result<(), (String, String)> {
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
        if need == Need::Required && !ty.required {
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
