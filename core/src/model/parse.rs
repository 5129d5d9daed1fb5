//! Reading a model from SDL: from text to [`Model`], with all mistakes at once.
//!
//! Each module below checks one part of a model. [`super`] defines the model.

mod constraints;
mod defaults;
mod directives;
mod evolution;
mod fields;
mod foreign;
mod indexes;
mod keys;
mod names;
mod relations;
mod report;
mod rights;
mod roots;
mod sdl;
mod server;
mod stored_types;
mod templates;
mod types;
mod uniques;
mod upkeep;
mod warnings;

use std::{collections::BTreeMap, sync::Arc};

use apollo_compiler::ast::{Document, EnumTypeDefinition, ObjectTypeDefinition};

use self::{
    directives::DirectiveArguments,
    fields::{FieldContext, OwnerKind},
    report::{DiagnosticReport, Source},
    roots::Roots,
    sdl::Sdl,
};
pub use self::{
    names::{derived_type_names, is_type_taken},
    report::{Diagnostic, Diagnostics, Severity},
    roots::{default_plural, default_singular, is_root_taken},
};
use super::{
    DocumentType, EmbeddedType, EnumType, EnumValue, GrantRule, LIST_ITEMS_MAX, Model, Roles,
};

/// Parses SDL; `file` names it in the mistakes. Broken syntax is reported alone, since half a document would show many
/// mistakes that follow from it.
pub(super) fn parse(file: &str, text: &str) -> Result<Model, Diagnostics> {
    let source = Source { file, text };
    let document = Document::parse(text, file)
        .map_err(|broken| Diagnostics::of_syntax(source, &broken.errors))?;
    let mut report = DiagnosticReport::new(source);
    let sdl = Sdl::sort(&document, &mut report);
    directives::check(&sdl, &mut report);
    names::check(&sdl, &mut report);
    evolution::check(&sdl, &mut report);
    let model = read(&sdl, &mut report);
    report.finish(model)
}

/// Warnings about SDL that [`parse`] accepts.
pub(super) fn warnings(file: &str, text: &str) -> Vec<Diagnostic> {
    let Ok(document) = Document::parse(text, file) else {
        return Vec::new();
    };
    let mut report = DiagnosticReport::new(Source { file, text });
    let sdl = Sdl::sort(&document, &mut report);
    warnings::find(&sdl, &mut report);
    report.found()
}

fn read(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) -> Model {
    let outline = outline(sdl);
    let mut roles = rights::roles(sdl);
    rights::check_names(sdl, report);
    rights::check_schema(sdl, report);
    let context = FieldContext {
        sdl,
        outline: &outline,
        roles: &roles,
    };
    fields::check_endless(context, report);
    let embedded = sdl.embedded.iter();
    let embedded = embedded.map(|object| read_embedded(context, object, report));
    let embedded = embedded.map(|ty| (ty.name.clone(), ty)).collect();
    let grants = sdl.grants();
    let grants = grants.filter_map(|grant| read_grant(grant, &roles, report));
    let grants = grants.collect();
    let types = read_types(context, report);
    templates::check_meetings(sdl, report);
    check_reach(sdl, report);
    roles.note_changing(&types);
    Model {
        grants,
        roles: Arc::new(roles),
        types,
        embedded,
        enums: outline.enums,
        has_retired: sdl
            .directives()
            .any(|(_, directives)| directives.has("retired")),
        list_items_max: LIST_ITEMS_MAX,
    }
}

/// What decodes values while the model is still being read: enums, and embedded types with the names and types of their
/// fields.
fn outline(sdl: &Sdl<'_>) -> Model {
    let embedded = sdl.embedded.iter().map(|object| {
        let fields = object.fields.iter();
        let fields = fields.filter_map(|field| fields::outline(sdl, field));
        let ty = EmbeddedType {
            name: object.name.to_string(),
            description: None,
            fields: fields.collect(),
        };
        (ty.name.clone(), ty)
    });
    let enums = sdl.enums.iter();
    let enums = enums.map(|def| (def.name.to_string(), read_enum(def)));
    Model {
        grants: Vec::new(),
        roles: Arc::default(),
        types: Vec::new(),
        embedded: embedded.collect(),
        enums: enums.collect(),
        has_retired: false,
        list_items_max: LIST_ITEMS_MAX,
    }
}

fn read_enum(def: &EnumTypeDefinition) -> EnumType {
    let values = def.values.iter().map(|value| EnumValue {
        name: value.value.to_string(),
        description: value.description.as_ref().map(ToString::to_string),
        deprecated: fields::deprecation(DirectiveArguments::of(&value.directives, "deprecated")),
        retired: value.directives.has("retired"),
    });
    EnumType {
        name: def.name.to_string(),
        description: def.description.as_ref().map(ToString::to_string),
        values: values.collect(),
    }
}

fn read_embedded(
    context: FieldContext<'_>,
    object: &ObjectTypeDefinition,
    report: &mut DiagnosticReport<'_>,
) -> EmbeddedType {
    for directive in object.directives.iter() {
        if [
            "scope", "conflict", "grants", "index", "unique", "allow", "owner",
        ]
        .contains(&directive.name.as_str())
        {
            report.add(
                directive.location(),
                format!("{} has @{} and no @collection", object.name, directive.name),
                "add @collection(name: …) to make it a synced type, or remove the directive",
            );
        }
    }
    EmbeddedType {
        name: object.name.to_string(),
        description: object.description.as_ref().map(ToString::to_string),
        fields: fields::read_all(context, OwnerKind::Embedded, object.fields.iter(), report),
    }
}

fn read_grant(
    grant: DirectiveArguments<'_>,
    roles: &Roles,
    report: &mut DiagnosticReport<'_>,
) -> Option<GrantRule> {
    let scope = templates::read_claims(grant, "scope", report);
    let role = rights::read_granted(grant, roles, report);
    Some(GrantRule {
        scope: scope?,
        role: role?,
        reads: grant.boolean("read").unwrap_or(true),
    })
}

fn read_types(
    context: FieldContext<'_>,
    report: &mut DiagnosticReport<'_>,
) -> Vec<Arc<DocumentType>> {
    let types: Vec<(DocumentType, Roots)> = context
        .sdl
        .synced
        .iter()
        .filter_map(|object| types::read(context, object, report))
        .collect();
    roots::check_clashes(
        types.iter().map(|(ty, roots)| (ty.name.as_str(), roots)),
        report,
    );
    check_collections(context.sdl, report);
    indexes::check_count(context.sdl, report);
    types.into_iter().map(|(ty, _)| Arc::new(ty)).collect()
}

fn check_collections(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for object in &sdl.synced {
        let collection = DirectiveArguments::of(&object.directives, "collection");
        let named = collection.and_then(|it| Some((it, it.text("name")?)));
        let Some((collection, name)) = named else {
            continue;
        };
        let owner = *owners.entry(name).or_insert(&object.name);
        if object.name != owner {
            report.add(
                collection.place("name"),
                format!(
                    "the types {owner} and {} share the collection \"{name}\"",
                    object.name
                ),
                "give each type a collection of its own, or join the types into one",
            );
        }
    }
}

/// Reports a model that syncs nothing, or grants nothing to anyone.
fn check_reach(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) {
    if sdl.synced.is_empty() {
        report.add(
            None,
            "the model has no synced type",
            "add @collection(name: …) and @scope(by: …) to a type",
        );
    }
    let mut objects = sdl.synced.iter();
    let has_memberships = objects.any(|object| object.directives.has("grants"));
    if sdl.grants().next().is_none() && !has_memberships {
        report.add(
            None,
            "the model grants nothing, so nobody could see a document",
            "begin with `extend schema @grant(scope: \"user:{sub}\", access: WRITE)`",
        );
    }
}
