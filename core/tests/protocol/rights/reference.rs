//! The rules of rule 4.14 written down a second time, by names and without the core: what a user may make of a document.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

/// A type's rights, as the text of its model says them.
pub(super) struct Rules {
    pub(super) create: &'static [&'static str],
    pub(super) update: &'static [&'static str],
    pub(super) delete: &'static [&'static str],
    /// Whether documents have an owner.
    pub(super) owned: bool,
    /// The fields in the order of the model, without free ones.
    pub(super) fields: &'static [Guarded],
}

pub(super) struct Guarded {
    pub(super) name: &'static str,
    pub(super) default: Option<&'static str>,
    pub(super) immutable: bool,
    pub(super) writers: Option<&'static [&'static str]>,
}

/// A living document: its scope, and its fields without absent ones and nulls.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Card {
    pub(super) scope: String,
    pub(super) fields: Map<String, Json>,
}

impl Card {
    fn get(&self, name: &str) -> Json {
        self.fields.get(name).cloned().unwrap_or_default()
    }
}

/// A user and the roles that the user has in each scope.
pub(super) struct Person<'p> {
    pub(super) name: &'static str,
    pub(super) roles: &'p dyn Fn(&str) -> BTreeSet<&'static str>,
}

/// Why a change is FORBIDDEN: the field, if it is about one.
pub(super) type Verdict = Result<(), Option<&'static str>>;

impl Rules {
    pub(super) fn owns(&self, person: &Person<'_>, card: &Card) -> bool {
        self.owned && card.get("owner") == json!(person.name)
    }

    fn has(&self, person: &Person<'_>, scope: &str, owns: bool, wanted: &[&str]) -> bool {
        let held = (person.roles)(scope);
        let as_owner = owns && !held.is_empty() && wanted.contains(&"OWNER");
        as_owner || wanted.iter().any(|role| held.contains(role))
    }

    fn needs(&self, person: &Person<'_>, scope: &str, owns: bool, wanted: &[&str]) -> Verdict {
        match self.has(person, scope, owns, wanted) {
            true => Ok(()),
            false => Err(None),
        }
    }

    /// A user puts a document into a scope.
    pub(super) fn put(&self, person: &Person<'_>, card: &Card, scope: &str) -> Verdict {
        self.needs(person, scope, self.owns(person, card), self.create)
    }

    /// The values of a new document.
    pub(super) fn values(&self, person: &Person<'_>, card: &Card, is_new: bool) -> Verdict {
        let owns = self.owns(person, card);
        for field in self.fields {
            let (value, is_owner) = (card.get(field.name), self.owned && field.name == "owner");
            if is_new && is_owner && field.writers.is_none() && !owns {
                return Err(Some(field.name));
            }
            let Some(writers) = field.writers else {
                continue;
            };
            let default = match field.default {
                Some("{sub}") => json!(person.name),
                Some(text) => text.parse().expect("a default is JSON"),
                None => Json::Null,
            };
            let fits = value.is_null() || value == default || is_owner && owns;
            if !fits && !self.has(person, &card.scope, owns, writers) {
                return Err(Some(field.name));
            }
        }
        Ok(())
    }

    pub(super) fn delete(&self, person: &Person<'_>, card: &Card) -> Verdict {
        self.needs(person, &card.scope, self.owns(person, card), self.delete)
    }

    pub(super) fn edit(&self, person: &Person<'_>, before: &Card, after: &Card) -> Verdict {
        let owns = self.owns(person, before);
        let moves = before.scope != after.scope;
        if moves {
            self.needs(person, &before.scope, owns, self.delete)?;
            self.put(person, after, &after.scope)?;
        }
        let names: BTreeSet<&String> = before.fields.keys().chain(after.fields.keys()).collect();
        let differs = |name: &str| before.get(name) != after.get(name);
        let mut others = names.iter().filter(|name| name.as_str() != "audience");
        if !moves || others.any(|name| differs(name)) {
            self.needs(person, &before.scope, owns, self.update)?;
        }
        for field in self.fields.iter().filter(|field| differs(field.name)) {
            let fixed_owner = self.owned && field.name == "owner" && field.writers.is_none();
            let writers = field.writers.unwrap_or(&[]);
            let written = field.writers.is_none() || self.has(person, &before.scope, owns, writers);
            if field.immutable || fixed_owner || !written {
                return Err(Some(field.name));
            }
        }
        match moves {
            true => self.values(person, after, false),
            false => Ok(()),
        }
    }
}
