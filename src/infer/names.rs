//! Names of types and fields, made from those of collections and stored fields. None is used twice, and none belongs to
//! the generated API.

use std::collections::BTreeSet;

use tidegate_core::model;

/// A name of the generated API has at most as many bytes as this and its longest ending.
const NAME_BYTES_MAX: usize = 60;

/// The names that are given out.
#[derive(Default)]
pub(super) struct TypeNames {
    taken: BTreeSet<String>,
    /// What the API generates for them.
    derived: BTreeSet<String>,
}

impl TypeNames {
    /// A free name for a type or an enum, like this one.
    pub(super) fn take(&mut self, wanted: &str) -> String {
        let wanted = match model::is_type_taken(wanted) {
            true => format!("App{wanted}"),
            false => wanted.to_owned(),
        };
        let name = numbered(&wanted).find(|name| self.is_free(name));
        let name = name.expect("numbers do not end");
        self.derived.extend(model::derived_type_names(&name));
        self.taken.insert(name.clone());
        name
    }

    /// Two types clash too if the API generates the name of one for the other.
    fn is_free(&self, name: &str) -> bool {
        !self.taken.contains(name)
            && !self.derived.contains(name)
            && !model::derived_type_names(name).any(|it| self.taken.contains(&it))
    }
}

/// The root fields and keys that are given out.
#[derive(Default)]
pub(super) struct RootNames(BTreeSet<String>);

impl RootNames {
    /// The `singular` and `plural` that `@collection` has to name, because the ones by default cannot be used.
    pub(super) fn take(
        &mut self,
        type_name: &str,
        collection: &str,
    ) -> (Option<String>, Option<String>) {
        let singular = model::default_singular(type_name);
        let plural = model::default_plural(collection);
        (
            self.other(&singular, &format!("one{type_name}")),
            self.other(&plural, &format!("all{type_name}")),
        )
    }

    fn other(&mut self, by_default: &str, instead: &str) -> Option<String> {
        if is_name(by_default)
            && !model::is_root_taken(by_default)
            && self.0.insert(by_default.to_owned())
        {
            return None;
        }
        let name = numbered(instead).find(|name| self.0.insert(name.clone()));
        Some(name.expect("numbers do not end"))
    }
}

/// The fields of one type.
pub(super) struct FieldNames {
    taken: BTreeSet<String>,
    is_synced: bool,
}

impl FieldNames {
    pub(super) fn of_synced() -> Self {
        Self {
            taken: BTreeSet::from(["id".to_owned()]),
            is_synced: true,
        }
    }

    pub(super) fn of_embedded() -> Self {
        Self {
            taken: BTreeSet::new(),
            is_synced: false,
        }
    }

    /// Reserves names that are usable as they are, so that no field with another name gets them before.
    pub(super) fn take(&mut self, wanted: &str) -> String {
        let wanted = match wanted {
            "id" if self.is_synced => "ownId".to_owned(),
            _ if self.is_synced && wanted.starts_with("sync") => {
                format!("own{}", capitalized(wanted))
            }
            _ => wanted.to_owned(),
        };
        let name = numbered(&wanted).find(|name| self.taken.insert(name.clone()));
        name.expect("numbers do not end")
    }

    /// Whether a field may be called so.
    pub(super) fn is_free(&self, name: &str) -> bool {
        let is_reserved = self.is_synced && name.starts_with("sync");
        !is_reserved && !self.taken.contains(name)
    }
}

/// The name itself, and then with a number.
fn numbered(name: &str) -> impl Iterator<Item = String> + '_ {
    let others = (2..).map(move |number: u64| format!("{name}{number}"));
    std::iter::once(name.to_owned()).chain(others)
}

/// The name of a field in the model; `None` if nothing in the stored name can be one.
pub(super) fn field_name(stored: &str) -> Option<String> {
    if is_name(stored) && stored.len() <= NAME_BYTES_MAX {
        return Some(stored.to_owned());
    }
    let mut words = words(stored);
    let first = words.next()?;
    let mut name = model::default_singular(first);
    words.for_each(|word| name.push_str(&capitalized(word)));
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        name = format!("field{name}");
    }
    name.truncate(NAME_BYTES_MAX);
    Some(name)
}

/// The name of a type for documents of this collection: `work_orders` → `WorkOrder`.
pub(super) fn type_name(collection: &str) -> String {
    let name = pascal_case(&singular(collection));
    let name = match name.chars().next() {
        None => "Collection".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("Collection{name}"),
        Some(_) => name,
    };
    name.chars().take(NAME_BYTES_MAX).collect()
}

/// `home_address` → `HomeAddress`.
pub(super) fn pascal_case(name: &str) -> String {
    words(name).map(capitalized).collect()
}

/// Whether a stored field may be named in a model: `@stored` takes any name but these.
pub(super) fn can_be_stored(name: &str) -> bool {
    !(name.is_empty() || name.starts_with('$') || name.contains(['.', '\0']))
}

/// Whether it is a name of GraphQL without leading underscore.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether fields of this name identify things.
pub(super) fn is_key_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["_id", "id", "key", "uuid"].contains(&lower.as_str())
        || name.ends_with("Id")
        || name.ends_with("_id")
}

/// What a field that holds an id is about: `userId`, `user_id`, `userRef` and `user` → `user`.
pub(super) fn subject(field: &str) -> &str {
    let endings = ["_id", "_ids", "_ref", "Ids", "Id", "IDs", "ID", "Ref"];
    let mut endings = endings
        .iter()
        .filter_map(|ending| field.strip_suffix(ending));
    endings.next().filter(|it| !it.is_empty()).unwrap_or(field)
}

/// A name without anything that spellings differ in: `work_orders` and `workOrders` are one.
pub(super) fn folded(name: &str) -> String {
    let kept = name.chars().filter(char::is_ascii_alphanumeric);
    kept.map(|c| c.to_ascii_lowercase()).collect()
}

/// The parts between characters that names do not have.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty())
}

pub(super) fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

/// The singular of an English plural, by the endings that are common in names of collections.
pub(super) fn singular(plural: &str) -> String {
    const IRREGULAR: [(&str, &str); 8] = [
        ("people", "person"),
        ("children", "child"),
        ("men", "man"),
        ("movies", "movie"),
        ("cookies", "cookie"),
        ("addresses", "address"),
        ("statuses", "status"),
        ("indices", "index"),
    ];
    const ALIKE: [&str; 6] = ["news", "series", "species", "ss", "us", "is"];
    /// The plural's ending, and the singular's.
    const ENDINGS: [(&str, &str); 7] = [
        ("ies", "y"),
        ("sses", "ss"),
        ("shes", "sh"),
        ("ches", "ch"),
        ("xes", "x"),
        ("zzes", "zz"),
        ("s", ""),
    ];
    let lower = plural.to_ascii_lowercase();
    let replaced = |ending: &str, by: &str| {
        let stem = &plural[..plural.len() - ending.len()];
        let first = plural[stem.len()..].starts_with(|c: char| c.is_ascii_uppercase());
        match first {
            true => format!("{stem}{}", capitalized(by)),
            false => format!("{stem}{by}"),
        }
    };
    let is_word = |word: &str| {
        let before = lower
            .strip_suffix(word)
            .and_then(|stem| stem.chars().last());
        lower.ends_with(word) && before.is_none_or(|before| !before.is_ascii_alphabetic())
    };
    let capital = |word: &str| {
        let at = plural.len() - word.len();
        plural[at..].starts_with(|c: char| c.is_ascii_uppercase())
    };
    for (many, one) in IRREGULAR {
        if lower.ends_with(many) && (is_word(many) || capital(many)) {
            return replaced(many, one);
        }
    }
    if ALIKE.iter().any(|ending| lower.ends_with(ending)) {
        return plural.to_owned();
    }
    let mut endings = ENDINGS.iter();
    let found = endings.find(|(many, _)| lower.len() > many.len() + 1 && lower.ends_with(many));
    found.map_or_else(|| plural.to_owned(), |(many, one)| replaced(many, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_the_singular_of_its_collections_name() {
        for (collection, name) in [
            ("users", "User"),
            ("work_orders", "WorkOrder"),
            ("workOrders", "WorkOrder"),
            ("categories", "Category"),
            ("addresses", "Address"),
            ("boxes", "Box"),
            ("movies", "Movie"),
            ("people", "Person"),
            ("SalesPeople", "SalesPerson"),
            ("news", "News"),
            ("order_status", "OrderStatus"),
            ("URLs", "URL"),
            ("app.time-entries", "AppTimeEntry"),
            ("2024 reports", "Collection2024Report"),
            ("заметки", "Collection"),
            ("type", "Type"),
            ("s", "S"),
        ] {
            assert_eq!(type_name(collection), name);
        }
    }

    #[test]
    fn a_field_keeps_its_name_if_graphql_has_it() {
        for (stored, name) in [
            ("title", Some("title")),
            ("crew_id", Some("crew_id")),
            ("_class", Some("class")),
            ("first name", Some("firstName")),
            ("prix-total", Some("prixTotal")),
            ("2fa", Some("field2fa")),
            ("größe", Some("grE")),
            ("цена", None),
            ("__", None),
        ] {
            assert_eq!(field_name(stored).as_deref(), name, "{stored}");
        }
    }

    #[test]
    fn no_name_is_given_twice_and_none_is_the_apis() {
        let mut names = TypeNames::default();
        let mut take = |name: &str| names.take(name);
        assert_eq!(take("Task"), "Task");
        assert_eq!(take("Task"), "Task2");
        assert_eq!(take("TaskInput"), "TaskInput2");
        assert_eq!(take("Query"), "AppQuery");
        assert_eq!(take("SyncLog"), "AppSyncLog");
        assert_eq!(take("PushChanges"), "AppPushChanges");
        assert_eq!(take("NoteEdge"), "NoteEdge");
        assert_eq!(take("Note"), "Note2");
        assert_eq!(take("DateTime"), "AppDateTime");
    }
}
