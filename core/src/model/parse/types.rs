//! Synced types: collection, id, scope, conflict rule, references, memberships.
//!
//! Their stored fields are read in [`super::fields`], their root fields in [`super::roots`].

use apollo_compiler::{
    Node,
    ast::{FieldDefinition, ObjectTypeDefinition, Type},
};

use super::{
    directives::DirectiveArguments,
    evolution,
    fields::{self, FieldContext, OwnerKind},
    indexes,
    relations::{self, read_reference, read_reverse},
    report::DiagnosticReport,
    rights,
    roots::Roots,
    stored_types,
    templates::{self, FieldTemplates, TemplateFieldRule},
    uniques, upkeep,
};
use crate::{
    id::{IdType, TypeName},
    model::{
        ConflictRule, DefaultValue, DocumentType, Field, MembershipRule, Overlap, Policy,
        Reference, Reverse, Role, Roles, STORED_ID, ScopeTemplate, Template, UniqueRule,
        is_canonical,
    },
    value::Value,
};

const POLICIES: [(&str, Policy); 6] = [
    ("SERVER_WINS", Policy::ServerWins),
    ("CLIENT_WINS", Policy::ClientWins),
    ("LAST_WRITE_WINS", Policy::LastWriteWins),
    ("MERGE", Policy::Merge),
    ("MANUAL", Policy::Manual),
    ("WEBHOOK", Policy::Webhook),
];
/// Whether a field that does not fit is shown as null.
const MISFIT_RULES: [(&str, bool); 2] = [("WITHHOLD", false), ("NULL_FIELD", true)];
const OVERLAPS: [(&str, Overlap); 4] = [
    ("SERVER_WINS", Overlap::ServerWins),
    ("CLIENT_WINS", Overlap::ClientWins),
    ("LAST_WRITE_WINS", Overlap::LastWriteWins),
    ("MANUAL", Overlap::Manual),
];

/// Reads a type with `@collection`, and its root fields; `None` after reporting that a required part is missing.
pub(super) fn read(
    context: FieldContext<'_>,
    object: &Node<ObjectTypeDefinition>,
    report: &mut DiagnosticReport<'_>,
) -> Option<(DocumentType, Roots)> {
    let collection = DirectiveArguments::of(&object.directives, "collection")?;
    check_collection_name(collection, report);
    let id_description = read_id(object, report);
    let roots = Roots::read(object, collection, report);
    let (references, stored): (Vec<_>, Vec<_>) = object
        .fields
        .iter()
        .filter(|field| field.name != "id")
        .partition(|field| is_relation(context, field));
    let (reverses, references): (Vec<_>, Vec<_>) = references
        .into_iter()
        .partition(|field| field.directives.has("reverse"));
    let references = references
        .into_iter()
        .filter_map(|field| read_reference(context, object, field, report));
    let references: Vec<Reference> = references.collect();
    let reverses = reverses
        .into_iter()
        .filter_map(|field| read_reverse(context, field, report));
    let reverses: Vec<Reverse> = reverses.collect();
    let stored_count = stored.len();
    let mut fields = fields::read_all(context, OwnerKind::Document, stored.into_iter(), report);
    if fields.len() == stored_count {
        check_settable(object, &fields, report);
    }
    let upkeep = upkeep::read(collection, &fields, report);
    let nulls_misfits = collection.choice("misfits", &MISFIT_RULES) == Some(true);
    for field in &mut fields {
        field.nulls_misfits = nulls_misfits && !field.ty.required;
    }
    stored_types::of_references(context.sdl, object, &references, &mut fields, report);
    let templates = FieldTemplates {
        sdl: context.sdl,
        object,
    };
    let scope = read_scope(templates, report);
    if let Some(ScopeTemplate::Whole(placeholder)) = &scope {
        let name = placeholder.to_string();
        let mut fields = fields.iter_mut();
        if let Some(field) = fields.find(|field| field.name == name) {
            read_scope_default(object, field, report);
        }
    }
    let membership = DirectiveArguments::of(&object.directives, "grants")
        .and_then(|arguments| read_membership(templates, context.roles, arguments, report));
    let rights = rights::read(context.sdl, object, context.roles, &fields, report);
    let name = read_name(object, report)?;
    let renamed_from = evolution::renamed_from(&object.directives);
    let renamed_from = renamed_from.and_then(|from| TypeName::new(from).ok());
    let document_type = DocumentType {
        stored_as: TypeName::new(evolution::stored_type_name(object)).ok()?,
        name,
        renamed_from,
        retired: object.directives.has("retired"),
        description: object.description.as_ref().map(ToString::to_string),
        collection: collection.text("name")?.to_owned(),
        id_type: collection
            .choice("idType", &IdType::NAMES)
            .unwrap_or_default(),
        nulls_misfits,
        id_description,
        singular: roots.singular.clone(),
        singular_before: roots.singular_before.clone(),
        plural: roots.plural.clone(),
        scope: scope?,
        conflict: read_conflict(object, report),
        fields,
        references,
        rights,
        reverses,
        membership,
        indexes: indexes::read(context.sdl, object, report),
        uniques: uniques::read(context.sdl, object, nulls_misfits, report),
        upkeep,
    };
    Some((with_stored_names(document_type), roots))
}

/// Templates, references and indexes name fields as the SDL does. Documents have their fields under stored names.
fn with_stored_names(document_type: DocumentType) -> DocumentType {
    let DocumentType {
        scope,
        membership,
        references,
        indexes,
        uniques,
        fields,
        ..
    } = document_type;
    let stored = |name: &str| match fields.iter().find(|field| field.name == name) {
        Some(field) => field.stored_as.clone(),
        None if name == "id" => STORED_ID.to_owned(),
        None => name.to_owned(),
    };
    let references = references.into_iter().map(|reference| Reference {
        by: stored(&reference.by),
        ..reference
    });
    let indexes = indexes.iter();
    let indexes = indexes.map(|fields| fields.iter().map(|name| stored(name)).collect());
    let uniques = uniques.into_iter().map(|rule| UniqueRule {
        fields: rule.fields.iter().map(|name| stored(name)).collect(),
        within: rule.within,
    });
    DocumentType {
        scope: scope.renamed(stored),
        membership: membership.map(|rule| MembershipRule {
            scope: rule.scope.renamed(stored),
            to: rule.to.renamed(stored),
            access: rule.access.renamed(stored),
            roles: rule.roles,
        }),
        references: references.collect(),
        indexes: indexes.collect(),
        uniques: uniques.collect(),
        fields,
        ..document_type
    }
}

/// GraphQL has no input type without fields, and clients could write nothing to such a document.
fn check_settable(
    object: &ObjectTypeDefinition,
    fields: &[Field],
    report: &mut DiagnosticReport<'_>,
) {
    if fields.iter().all(|field| field.read_only) {
        report.add(
            object.name.location(),
            format!(
                "the type {} has no field that a client can set",
                object.name
            ),
            "give it a field besides `id` that is neither @readOnly nor @server",
        );
    }
}

fn read_name(object: &ObjectTypeDefinition, report: &mut DiagnosticReport<'_>) -> Option<TypeName> {
    let name = TypeName::new(&object.name);
    if let Err(error) = &name {
        report.add(
            object.name.location(),
            format!("the type's name cannot be used: {error}"),
            "choose a shorter name",
        );
    }
    name.ok()
}

fn read_scope(
    templates: FieldTemplates<'_>,
    report: &mut DiagnosticReport<'_>,
) -> Option<ScopeTemplate> {
    let object = templates.object;
    let Some(arguments) = DirectiveArguments::of(&object.directives, "scope") else {
        report.add(
            object.name.location(),
            format!(
                "the synced type {} has no scope, so nobody could see its documents",
                object.name
            ),
            "add @scope(by: …), such as @scope(by: \"user:{ownerId}\") or @scope(by: \"public\")",
        );
        return None;
    };
    let scope: ScopeTemplate =
        templates.read(arguments, "by", TemplateFieldRule::Required, report)?;
    if let ScopeTemplate::Whole(placeholder) = &scope {
        report.add(
            arguments.place("by"),
            format!("`{{={placeholder}}}` stands for the text of a whole scope, which a field alone in @scope does without the `=`"),
            format!("write {{{placeholder}}}"),
        );
    }
    Some(scope.with_lone_as_whole())
}

/// The default of a field that holds the document's scope is a scope itself.
fn read_scope_default(
    object: &ObjectTypeDefinition,
    field: &mut Field,
    report: &mut DiagnosticReport<'_>,
) {
    let mut definitions = object.fields.iter();
    let definition = definitions.find(|definition| definition.name == field.name.as_str());
    let arguments =
        definition.and_then(|found| DirectiveArguments::of(&found.directives, "default"));
    let Some(arguments) = arguments else { return };
    match &field.default {
        Some(DefaultValue::Claims(_)) => {
            let scope = templates::read_claims(arguments, "value", report);
            field.default = scope.map(DefaultValue::Scope);
        }
        Some(DefaultValue::Literal(Value::String(text))) if !is_canonical(text) => report.add(
            arguments.place("value"),
            format!("the default of `{}` is not the text of a scope", field.name),
            "write `%` as %25",
        ),
        _ => {}
    }
}

fn check_collection_name(collection: DirectiveArguments<'_>, report: &mut DiagnosticReport<'_>) {
    let Some(name) = collection.text("name") else {
        return;
    };
    let problem = if name.is_empty() {
        "is empty"
    } else if name.contains('$') {
        "contains `$`"
    } else if name.contains('\0') {
        "contains the character U+0000"
    } else if name.starts_with("system.") {
        "begins with `system.`, which MongoDB keeps for itself"
    } else {
        return;
    };
    report.add(
        collection.place("name"),
        format!("the collection's name {problem}"),
        "name a collection of the application, such as \"tasks\"",
    );
}

/// Checks the field `id`, and returns its description.
fn read_id(
    object: &Node<ObjectTypeDefinition>,
    report: &mut DiagnosticReport<'_>,
) -> Option<String> {
    let Some(id) = object.fields.iter().find(|field| field.name == "id") else {
        report.add(
            object.name.location(),
            format!("the synced type {} has no field `id`", object.name),
            "add `id: ID!`; it is the document's `_id`",
        );
        return None;
    };
    if !matches!(&id.ty, Type::NonNullNamed(name) if name == "ID") {
        report.add(
            id.ty.inner_named_type().location(),
            format!("`id` has the type {}, and must have ID!", id.ty),
            "write `id: ID!`; how ids are stored is said by @collection(idType: …)",
        );
    }
    let reason = "`id` is the document's `_id`, which every type has";
    report_idle_directives(id, &[], reason, report);
    id.description.as_ref().map(ToString::to_string)
}

/// Reports the directives of a field that is not stored by itself, except the `meaningful` ones.
pub(super) fn report_idle_directives(
    field: &FieldDefinition,
    meaningful: &[&str],
    reason: &str,
    report: &mut DiagnosticReport<'_>,
) {
    const STORED: [&str; 14] = [
        "merge",
        "immutable",
        "access",
        "stored",
        "bson",
        "default",
        "readOnly",
        "server",
        "constraint",
        "reference",
        "reverse",
        "renamed",
        "retired",
        "deprecated",
    ];
    for directive in field.directives.iter() {
        let name = directive.name.as_str();
        if STORED.contains(&name) && !meaningful.contains(&name) {
            report.add(
                directive.location(),
                format!("@{name} means nothing on `{}`", field.name),
                format!("remove it: {reason}"),
            );
        }
    }
}

/// A relation is a field with `@reference` or `@reverse` whose type is not stored. The others are reported as fields.
fn is_relation(context: FieldContext<'_>, field: &FieldDefinition) -> bool {
    relations::is_marked(field) && context.sdl.field_type(&field.ty).is_none()
}

fn read_conflict(object: &ObjectTypeDefinition, report: &mut DiagnosticReport<'_>) -> ConflictRule {
    let arguments = DirectiveArguments::of(&object.directives, "conflict");
    let policy = arguments.and_then(|arguments| arguments.choice("policy", &POLICIES));
    let overlap = arguments.and_then(|arguments| arguments.choice("overlap", &OVERLAPS));
    let rule = ConflictRule {
        policy: policy.unwrap_or(Policy::Merge),
        overlap: overlap.unwrap_or(Overlap::ServerWins),
        client_may_choose: arguments
            .map(|arguments| arguments.choices("clientMayChoose", &POLICIES))
            .unwrap_or_default(),
        webhook: arguments
            .and_then(|arguments| arguments.text("webhook"))
            .map(str::to_owned),
    };
    if let Some(arguments) = arguments {
        check_webhook(&rule, arguments, report);
    }
    rule
}

/// The policy WEBHOOK and the name of a webhook go together.
fn check_webhook(
    rule: &ConflictRule,
    arguments: DirectiveArguments<'_>,
    report: &mut DiagnosticReport<'_>,
) {
    let asks = rule.policy == Policy::Webhook || rule.client_may_choose.contains(&Policy::Webhook);
    match &rule.webhook {
        None if asks => report.add(
            arguments.place("policy"),
            "the policy WEBHOOK needs to know whom to ask",
            "name a webhook, such as webhook: \"review\"; its address stands in the configuration, in webhooks.urls",
        ),
        Some(_) if !asks => report.add(
            arguments.place("webhook"),
            "a webhook is named, and no policy asks it",
            "write policy: WEBHOOK, or leave the webhook out",
        ),
        Some(name) if !is_webhook_name(name) => report.add(
            arguments.place("webhook"),
            format!("\"{name}\" is no name of a webhook"),
            "use lower-case letters, digits and underscores, a letter first; the address stands in the configuration, in webhooks.urls",
        ),
        _ => {}
    }
}

/// It is a key of the configuration, and a part of the names of environment variables.
fn is_webhook_name(name: &str) -> bool {
    let mut characters = name.chars();
    let first = characters.next();
    first.is_some_and(|c| c.is_ascii_lowercase())
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn read_membership(
    templates: FieldTemplates<'_>,
    roles: &Roles,
    arguments: DirectiveArguments<'_>,
    report: &mut DiagnosticReport<'_>,
) -> Option<MembershipRule> {
    let scope = templates.read(arguments, "scope", TemplateFieldRule::Scalar, report);
    let to: Option<Template> = templates.read(arguments, "to", TemplateFieldRule::Scalar, report);
    if to.as_ref().is_some_and(|to| to.placeholders().count() != 1) {
        report.add(
            arguments.place("to"),
            "`to` names a user, by exactly one field",
            "write the field that holds the user's id, such as \"{userId}\"",
        );
    }
    let access: Template =
        templates.read(arguments, "access", TemplateFieldRule::Scalar, report)?;
    let is_fixed = access.placeholders().next().is_none();
    let text = arguments.text("access")?;
    if is_fixed {
        rights::check_known(arguments, text, roles, report);
    }
    let given = |role: &&Role| !is_fixed || role.name() == text;
    Some(MembershipRule {
        scope: scope?,
        to: to?,
        access,
        roles: roles.named().iter().filter(given).cloned().collect(),
    })
}
