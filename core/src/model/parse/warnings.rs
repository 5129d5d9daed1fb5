//! Warnings about a valid model: scopes that no user reaches, grants that open nothing, roles that nobody has, types that
//! nothing holds.
//!
//! None of it prevents a gateway from serving the model. The other checks find mistakes.

use std::collections::BTreeSet;

use apollo_compiler::{Name, ast::Type};

use super::{
    directives::DirectiveArguments, report::DiagnosticReport, rights, sdl::Sdl,
    templates::WrittenScope,
};
use crate::model::{OWNER, ScopeTemplate};

pub(super) fn find(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) {
    let written = WrittenScope::all(sdl);
    let (scopes, grants): (Vec<_>, Vec<_>) = written.partition(|scope| scope.holds.is_some());
    for scope in &scopes {
        if !grants.iter().any(|grant| meet(grant, scope)) {
            report.warn(
                scope.at,
                format!("no grant reaches the scope \"{}\", so nobody can see documents of the type {}", scope.text, scope.holds.unwrap_or_default()),
                "add a @grant to the schema, or a type with @grants, that gives this scope; both have to spell it alike",
            );
        }
    }
    for grant in &grants {
        if !scopes.iter().any(|scope| meet(scope, grant)) {
            report.warn(
                grant.at,
                format!(
                    "no type has documents in the scope \"{}\", so the grant opens nothing",
                    grant.text
                ),
                "give a type this scope by @scope(by: …), spelled alike, or remove the grant",
            );
        }
    }
    find_ungranted(sdl, report);
    find_unused(sdl, report);
}

/// Roles that may do something, and that neither a grant nor a membership gives. A claim or a field may give any.
fn find_ungranted(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) {
    let memberships = sdl.synced.iter();
    let memberships =
        memberships.filter_map(|object| DirectiveArguments::of(&object.directives, "grants"));
    let given = sdl.grants().chain(memberships);
    let given = given.filter_map(|grant| rights::role_name(grant.value("access")?));
    let given: BTreeSet<&str> = given.collect();
    if given.iter().any(|name| name.contains('{')) {
        return;
    }
    let mut known = BTreeSet::from([OWNER]);
    for (name, value) in rights::of_rights(sdl) {
        if known.insert(name) && !given.contains(name) {
            report.warn(
                value.location(),
                format!("no grant gives the role {name}, so nobody has its rights"),
                format!("add a @grant with access: \"{name}\", or let a claim or a membership name the role, or remove it"),
            );
        }
    }
}

/// Scopes of different shapes are never equal, since such a model is refused. A whole scope can be any.
fn meet(a: &WrittenScope<'_>, b: &WrittenScope<'_>) -> bool {
    let is_whole = |scope: &WrittenScope<'_>| matches!(scope.template, ScopeTemplate::Whole(_));
    is_whole(a) || is_whole(b) || a.template.is_shaped_like(&b.template)
}

/// Embedded types and enums that no synced type holds, directly or inside another.
fn find_unused(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) {
    let mut used = BTreeSet::new();
    let mut next: Vec<&Type> = sdl
        .synced
        .iter()
        .flat_map(|object| &object.fields)
        .map(|field| &field.ty)
        .collect();
    while let Some(ty) = next.pop() {
        let name = ty.inner_named_type().as_str();
        if let (true, Some(object)) = (used.insert(name), sdl.embedded_type(name)) {
            next.extend(object.fields.iter().map(|field| &field.ty));
        }
    }
    let unused = |name: &Name| !used.contains(name.as_str());
    for object in sdl.embedded.iter().filter(|it| unused(&it.name)) {
        report.warn(
            object.name.location(),
            format!("no synced type holds the embedded type {}", object.name),
            "add @collection(name: …) and @scope(by: …) to make it a synced type, or remove it",
        );
    }
    for def in sdl.enums.iter().filter(|it| unused(&it.name)) {
        report.warn(
            def.name.location(),
            format!("no synced type holds a value of the enum {}", def.name),
            "give a field this type, or remove the enum",
        );
    }
}
