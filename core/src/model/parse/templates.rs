//! Templates: those over a document's fields (`@scope`, `@grants`) are checked against them, those over claims
//! only for their form, since a model knows no token.
//!
//! How a template is filled stands in [`Template`].

use apollo_compiler::{Node, ast::ObjectTypeDefinition, parser::SourceSpan};

use super::{
    directives::Arguments,
    report::{Report, did_you_mean},
    sdl::Sdl,
};
use crate::{
    id::{NameError, Scope},
    model::{FieldType, Placeholder, Scalar, Shape, Template},
};

/// Reads a template over claims; `None` if it is broken, which has been reported then.
pub(super) fn read_claims(
    arguments: Arguments<'_>,
    argument: &str,
    report: &mut Report<'_>,
) -> Option<Template> {
    let hint = "write each claim as {claim}, such as \"user:{sub}\"";
    parse(
        arguments.text(argument)?,
        arguments.place(argument),
        hint,
        report,
    )
}

fn parse(
    text: &str,
    at: Option<SourceSpan>,
    hint: &str,
    report: &mut Report<'_>,
) -> Option<Template> {
    let problem = match Template::parse(text) {
        Ok(template) => match unusable(&template, text) {
            None => return Some(template),
            Some(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    report.add(
        at,
        format!("the template \"{text}\" is broken: {problem}"),
        hint,
    );
    None
}

/// Why the one text of a template without placeholders names nothing.
fn unusable(template: &Template, text: &str) -> Option<NameError> {
    let fixed = template.placeholders().next().is_none();
    if fixed { Scope::new(text).err() } else { None }
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
    /// Reads the template in `argument`; `None` if it is broken, which has been reported then.
    pub(super) fn read(
        self,
        arguments: Arguments<'_>,
        argument: &str,
        need: Need,
        report: &mut Report<'_>,
    ) -> Option<Template> {
        let text = arguments.text(argument)?;
        let at = arguments.place(argument);
        let hint = "write each field as {field}, such as \"team:{teamId}\"";
        let template = parse(text, at, hint, report)?;
        for placeholder in template.placeholders() {
            if let Err((message, hint)) = self.check(placeholder, need) {
                report.add(at, message, hint);
            }
        }
        Some(template)
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
        // A type that cannot be stored is reported where the field stands.
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
