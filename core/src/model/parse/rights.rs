//! Rights: the roles that a model names, what they may do with documents (`@allow`, `@owner`), and which fields only some
//! may write (`@immutable`, `@access`).
//!
//! What a change needs is decided in [`crate::decide`].

use std::{collections::BTreeSet, slice};

use apollo_compiler::{
    Node,
    ast::{DirectiveList, FieldDefinition, ObjectTypeDefinition, Value},
};

use super::{
    directives::DirectiveArguments,
    fields::OwnerKind,
    relations,
    report::{DiagnosticReport, did_you_mean},
    sdl::Sdl,
    templates,
};
use crate::model::{
    Field, GrantedRole, OWNER, Operation, Role, RoleSet, Roles, STORED_ID, Scalar, ServerValue,
    Shape, Template, TypeRights,
};

/// The name of a role as a model writes it: a name, or a text where an identity provider has other characters.
pub(super) fn role_name(value: &Value) -> Option<&str> {
    let name = value.as_enum().map(|name| name.as_str());
    name.or_else(|| value.as_str())
}

/// The roles in an argument that takes one or several, each with its place.
fn roles_in<'a>(
    arguments: DirectiveArguments<'a>,
    argument: &str,
) -> impl Iterator<Item = (&'a str, &'a Node<Value>)> {
    let value = arguments.value(argument);
    let items = value.map_or(&[][..], |value| {
        value.as_list().unwrap_or(slice::from_ref(value))
    });
    let named = items.iter();
    named.filter_map(|value| Some((role_name(value)?, value)))
}

/// The directives that say what a role may do, of the schema and of all types and fields.
pub(super) fn of_rights<'a>(sdl: &Sdl<'a>) -> Vec<(&'a str, &'a Node<Value>)> {
    let all = sdl.directives().flat_map(|(_, directives)| {
        let allowed = DirectiveArguments::all_of(directives, "allow");
        let allowed = allowed.flat_map(|allow| roles_in(allow, "role"));
        let writers = DirectiveArguments::of(directives, "access").into_iter();
        allowed.chain(writers.flat_map(|access| roles_in(access, "write")))
    });
    all.collect()
}

/// The roles that a model names in its rights. No others can be given.
pub(super) fn roles(sdl: &Sdl<'_>) -> Roles {
    Roles::new(of_rights(sdl).iter().filter_map(|(name, _)| Role::of(name)))
}

/// Reports names that no role can have, and a model with too many roles.
pub(super) fn check_names(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for (name, value) in of_rights(sdl) {
        if name == OWNER || matches!(Role::of(name), Some(Role::Read | Role::Write)) {
            continue;
        }
        if Role::of(name).is_none() || name.contains(['{', '}']) {
            report.add(
                value.location(),
                format!("\"{name}\" cannot be the name of a role"),
                format!(
                    "use 1 to {} bytes without braces, such as ADMIN",
                    Role::BYTES_MAX
                ),
            );
        } else if known.insert(name) && known.len() == Roles::NAMED_MAX + 1 {
            report.add(
                value.location(),
                format!("the model names more than {} roles", Roles::NAMED_MAX),
                "let users with the same rights have one role",
            );
        }
    }
}

/// Reads the role that a `@grant` gives.
pub(super) fn read_granted(
    grant: DirectiveArguments<'_>,
    roles: &Roles,
    report: &mut DiagnosticReport<'_>,
) -> Option<GrantedRole> {
    let name = role_name(grant.value("access")?)?;
    if !name.contains(['{', '}']) {
        check_known(grant, name, roles, report);
        return Role::of(name).map(GrantedRole::Fixed);
    }
    let template: Template = templates::read_claims(grant, "access", report)?;
    let lone = template.lone().cloned();
    if lone.is_none() {
        report.add(
            grant.place("access"),
            "the name of a role is all of a claim, or none of it",
            "write the claim alone, such as \"{role}\"; an array claim gives several roles",
        );
    }
    lone.map(GrantedRole::Claim)
}

/// Reports a role that is granted and may do nothing. It would give READ, and a misspelled one too much or too little.
pub(super) fn check_known(
    grant: DirectiveArguments<'_>,
    name: &str,
    roles: &Roles,
    report: &mut DiagnosticReport<'_>,
) {
    let known = Role::of(name).is_some_and(|role| roles.set_of(&role).is_some());
    if known {
        return;
    }
    let (message, hint) = match name {
        OWNER => (
            "no grant gives OWNER, which a user is on own documents".to_owned(),
            "grant READ, or another role that owners have, and write @owner(by: …) on the type"
                .to_owned(),
        ),
        _ => {
            let names = roles.named().iter().map(Role::name);
            let near = did_you_mean(name, ["READ", "WRITE"].into_iter().chain(names));
            (
                format!("the model does not say what the role {name} may do"),
                format!(
                    "add @allow(role: {name}, do: […]), with an empty list if it may only read; {near}"
                ),
            )
        }
    };
    report.add(grant.place("access"), message, hint);
}

/// Reads who may change the documents of a type. `fields` are its own, read.
pub(super) fn read(
    sdl: &Sdl<'_>,
    object: &ObjectTypeDefinition,
    roles: &Roles,
    fields: &[Field],
    report: &mut DiagnosticReport<'_>,
) -> TypeRights {
    let owner = DirectiveArguments::of(&object.directives, "owner")
        .and_then(|owner| read_owner(sdl, object, owner, fields, report));
    let has_owner = object.directives.has("owner");
    check_owner_roles(object, has_owner, report);
    check_repeated(&object.directives, report);
    let own: Vec<_> = DirectiveArguments::all_of(&object.directives, "allow").collect();
    let of_schema = || {
        let schema = sdl.schema.iter();
        schema.flat_map(|schema| DirectiveArguments::all_of(&schema.directives, "allow"))
    };
    let allowed = match own.is_empty() {
        true => of_schema().collect(),
        false => own,
    };
    let mut rights = match allowed.is_empty() {
        true => TypeRights::default(),
        false => TypeRights {
            create: RoleSet::NONE,
            update: RoleSet::NONE,
            delete: RoleSet::NONE,
            ..TypeRights::default()
        },
    };
    let mut says_of_owner = false;
    for allow in allowed {
        let operations = allow.choices("do", &Operation::NAMES);
        for (name, _) in roles_in(allow, "role") {
            let role = match name {
                OWNER => has_owner.then_some(RoleSet::OWNER),
                name => Role::of(name).and_then(|role| roles.set_of(&role)),
            };
            says_of_owner |= name == OWNER;
            for operation in &operations {
                let of_operation = rights.roles_mut(*operation);
                *of_operation = of_operation.with(role.unwrap_or_default());
            }
        }
    }
    if has_owner && !says_of_owner {
        for (_, operation) in Operation::NAMES {
            let of_operation = rights.roles_mut(operation);
            *of_operation = of_operation.with(RoleSet::OWNER);
        }
    }
    let has_rule = |field: &Field| field.immutable || field.writers.is_some();
    let is_creator = |field: &Field| {
        field.server == Some(ServerValue::CreatedBy) && owner.as_ref() == Some(&field.stored_as)
    };
    TypeRights {
        owner_is_creator: fields.iter().any(is_creator),
        has_field_rules: owner.is_some() || fields.iter().any(has_rule),
        owner,
        ..rights
    }
}

/// The name of the field in the SDL that names the owner. It is given its stored name later.
fn read_owner(
    sdl: &Sdl<'_>,
    object: &ObjectTypeDefinition,
    owner: DirectiveArguments<'_>,
    fields: &[Field],
    report: &mut DiagnosticReport<'_>,
) -> Option<String> {
    let by = owner.text("by")?;
    if by == "id" {
        return Some(STORED_ID.to_owned());
    }
    let Some(definition) = object.fields.iter().find(|field| field.name == by) else {
        let names = object.fields.iter().map(|field| field.name.as_str());
        report.add(
            owner.place("by"),
            format!("@owner names `{by}`, and {} has no such field", object.name),
            did_you_mean(by, names),
        );
        return None;
    };
    let shape = sdl.field_type(&definition.ty).map(|ty| ty.shape);
    let problem = match shape {
        Some(Shape::Scalar(Scalar::Id | Scalar::String)) => {
            let field = fields.iter().find(|field| field.name == by);
            let server = field.and_then(|field| field.server);
            if definition.directives.has("retired") {
                "is retired".to_owned()
            } else if server == Some(ServerValue::UpdatedBy) {
                "names another user with each change".to_owned()
            } else {
                return field.map(|field| field.stored_as.clone());
            }
        }
        // The field's own check reports a type that cannot be stored.
        None if !relations::is_marked(definition) => return None,
        _ => format!("has the type {}", definition.ty),
    };
    report.add(
        owner.place("by"),
        format!("`{by}` cannot name the owner: it {problem}"),
        "name a field of type ID or String, which holds the id of a user, such as `ownerId: ID! @default(value: \"{sub}\")`",
    );
    None
}

/// Reports OWNER where a document has no owner.
fn check_owner_roles(
    object: &ObjectTypeDefinition,
    has_owner: bool,
    report: &mut DiagnosticReport<'_>,
) {
    let fields = object.fields.iter();
    let writers = fields.filter_map(|field| DirectiveArguments::of(&field.directives, "access"));
    let writers = writers.flat_map(|access| roles_in(access, "write"));
    let allowed = DirectiveArguments::all_of(&object.directives, "allow");
    let allowed = allowed.flat_map(|allow| roles_in(allow, "role"));
    let mut owners = allowed.chain(writers).filter(|(name, _)| *name == OWNER);
    if let (false, Some((_, value))) = (has_owner, owners.next()) {
        report.add(
            value.location(),
            format!("documents of the type {} have no owner", object.name),
            "add @owner(by: …) with the field that holds the owner's id",
        );
    }
}

/// Reports a second `@allow` of a role at one place.
fn check_repeated(directives: &DirectiveList, report: &mut DiagnosticReport<'_>) {
    let mut known = BTreeSet::new();
    let allowed = DirectiveArguments::all_of(directives, "allow");
    for (name, value) in allowed.flat_map(|allow| roles_in(allow, "role")) {
        if !known.insert(name) {
            report.add(
                value.location(),
                format!("a second @allow says what {name} may do"),
                "write all that it may do in one @allow",
            );
        }
    }
}

/// Checks the `@allow`s of the schema.
pub(super) fn check_schema(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) {
    for schema in &sdl.schema {
        check_repeated(&schema.directives, report);
        let allowed = DirectiveArguments::all_of(&schema.directives, "allow");
        let mut owners = allowed
            .flat_map(|allow| roles_in(allow, "role"))
            .filter(|(name, _)| *name == OWNER);
        let mut types = sdl.synced.iter();
        if let (false, Some((_, value))) = (
            types.any(|object| object.directives.has("owner")),
            owners.next(),
        ) {
            report.add(
                value.location(),
                "no type has documents with an owner",
                "add @owner(by: …) to a type, with the field that holds the owner's id",
            );
        }
    }
}

/// The roles that may write a field, if not all may.
pub(super) fn read_writers(definition: &FieldDefinition, roles: &Roles) -> Option<RoleSet> {
    let access = DirectiveArguments::of(&definition.directives, "access")?;
    let writers = roles_in(access, "write").map(|(name, _)| match name {
        OWNER => RoleSet::OWNER,
        name => {
            let role = Role::of(name).and_then(|role| roles.set_of(&role));
            role.unwrap_or_default()
        }
    });
    Some(writers.fold(RoleSet::NONE, RoleSet::with))
}

/// Checks `@immutable` and `@access` of a field.
pub(super) fn check_field(
    owner: OwnerKind,
    definition: &FieldDefinition,
    report: &mut DiagnosticReport<'_>,
) {
    let name = &definition.name;
    for directive in ["immutable", "access"] {
        let Some(arguments) = DirectiveArguments::of(&definition.directives, directive) else {
            continue;
        };
        if owner == OwnerKind::Embedded {
            report.add(
                arguments.place(""),
                format!("@{directive} stands on `{name}`, inside an embedded type"),
                "clients write an embedded document whole: put it on the field of the document that holds it, or move the field to the document itself",
            );
        } else if definition.directives.has("readOnly") {
            report.add(
                arguments.place(""),
                format!("@{directive} means nothing on `{name}`, which is @readOnly"),
                "remove one of the two: clients never set a field that is @readOnly",
            );
        }
    }
    let access = DirectiveArguments::of(&definition.directives, "access");
    let is_empty = |access: &DirectiveArguments<'_>| {
        let value = access.value("write");
        value
            .and_then(|value| value.as_list())
            .is_some_and(<[_]>::is_empty)
    };
    if let Some(access) = access.filter(is_empty) {
        report.add(
            access.place("write"),
            format!("no role may write `{name}`"),
            "write @readOnly instead, or name the roles that may",
        );
    }
}
