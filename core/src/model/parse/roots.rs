//! The root fields of the generated API: their names, derived from a type and its collection, and clashes between them.

use std::collections::BTreeMap;

use apollo_compiler::{Name, Node, ast::ObjectTypeDefinition, parser::SourceSpan};

use super::{directives::DirectiveArguments, report::DiagnosticReport};

/// Root fields of every generated API.
const API_ROOTS: [&str; 7] = [
    "changesSince",
    "conflicts",
    "viewer",
    "pushChanges",
    "resolveConflict",
    "declineMemberships",
    "changes",
];
/// Keys that stand beside the singular names in `SyncResolution`.
const RESOLUTION_KEYS: [&str; 2] = ["take", "delete"];

/// The root fields of one synced type.
pub(super) struct Roots {
    /// For one document, and the key in change inputs.
    pub(super) singular: String,
    /// For many.
    pub(super) plural: String,
    /// The same of the type's earlier name, unless it is the present one or one of the API's own.
    pub(super) singular_before: Option<String>,
    singular_at: Option<SourceSpan>,
    plural_at: Option<SourceSpan>,
    renamed_at: Option<SourceSpan>,
}

impl Roots {
    /// Reads the names from `@collection`, or makes them from the type's and the collection's name.
    pub(super) fn read(
        object: &Node<ObjectTypeDefinition>,
        collection: DirectiveArguments<'_>,
        report: &mut DiagnosticReport<'_>,
    ) -> Self {
        let given = |argument| collection.text(argument).map(str::to_owned);
        let singular = given("singular").unwrap_or_else(|| default_singular(&object.name));
        let plural = given("plural")
            .unwrap_or_else(|| default_plural(collection.text("name").unwrap_or_default()));
        let renamed = DirectiveArguments::of(&object.directives, "renamed");
        let before = renamed
            .and_then(|renamed| renamed.text("from"))
            .map(default_singular);
        let is_free = |before: &String| *before != singular && !is_root_taken(before);
        let roots = Self {
            singular_before: before.filter(is_free),
            singular,
            plural,
            singular_at: collection.place("singular"),
            plural_at: collection.place("plural"),
            renamed_at: renamed.and_then(|renamed| renamed.place("from")),
        };
        // A missing or empty name gives no root field. It is reported as such.
        if collection.text("name").is_some_and(|name| !name.is_empty()) {
            roots.check(report);
        }
        roots
    }

    /// Each name with the argument that sets it, and its place.
    fn named(&self) -> [(&'static str, &str, Option<SourceSpan>); 2] {
        [
            ("singular", &self.singular, self.singular_at),
            ("plural", &self.plural, self.plural_at),
        ]
    }

    fn check(&self, report: &mut DiagnosticReport<'_>) {
        for (argument, name, at) in self.named() {
            if Name::new(name).is_err() || name.starts_with('_') {
                report.add(
                    at,
                    format!("\"{name}\" is no name for a root field"),
                    format!("set `{argument}` in @collection to a GraphQL name without leading underscore"),
                );
            } else if API_ROOTS.contains(&name) {
                report.add(
                    at,
                    format!("the root field `{name}` belongs to the generated API"),
                    format!("set `{argument}` in @collection to another name"),
                );
            }
        }
        if RESOLUTION_KEYS.contains(&self.singular.as_str()) {
            report.add(
                self.singular_at,
                format!(
                    "the name `{}` is a key of the generated input SyncResolution",
                    self.singular
                ),
                "set `singular` in @collection to another name",
            );
        }
        if self.singular == self.plural {
            report.add(
                self.plural_at,
                format!(
                    "one document and many would both be called `{}`",
                    self.plural
                ),
                "set `plural` in @collection",
            );
        }
    }
}

/// Reports root fields and keys of change inputs that two types share.
pub(super) fn check_clashes<'a>(
    roots: impl Iterator<Item = (&'a str, &'a Roots)> + Clone,
    report: &mut DiagnosticReport<'_>,
) {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (type_name, roots) in roots.clone() {
        for (argument, name, at) in roots.named() {
            let owner = *owners.entry(name).or_insert(type_name);
            if owner != type_name {
                report.add(
                    at,
                    format!("the types {owner} and {type_name} both have the root field `{name}`"),
                    format!("set `{argument}` in the @collection of one of them"),
                );
            }
        }
    }
    for (type_name, roots) in roots {
        let Some(key) = &roots.singular_before else {
            continue;
        };
        let owner = *owners.entry(key).or_insert(type_name);
        if owner != type_name {
            report.add(
                roots.renamed_at,
                format!("the earlier name of {type_name} has the root field `{key}`, which {owner} has too"),
                format!("set `singular` in the @collection of {owner}, or remove `from`"),
            );
        }
    }
}

/// Whether a root field cannot have this name, because the API has one or `SyncResolution` has such a key.
pub fn is_root_taken(name: &str) -> bool {
    API_ROOTS.contains(&name) || RESOLUTION_KEYS.contains(&name)
}

/// The root field for one document, if `@collection` names none: `Task` → `task`, `URLThing` → `urlThing`, `URL` → `url`.
pub fn default_singular(name: &str) -> String {
    let capitals = name.bytes().take_while(u8::is_ascii_uppercase).count();
    let next_is_lower = name
        .as_bytes()
        .get(capitals)
        .is_some_and(u8::is_ascii_lowercase);
    let lowered = if capitals > 1 && next_is_lower {
        capitals - 1
    } else {
        capitals
    };
    format!(
        "{}{}",
        name[..lowered].to_ascii_lowercase(),
        &name[lowered..]
    )
}

/// The name for many, if `@collection` names none: `time_entries` → `timeEntries`, `Tasks` → `tasks`.
pub fn default_plural(collection: &str) -> String {
    let mut words = collection
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let first = words.next().map(default_singular).unwrap_or_default();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(1);
        name + &initial.to_ascii_uppercase() + rest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_fields_are_named_after_type_and_collection() {
        for (name, singular) in [
            ("Task", "task"),
            ("URLThing", "urlThing"),
            ("URL", "url"),
            ("MP3File", "mp3File"),
            ("task", "task"),
            ("TimeEntry", "timeEntry"),
        ] {
            assert_eq!(default_singular(name), singular);
        }
        for (collection, plural) in [
            ("tasks", "tasks"),
            ("Tasks", "tasks"),
            ("time_entries", "timeEntries"),
            ("app.time-entries", "appTimeEntries"),
            ("URLThings", "urlThings"),
            ("заметки", ""),
        ] {
            assert_eq!(default_plural(collection), plural);
        }
    }
}
