//! Stored fields, of synced and of embedded types: type, default, constraint, merge strategy, stored name.
//!
//! `id` and `@reference` fields are not stored as such; [`super::types`] reads them.

use std::collections::{BTreeMap, BTreeSet};

use apollo_compiler::{Node, ast::FieldDefinition};

use super::{
    constraints, defaults,
    directives::DirectiveArguments,
    evolution, foreign, keys,
    report::{DiagnosticReport, did_you_mean},
    rights,
    sdl::Sdl,
    server, stored_types,
};
use crate::model::{
    Constraint, DefaultValue, Field, FieldType, MergeStrategy, Model, Roles, STORED_ID, Scalar,
    Shape,
};

const STRATEGIES: [(&str, MergeStrategy); 9] = [
    ("SERVER", MergeStrategy::Server),
    ("CLIENT", MergeStrategy::Client),
    ("LATEST", MergeStrategy::Latest),
    ("COUNTER", MergeStrategy::Counter),
    ("SET", MergeStrategy::Set),
    ("MAX", MergeStrategy::Max),
    ("MIN", MergeStrategy::Min),
    ("TEXT", MergeStrategy::Text),
    ("ITEMS", MergeStrategy::Items),
];

/// What kind of type a field belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnerKind {
    Document,
    Embedded,
}

/// What a field's reader needs of the rest of the model.
#[derive(Clone, Copy)]
pub(super) struct FieldContext<'a> {
    pub(super) sdl: &'a Sdl<'a>,
    /// Enums, and embedded types with the names and types of their fields, which decode values.
    pub(super) outline: &'a Model,
    /// The roles that the model names.
    pub(super) roles: &'a Roles,
}

/// Reads the stored fields among `definitions`. A field with a mistake may be missing.
pub(super) fn read_all<'a>(
    context: FieldContext<'_>,
    owner: OwnerKind,
    definitions: impl Iterator<Item = &'a Node<FieldDefinition>>,
    report: &mut DiagnosticReport<'_>,
) -> Vec<Field> {
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    let mut fields = Vec::new();
    for definition in definitions {
        let Some(field) = read(context, owner, definition, report) else {
            continue;
        };
        for name in [Some(&field.stored_as), field.stored_before.as_ref()]
            .into_iter()
            .flatten()
        {
            let owner_of_name = owners.entry(name.clone());
            if *owner_of_name.or_insert_with(|| field.name.clone()) != field.name {
                report.add(
                    definition.name.location(),
                    format!("two fields are stored under the name `{name}`"),
                    "give one of them another name with @stored(as: …)",
                );
            }
        }
        fields.push(field);
    }
    fields
}

/// A field with only its names and type, if its type can be stored.
pub(super) fn outline(sdl: &Sdl<'_>, definition: &FieldDefinition) -> Option<Field> {
    let (stored_as, stored_before) = stored_names(definition);
    Some(Field {
        name: definition.name.to_string(),
        renamed_from: None,
        description: None,
        deprecated: None,
        retired: false,
        ty: sdl.field_type(&definition.ty)?,
        stored_as: stored_as.to_owned(),
        stored_before: stored_before.map(str::to_owned),
        default: None,
        read_only: false,
        server: None,
        immutable: false,
        writers: None,
        constraint: Default::default(),
        merge: None,
        key: None,
        bson: None,
        nulls_misfits: false,
    })
}

fn read(
    context: FieldContext<'_>,
    owner: OwnerKind,
    definition: &Node<FieldDefinition>,
    report: &mut DiagnosticReport<'_>,
) -> Option<Field> {
    let Some(outline) = outline(context.sdl, definition) else {
        refuse_type(context.sdl, owner, definition, report);
        return None;
    };
    check_items(&definition.name, &outline.ty, definition, report);
    let directives = &definition.directives;
    if let Some(reference) = DirectiveArguments::of(directives, "reference") {
        report.add(
            reference.place("by"),
            format!("@reference cannot stand on `{}`, which is stored", definition.name),
            "put it on a field of a document whose type is a synced type; the id stands in a field of its own",
        );
    }
    if let Some(reverse) = DirectiveArguments::of(directives, "reverse") {
        report.add(
            reverse.place("by"),
            format!(
                "@reverse cannot stand on `{}`, which is stored",
                definition.name
            ),
            "put it on a field of a document whose type is a list of a synced type",
        );
    }
    let bson = stored_types::read(definition, &outline.ty, report);
    let constraint = DirectiveArguments::of(directives, "constraint")
        .map(|arguments| constraints::read(&definition.name, &outline.ty, arguments, report))
        .unwrap_or_default();
    let constraint = Constraint {
        id_type: bson,
        ..constraint
    };
    let server = server::read(owner, definition, &outline.ty, report);
    let default = DirectiveArguments::of(directives, "default").and_then(|arguments| {
        let target = defaults::DefaultTarget {
            name: &definition.name,
            owner,
            ty: &outline.ty,
            constraint: &constraint,
        };
        defaults::read(context.outline, &target, arguments, report)
    });
    check_read_only(owner, definition, report);
    rights::check_field(owner, definition, report);
    check_retired(definition, default.as_ref(), report);
    check_stored_names(owner, definition, report);
    Some(Field {
        renamed_from: evolution::renamed_from(directives).map(str::to_owned),
        description: definition.description.as_ref().map(ToString::to_string),
        deprecated: deprecation(DirectiveArguments::of(directives, "deprecated")),
        retired: directives.has("retired"),
        default,
        read_only: directives.has("readOnly") || server.is_some(),
        server,
        immutable: directives.has("immutable"),
        writers: rights::read_writers(definition, context.roles),
        constraint,
        merge: merge(definition, &outline.ty, report),
        key: keys::read(context, definition, &outline.ty, report),
        bson,
        ..outline
    })
}

/// A list of embedded documents holds no null: a null would look like a document whose fields are all null. The same
/// goes for a list of lists: async-graphql 7.2 answers a null in it with an error.
fn check_items(
    name: &str,
    ty: &FieldType,
    definition: &FieldDefinition,
    report: &mut DiagnosticReport<'_>,
) {
    let Shape::List(item) = &ty.shape else { return };
    let found = match &item.shape {
        Shape::Embedded(embedded) => Some((
            "embedded documents",
            format!("write {embedded}! inside the brackets"),
        )),
        Shape::List(_) => Some((
            "lists",
            "put a ! behind the inner pair of brackets".to_owned(),
        )),
        Shape::Scalar(_) | Shape::Enum(_) => None,
    };
    if let (Some((items, hint)), false) = (found, item.required) {
        report.add(
            definition.ty.inner_named_type().location(),
            format!("the list `{name}` could hold null among its {items}"),
            hint,
        );
    }
    check_items(name, item, definition, report);
}

/// The reason of `@deprecated`, in the words of the GraphQL specification (section 3.13.3) if none is given.
pub(super) fn deprecation(arguments: Option<DirectiveArguments<'_>>) -> Option<String> {
    let arguments = arguments?;
    Some(
        arguments
            .text("reason")
            .unwrap_or("No longer supported")
            .to_owned(),
    )
}

fn refuse_type(
    sdl: &Sdl<'_>,
    owner: OwnerKind,
    definition: &FieldDefinition,
    report: &mut DiagnosticReport<'_>,
) {
    let type_name = definition.ty.inner_named_type();
    let name = &definition.name;
    if sdl.synced_type(type_name).is_none() {
        report.add(
            type_name.location(),
            format!("the field `{name}` has the unknown type {type_name}"),
            foreign::type_name(type_name)
                .map_or_else(|| did_you_mean(type_name, sdl.type_names()), str::to_owned),
        );
        return;
    }
    let hint = match owner {
        OwnerKind::Document if definition.ty.is_list() => many_documents(name, type_name),
        OwnerKind::Document => format!(
            "store its id in a field such as `{name}Id: ID` and write `{name}: {type_name} @reference(by: \"{name}Id\")`"
        ),
        OwnerKind::Embedded => {
            "store its id in a field of type ID; references stand on a document's own fields".into()
        }
    };
    report.add(
        type_name.location(),
        format!("the field `{name}` cannot hold {type_name}, which is a document of its own"),
        hint,
    );
}

/// What to write instead of a list of documents: a reference on the other side, or a list of their ids.
pub(super) fn many_documents(name: &str, target: &str) -> String {
    let singular = name.strip_suffix('s').unwrap_or(name);
    format!(
        "let each {target} name this document: a field of its own such as `parentId: ID`, with a @reference(by: \"parentId\"); or keep their ids here, in `{singular}Ids: [ID!]`"
    )
}

fn check_read_only(
    owner: OwnerKind,
    definition: &FieldDefinition,
    report: &mut DiagnosticReport<'_>,
) {
    let Some(read_only) = DirectiveArguments::of(&definition.directives, "readOnly") else {
        return;
    };
    let name = &definition.name;
    if owner == OwnerKind::Embedded {
        report.add(
            read_only.place(""),
            format!(
                "@readOnly on `{name}`, inside an embedded type, is not available in this version"
            ),
            "clients write an embedded document whole: move the field to the document itself",
        );
    } else if definition.ty.is_non_null() && !definition.directives.has("default") {
        report.add(
            read_only.place(""),
            format!("`{name}` is required and @readOnly, so nobody could create a document"),
            "give it a @default, or remove the `!`",
        );
    }
}

/// A retired field reads as its literal default, or as null.
fn check_retired(
    definition: &FieldDefinition,
    default: Option<&DefaultValue>,
    report: &mut DiagnosticReport<'_>,
) {
    let Some(retired) = DirectiveArguments::of(&definition.directives, "retired") else {
        return;
    };
    let problem = match default {
        Some(DefaultValue::Literal(_)) => return,
        Some(_) => "is retired, and its default depends on the user",
        // A default that could not be read is a mistake of its own.
        None if !definition.ty.is_non_null() || definition.directives.has("default") => return,
        None => "is retired and required, and has no default to read as",
    };
    report.add(
        retired.place(""),
        format!("`{}` {problem}", definition.name),
        "give it a literal @default, or remove the `!` and the default",
    );
}

/// The field's name in documents, and the one that older documents have. A renamed field keeps its stored name, unless
/// `@renamed(stored)` says that this name changes too.
fn stored_names(definition: &FieldDefinition) -> (&str, Option<&str>) {
    let directives = &definition.directives;
    let given = |directive: &str, argument: &str| {
        DirectiveArguments::of(directives, directive).and_then(|it| it.text(argument))
    };
    let stored_before = given("renamed", "stored");
    let first_name = || {
        let from = evolution::renamed_from(directives);
        let kept = from.filter(|_| stored_before.is_none());
        kept.unwrap_or(&definition.name)
    };
    let stored_as = given("stored", "as").unwrap_or_else(first_name);
    (stored_as, stored_before)
}

fn check_stored_names(
    owner: OwnerKind,
    definition: &FieldDefinition,
    report: &mut DiagnosticReport<'_>,
) {
    for (directive, argument) in [("stored", "as"), ("renamed", "stored")] {
        let arguments = DirectiveArguments::of(&definition.directives, directive);
        if let Some(arguments) = arguments {
            check_stored_name(owner, definition, arguments, argument, report);
        }
    }
    let (stored_as, stored_before) = stored_names(definition);
    if stored_before == Some(stored_as) {
        let renamed = DirectiveArguments::of(&definition.directives, "renamed");
        report.add(
            renamed.and_then(|renamed| renamed.place("stored")),
            format!(
                "`{}` is still stored under the name `{stored_as}`",
                definition.name
            ),
            "remove `stored`, or give the field its new name with @stored(as: …)",
        );
    }
}

fn check_stored_name(
    owner: OwnerKind,
    definition: &FieldDefinition,
    arguments: DirectiveArguments<'_>,
    argument: &str,
    report: &mut DiagnosticReport<'_>,
) {
    let Some(name) = arguments.text(argument) else {
        return;
    };
    let problem = match name {
        "" => "is empty",
        STORED_ID if owner == OwnerKind::Document => "is that of the id",
        name if name.starts_with('$') => "begins with `$`, as operators do",
        name if name.contains('.') => "contains `.`, which separates the parts of a path",
        name if name.contains('\0') => "contains the character U+0000",
        _ => return,
    };
    report.add(
        arguments.place(argument),
        format!("the stored name of `{}` {problem}", definition.name),
        "choose the name of one field of the stored document, such as \"due_at\"",
    );
}

fn merge(
    definition: &FieldDefinition,
    ty: &FieldType,
    report: &mut DiagnosticReport<'_>,
) -> Option<MergeStrategy> {
    let arguments = DirectiveArguments::of(&definition.directives, "merge")?;
    let strategy = arguments.choice("with", &STRATEGIES)?;
    if let Some(wanted) = unsuited(strategy, &ty.shape) {
        let given = STRATEGIES.iter().find(|(_, known)| *known == strategy);
        report.add(
            arguments.place("with"),
            format!(
                "{} cannot merge `{}`, whose type is {}",
                given.map_or("it", |(name, _)| name),
                definition.name,
                definition.ty
            ),
            format!("it merges {wanted}; SERVER, CLIENT and LATEST suit every type"),
        );
    }
    let suits = unsuited(strategy, &ty.shape).is_none();
    if strategy == MergeStrategy::Items && suits && !definition.directives.has("key") {
        report.add(
            arguments.place("with"),
            format!(
                "ITEMS cannot merge `{}`, whose items have no key",
                definition.name
            ),
            "add @key(field: …) with the field that identifies an item",
        );
    }
    Some(strategy)
}

/// What `strategy` merges, if that is not `shape`.
fn unsuited(strategy: MergeStrategy, shape: &Shape) -> Option<&'static str> {
    let scalar = match shape {
        Shape::Scalar(scalar) => Some(*scalar),
        _ => None,
    };
    let (suits, wanted) = match strategy {
        MergeStrategy::Server | MergeStrategy::Client | MergeStrategy::Latest => (true, ""),
        MergeStrategy::Counter => (
            matches!(scalar, Some(Scalar::Int | Scalar::Long)),
            "Int and Long",
        ),
        MergeStrategy::Set => (is_flat_list(shape), "lists of scalars or enums"),
        MergeStrategy::Items => (
            shape.embedded_items().is_some(),
            "lists of embedded documents that have a @key",
        ),
        MergeStrategy::Text => (scalar == Some(Scalar::String), "String"),
        MergeStrategy::Max | MergeStrategy::Min => (
            scalar.is_some_and(is_ordered),
            "Int, Long, Float, Decimal, Date and DateTime",
        ),
    };
    (!suits).then_some(wanted)
}

fn is_flat_list(shape: &Shape) -> bool {
    match shape {
        Shape::List(item) => matches!(item.shape, Shape::Scalar(_) | Shape::Enum(_)),
        _ => false,
    }
}

fn is_ordered(scalar: Scalar) -> bool {
    matches!(
        scalar,
        Scalar::Int
            | Scalar::Long
            | Scalar::Float
            | Scalar::Decimal
            | Scalar::Date
            | Scalar::DateTime
    )
}

/// Reports embedded types that require themselves, directly or indirectly: such a document would never end.
pub(super) fn check_endless(context: FieldContext<'_>, report: &mut DiagnosticReport<'_>) {
    for object in &context.sdl.embedded {
        let name = &object.name;
        if requires(context.outline, name, name, &mut BTreeSet::new()) {
            report.add(
                name.location(),
                format!("every {name} requires another inside it, without end"),
                "remove the `!` of a field on the way, or make it a list",
            );
        }
    }
}

fn requires<'a>(
    outline: &'a Model,
    from: &str,
    target: &str,
    seen: &mut BTreeSet<&'a str>,
) -> bool {
    let fields = outline.embedded_fields(from).iter();
    fields
        .filter(|field| field.ty.required)
        .any(|field| match &field.ty.shape {
            Shape::Embedded(next) => {
                next == target || (seen.insert(next) && requires(outline, next, target, seen))
            }
            _ => false,
        })
}
