//! `@unique`: which fields each one names, and within what.

use std::slice;

use apollo_compiler::{
    Node,
    ast::{ObjectTypeDefinition, Value},
};

use super::{
    directives::DirectiveArguments,
    report::{DiagnosticReport, did_you_mean},
    sdl::Sdl,
};
use crate::model::{Scalar, Shape, UniqueRule, UniqueWithin};

const WITHIN: [(&str, UniqueWithin); 2] =
    [("SCOPE", UniqueWithin::Scope), ("ALL", UniqueWithin::All)];

/// The most fields of one `@unique`.
const FIELDS_MAX: usize = 4;

/// Reads what is unique among the documents of a type.
pub(super) fn read(
    sdl: &Sdl<'_>,
    object: &ObjectTypeDefinition,
    nulls_misfits: bool,
    report: &mut DiagnosticReport<'_>,
) -> Vec<UniqueRule> {
    let mut rules: Vec<UniqueRule> = Vec::new();
    for arguments in DirectiveArguments::all_of(&object.directives, "unique") {
        let Some(value) = arguments.value("fields") else {
            continue;
        };
        let items = value.as_list().unwrap_or(slice::from_ref(value));
        let mut fields: Vec<String> = Vec::new();
        for item in items {
            if let Some((message, hint)) = mistake(sdl, object, nulls_misfits, &fields, item) {
                report.add(item.location(), message, hint);
            }
            fields.extend(item.as_str().map(str::to_owned));
        }
        let same = |rule: &UniqueRule| {
            let mut others = rule.fields.iter();
            rule.fields.len() == fields.len() && others.all(|field| fields.contains(field))
        };
        let problem = match fields.len() {
            0 => Some((
                "@unique names no field".to_owned(),
                "name fields, such as @unique(fields: [\"number\"])",
            )),
            count if count > FIELDS_MAX => Some((
                format!("@unique names {count} fields, and may have {FIELDS_MAX}"),
                "name those that single out a document",
            )),
            _ if rules.iter().any(same) => Some((
                "another @unique has the same fields".to_owned(),
                "keep one of them: what is unique in all scopes is unique in each",
            )),
            _ => None,
        };
        if let Some((message, hint)) = problem {
            report.add(arguments.place("fields"), message, hint);
        }
        let within = arguments.choice("within", &WITHIN);
        rules.push(UniqueRule {
            fields,
            within: within.unwrap_or(UniqueWithin::Scope),
        });
    }
    rules
}

/// Why a field cannot be unique behind the `earlier` ones, and what to do.
fn mistake(
    sdl: &Sdl<'_>,
    object: &ObjectTypeDefinition,
    nulls_misfits: bool,
    earlier: &[String],
    item: &Node<Value>,
) -> Option<(String, String)> {
    // A value that is no text is reported with the directive.
    let name = item.as_str()?;
    let Some(field) = object.fields.iter().find(|field| field.name == name) else {
        let names = object.fields.iter().map(|field| field.name.as_str());
        return Some((
            format!(
                "@unique names `{name}`, and {} has no such field",
                object.name
            ),
            did_you_mean(name, names.filter(|name| *name != "id")),
        ));
    };
    let has = |directive: &str| field.directives.has(directive);
    let renamed = DirectiveArguments::of(&field.directives, "renamed");
    let reason = if name == "id" {
        return Some((
            "@unique names `id`, which is unique by itself".to_owned(),
            "leave it out".to_owned(),
        ));
    } else if earlier.iter().any(|it| it == name) {
        return Some((
            format!("@unique names `{name}` twice"),
            "keep the first of them".to_owned(),
        ));
    } else if has("retired") {
        "it is retired"
    } else if has("server") {
        "the gateway sets it"
    } else if has("reference") || has("reverse") {
        "it shows other documents; name the field that holds the id"
    } else if renamed.and_then(|it| it.text("stored")).is_some() {
        "older documents have it under another name, which no index of it holds"
    } else if nulls_misfits && !sdl.field_type(&field.ty).is_some_and(|ty| ty.required) {
        "a value that does not fit it is shown as null (misfits: NULL_FIELD), and so nobody sees what is taken"
    } else if sdl
        .field_type(&field.ty)
        .is_some_and(|ty| !is_comparable(&ty.shape))
    {
        return Some((
            format!("`{name}` cannot be unique: its type is {}", field.ty),
            "use a field that holds one scalar, neither Bytes nor JSON, or one value of an enum"
                .to_owned(),
        ));
    } else {
        // The field's own check reports a type that cannot be stored.
        return None;
    };
    Some((
        format!("`{name}` cannot be unique: {reason}"),
        "remove the @unique, or name another field".to_owned(),
    ))
}

fn is_comparable(shape: &Shape) -> bool {
    match shape {
        Shape::Scalar(scalar) => !matches!(scalar, Scalar::Bytes | Scalar::Json),
        Shape::Enum(_) => true,
        Shape::Embedded(_) | Shape::List(_) => false,
    }
}
