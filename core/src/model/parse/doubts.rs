//! Warnings about a valid model: scopes that no user reaches, grants that open nothing, types that nothing holds.
//!
//! None of it prevents a gateway from serving the model. The other checks find mistakes.

use std::collections::BTreeSet;

use apollo_compiler::{ast::Type, parser::SourceSpan};

use super::{directives::Arguments, report::Report, sdl::Sdl};
use crate::model::ScopeTemplate;

pub(super) fn find(sdl: &Sdl<'_>, report: &mut Report<'_>) {
    let scopes = sdl.synced.iter().filter_map(|object| {
        let mut scope = Place::of(Arguments::of(&object.directives, "scope")?, "by")?;
        scope.template = scope.template.with_lone_as_whole();
        Some((object.name.as_str(), scope))
    });
    let scopes: Vec<(&str, Place<'_>)> = scopes.collect();
    let grants = grants(sdl);
    for (name, scope) in &scopes {
        if !grants.iter().any(|grant| grant.meets(scope)) {
            report.warn(
                scope.at,
                format!("no grant reaches the scope \"{}\", so nobody can see documents of the type {name}", scope.text),
                "add a @grant to the schema, or a type with @grants, that gives this scope; both have to spell it alike",
            );
        }
    }
    for grant in &grants {
        if !scopes.iter().any(|(_, scope)| scope.meets(grant)) {
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
    find_unused(sdl, report);
}

/// A scope and its place in the file.
struct Place<'a> {
    at: Option<SourceSpan>,
    text: &'a str,
    template: ScopeTemplate,
}

impl<'a> Place<'a> {
    fn of(arguments: Arguments<'a>, name: &str) -> Option<Self> {
        let text = arguments.text(name)?;
        Some(Self {
            at: arguments.place(name),
            text,
            template: ScopeTemplate::parse(text).ok()?,
        })
    }

    /// Scopes of different shapes are never equal, since such a model is refused. A whole scope can be any.
    fn meets(&self, other: &Self) -> bool {
        let is_whole = |place: &Self| matches!(place.template, ScopeTemplate::Whole(_));
        is_whole(self) || is_whole(other) || self.template.is_shaped_like(&other.template)
    }
}

/// The scopes that claims and memberships give.
fn grants<'a>(sdl: &Sdl<'a>) -> Vec<Place<'a>> {
    let by_claims = sdl
        .schema
        .iter()
        .flat_map(|schema| Arguments::all_of(&schema.directives, "grant"));
    let by_documents = sdl
        .synced
        .iter()
        .filter_map(|object| Arguments::of(&object.directives, "grants"));
    by_claims
        .chain(by_documents)
        .filter_map(|arguments| Place::of(arguments, "scope"))
        .collect()
}

/// Embedded types and enums that no synced type holds, directly or inside another.
fn find_unused(sdl: &Sdl<'_>, report: &mut Report<'_>) {
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
    for object in sdl
        .embedded
        .iter()
        .filter(|object| !used.contains(object.name.as_str()))
    {
        report.warn(
            object.name.location(),
            format!("no synced type holds the embedded type {}", object.name),
            "add @collection(name: …) and @scope(by: …) to make it a synced type, or remove it",
        );
    }
    for def in sdl
        .enums
        .iter()
        .filter(|def| !used.contains(def.name.as_str()))
    {
        report.warn(
            def.name.location(),
            format!("no synced type holds a value of the enum {}", def.name),
            "give a field this type, or remove the enum",
        );
    }
}
