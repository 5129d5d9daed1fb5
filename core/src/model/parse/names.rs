//! Names: which ones a model may not use because the generated API uses them, and which may occur only once.
//!
//! [`super::roots`] makes and checks the names of root fields.

use std::collections::{BTreeMap, BTreeSet};

use apollo_compiler::Name;

use super::{foreign, report::DiagnosticReport, sdl::Sdl};
use crate::model::Scalar;

/// What the generated API adds to the name of a synced type.
const SYNCED_SUFFIXES: [&str; 9] = [
    "Change",
    "Create",
    "Update",
    "Input",
    "Patch",
    "Connection",
    "Edge",
    "Where",
    "Order",
];
/// What it adds to the name of an embedded type.
const EMBEDDED_SUFFIXES: [&str; 1] = ["Input"];
/// What it adds to the name of an enum.
const ENUM_SUFFIXES: [&str; 2] = ["Filter", "ListFilter"];
/// Names of the generated API that belong to no type of the model and do not begin with `Sync`.
const API_NAMES: [&str; 11] = [
    "Query",
    "Mutation",
    "Subscription",
    "PageInfo",
    "Checkpoint",
    "PushChangesInput",
    "PushChangesPayload",
    "ResolveConflictInput",
    "ResolveConflictPayload",
    "DeclineMembershipsInput",
    "DeclineMembershipsPayload",
];

pub(super) fn check(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) {
    check_types(sdl, report);
    for object in sdl.synced.iter().chain(&sdl.embedded) {
        let owner = format!("the type {}", object.name);
        check_members(
            &owner,
            "field",
            object.fields.iter().map(|field| &field.name),
            report,
        );
    }
    for field in sdl.synced.iter().flat_map(|object| &object.fields) {
        if field.name.starts_with("sync") {
            report.add(
                field.name.location(),
                format!("the field `{}` begins with `sync`, which is reserved", field.name),
                "rename it and keep the stored name with @stored(as: …): syncVersion, syncScope and syncChangedAt are added to every synced type",
            );
        }
    }
    for def in &sdl.enums {
        let owner = format!("the enum {}", def.name);
        check_members(
            &owner,
            "value",
            def.values.iter().map(|value| &value.value),
            report,
        );
    }
}

fn check_types(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) {
    let derived = derived_names(sdl);
    let mut seen = BTreeSet::new();
    let objects = sdl.objects().map(|object| &object.name);
    for name in objects.chain(sdl.enums.iter().map(|def| &def.name)) {
        if !seen.insert(name.as_str()) {
            report.add(
                name.location(),
                format!("there are two definitions called {name}"),
                "rename one of them, or join them into one",
            );
        }
        if let Some(reason) = reserved(name, &derived) {
            let message = format!("the name {name} {reason}");
            report.add(name.location(), message, "choose another name");
        }
    }
}

fn reserved(name: &str, derived: &BTreeMap<String, &str>) -> Option<String> {
    if name.starts_with('_') {
        Some("begins with an underscore, which code generators and GraphQL itself reserve".into())
    } else if name.starts_with("Sync") {
        Some("begins with `Sync`, which is reserved for the generated API".into())
    } else if API_NAMES.contains(&name) {
        Some("belongs to the generated API".into())
    } else if is_scalar(name) {
        Some("is that of a scalar".into())
    } else if is_filter(name) {
        Some("belongs to the generated API".into())
    } else if let Some(owner) = derived.get(name) {
        Some(format!("is generated for the type {owner}"))
    } else {
        derived
            .iter()
            .find(|(generated, owner)| **owner == name && API_NAMES.contains(&generated.as_str()))
            .map(|(generated, _)| format!("makes {generated}, which belongs to the generated API"))
    }
}

fn is_scalar(name: &str) -> bool {
    Scalar::ALL.iter().any(|scalar| scalar.name() == name)
}

/// Whether no synced type can have this name, because it, or a name that the API derives from it, is reserved.
pub fn is_type_taken(name: &str) -> bool {
    let is_of_api = |name: &str| API_NAMES.contains(&name);
    name.starts_with("Sync")
        || is_of_api(name)
        || is_scalar(name)
        || is_filter(name)
        || derived_type_names(name).any(|derived| is_of_api(&derived))
}

/// The names of types that the API derives from a synced type: `Task` → `TaskInput` and others.
pub fn derived_type_names(name: &str) -> impl Iterator<Item = String> + '_ {
    SYNCED_SUFFIXES
        .iter()
        .map(move |suffix| format!("{name}{suffix}"))
}

/// Whether it is the name of the conditions on fields of a scalar, such as `IntFilter`.
fn is_filter(name: &str) -> bool {
    let suffixes = ENUM_SUFFIXES.iter();
    let mut scalars = suffixes.filter_map(|suffix| name.strip_suffix(suffix));
    scalars.any(is_scalar)
}

/// The names the API derives from types of the model, each with that type.
fn derived_names<'a>(sdl: &Sdl<'a>) -> BTreeMap<String, &'a str> {
    let synced = sdl.synced.iter().map(|it| (&it.name, &SYNCED_SUFFIXES[..]));
    let embedded = sdl
        .embedded
        .iter()
        .map(|it| (&it.name, &EMBEDDED_SUFFIXES[..]));
    let enums = sdl.enums.iter().map(|it| (&it.name, &ENUM_SUFFIXES[..]));
    synced
        .chain(embedded)
        .chain(enums)
        .flat_map(|(name, suffixes)| {
            suffixes
                .iter()
                .map(move |suffix| (format!("{name}{suffix}"), name.as_str()))
        })
        .collect()
}

fn check_members<'a>(
    owner: &str,
    kind: &str,
    names: impl Iterator<Item = &'a Name>,
    report: &mut DiagnosticReport<'_>,
) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.as_str()) {
            report.add(
                name.location(),
                format!("{owner} has two {kind}s called `{name}`"),
                "rename or remove one of them",
            );
        }
        if name.starts_with('_') {
            report.add(
                name.location(),
                format!("the {kind} `{name}` begins with an underscore"),
                foreign::field_name(name).unwrap_or(
                    "rename it: GraphQL and code generators reserve such names; a field keeps its stored name with @stored(as: …)",
                ),
            );
        }
    }
}
