//! `@renamed` and `@retired`: whether the earlier names are free, and whether the model still relies on what is retired.
//!
//! [`super::fields`] reads stored names, and [`super::defaults`] the defaults that retired fields show.

use std::collections::BTreeSet;

use apollo_compiler::{
    Name,
    ast::{DirectiveList, FieldDefinition, ObjectTypeDefinition},
    parser::SourceSpan,
};

use super::{directives::DirectiveArguments, report::DiagnosticReport, sdl::Sdl};

/// The name that a type or a field had before (`@renamed(from)`).
pub(super) fn renamed_from(directives: &DirectiveList) -> Option<&str> {
    DirectiveArguments::of(directives, "renamed")?.text("from")
}

/// The name that stores have for a type: its first one, which `@renamed(stored)` gives where `from` is a later one.
pub(super) fn stored_type_name(object: &ObjectTypeDefinition) -> &str {
    let renamed = DirectiveArguments::of(&object.directives, "renamed");
    let earlier = renamed.and_then(|it| it.text("stored").or_else(|| it.text("from")));
    earlier.unwrap_or(&object.name)
}

/// Reports earlier names that cannot be, or that belong to something else, and retired members that others need.
pub(super) fn check(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) {
    check_type_names(sdl, report);
    for object in sdl.objects() {
        check_field_names(object, report);
    }
    for object in &sdl.embedded {
        check_embedded(object, report);
    }
    for object in &sdl.synced {
        check_retired_type(object, report);
        check_references(sdl, object, report);
    }
}

fn check_type_names(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) {
    let objects = sdl.objects().map(|object| object.name.as_str());
    let enums = sdl.enums.iter().map(|def| def.name.as_str());
    let mut names = EarlierNames {
        kind: "type",
        reserved: "Sync",
        present: objects.chain(enums).collect(),
        earlier: BTreeSet::new(),
    };
    for object in &sdl.synced {
        let Some(renamed) = DirectiveArguments::of(&object.directives, "renamed") else {
            continue;
        };
        names.check(&object.name, renamed, report);
        // A type may be called again as the store calls it.
        let known = [Some(object.name.as_str()), renamed.text("from")];
        if let Some(stored) = renamed
            .text("stored")
            .filter(|it| !known.contains(&Some(it)))
        {
            names.check_one(&object.name, "stored", stored, renamed, report);
        }
    }
}

fn check_field_names(object: &ObjectTypeDefinition, report: &mut DiagnosticReport<'_>) {
    let present = object.fields.iter().map(|field| field.name.as_str());
    let mut names = EarlierNames {
        kind: "field",
        reserved: "sync",
        present: present.collect(),
        earlier: BTreeSet::new(),
    };
    for field in &object.fields {
        if let Some(renamed) = DirectiveArguments::of(&field.directives, "renamed") {
            names.check(&field.name, renamed, report);
        }
    }
}

/// The names that members of one kind have and had.
struct EarlierNames<'a> {
    kind: &'static str,
    /// What the names that belong to the API begin with.
    reserved: &'static str,
    present: BTreeSet<&'a str>,
    earlier: BTreeSet<&'a str>,
}

impl<'a> EarlierNames<'a> {
    fn check(
        &mut self,
        name: &'a Name,
        renamed: DirectiveArguments<'a>,
        report: &mut DiagnosticReport<'_>,
    ) {
        let Some(from) = renamed.text("from") else {
            if renamed.value("from").is_none() && renamed.value("stored").is_none() {
                report.add(
                    renamed.place(""),
                    format!("@renamed on `{name}` says no earlier name"),
                    "write @renamed(from: …) with the name that it had",
                );
            }
            return;
        };
        self.check_one(name, "from", from, renamed, report);
    }

    fn check_one(
        &mut self,
        name: &'a Name,
        argument: &'static str,
        earlier: &'a str,
        renamed: DirectiveArguments<'a>,
        report: &mut DiagnosticReport<'_>,
    ) {
        if let Some((problem, hint)) = self.mistake(name, argument, earlier) {
            report.add(
                renamed.place(argument),
                format!("`{name}` cannot be renamed from `{earlier}`, which {problem}"),
                hint,
            );
        }
    }

    /// Why the member `name` cannot have been called `from`, and what to do about it.
    fn mistake(&mut self, name: &str, argument: &str, from: &'a str) -> Option<(String, String)> {
        let kind = self.kind;
        if from == name {
            let hint = "write the name that it had before, or remove `from`";
            Some(("is its present name".to_owned(), hint.to_owned()))
        } else if self.present.contains(from) {
            let unused = match argument {
                "from" => " once no client uses the earlier name",
                _ => "",
            };
            let hint = format!(
                "a name means one {kind}: rename the other `{from}`, or remove `{argument}`{unused}"
            );
            Some((format!("is another {kind}"), hint))
        } else if !self.earlier.insert(from) {
            let hint = format!("only one {kind} takes the place of `{from}`");
            Some((format!("another {kind} is renamed from too"), hint))
        } else if Name::new(from).is_err()
            || from.starts_with(['_'])
            || from.starts_with(self.reserved)
        {
            let hint = "write the name that the model had before; a name in stored documents is said by `stored`";
            Some((format!("no {kind} of a model is called"), hint.to_owned()))
        } else {
            None
        }
    }
}

/// An embedded type is stored under no name, and clients see the fields that hold it.
fn check_embedded(object: &ObjectTypeDefinition, report: &mut DiagnosticReport<'_>) {
    let hints = [
        ("renamed", "remove it: its name is stored nowhere"),
        ("retired", "retire the fields that hold it"),
    ];
    for (directive, hint) in hints {
        if let Some(found) = DirectiveArguments::of(&object.directives, directive) {
            report.add(
                found.place(""),
                format!(
                    "@{directive} means nothing on the embedded type {}",
                    object.name
                ),
                hint,
            );
        }
    }
}

fn check_retired_type(object: &ObjectTypeDefinition, report: &mut DiagnosticReport<'_>) {
    let retired = DirectiveArguments::of(&object.directives, "retired");
    if let (Some(retired), true) = (retired, object.directives.has("grants")) {
        report.add(
            retired.place(""),
            format!(
                "{} is retired, and its documents would go on giving access that nobody sees",
                object.name
            ),
            "remove @grants first, when no access depends on these documents",
        );
    }
}

/// A list of documents of a retired type has none. The model says so at the list.
fn check_reverse(sdl: &Sdl<'_>, field: &FieldDefinition, report: &mut DiagnosticReport<'_>) {
    let lists = field.directives.has("reverse") && !field.directives.has("retired");
    let target = field.ty.inner_named_type();
    let object = sdl.synced_type(target).filter(|_| lists);
    if object.is_some_and(|object| object.directives.has("retired")) {
        report.add(
            target.location(),
            format!("`{}` lists {target}, which is retired", field.name),
            "add @retired to the list, which then shows null, or remove it",
        );
    }
}

/// A reference shows nothing if what it needs is retired. The model says so at the reference.
fn check_references(
    sdl: &Sdl<'_>,
    object: &ObjectTypeDefinition,
    report: &mut DiagnosticReport<'_>,
) {
    for field in &object.fields {
        check_reverse(sdl, field, report);
        let reference = DirectiveArguments::of(&field.directives, "reference");
        let Some(reference) = reference.filter(|_| !field.directives.has("retired")) else {
            continue;
        };
        let mut fields = object.fields.iter();
        let by = fields.find(|candidate| reference.text("by") == Some(candidate.name.as_str()));
        let target = sdl.synced_type(field.ty.inner_named_type());
        let needs: [Option<(SourceSpan, &Name, bool)>; 2] = [
            by.and_then(|by| {
                Some((
                    reference.place("by")?,
                    &by.name,
                    by.directives.has("retired"),
                ))
            }),
            target.and_then(|target| {
                let at = field.ty.inner_named_type().location()?;
                Some((at, &target.name, target.directives.has("retired")))
            }),
        ];
        for (at, name, _) in needs.into_iter().flatten().filter(|(.., retired)| *retired) {
            report.add(
                Some(at),
                format!(
                    "`{}` shows a document by `{name}`, which is retired",
                    field.name
                ),
                "add @retired to the reference, which then shows null, or remove it",
            );
        }
    }
}
