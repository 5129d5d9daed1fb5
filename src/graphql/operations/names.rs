//! Names that stay different in every language: generators write `post_body`, `postBody` and `PostBody` in the same
//! way.
//!
//! A name of the model never changes. The names around it do.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    id::TypeName,
    model::{DocumentType, Field, FieldAmbiguity, Model},
};

/// The names in use, in lower case and without underscores.
pub(super) struct Names(BTreeSet<String>);

impl Names {
    pub(super) fn new<'n>(taken: impl Iterator<Item = &'n str>) -> Self {
        Self(taken.map(folded).collect())
    }

    /// The name, with a number appended if it is in use.
    pub(super) fn claim(&mut self, name: String) -> String {
        let numbered = (2..).map(|number| format!("{name}{number}"));
        std::iter::once(name.clone())
            .chain(numbered)
            .find(|candidate| self.0.insert(folded(candidate)))
            .expect("there are more numbers than names")
    }
}

pub(super) fn folded(name: &str) -> String {
    name.replace('_', "").to_ascii_lowercase()
}

/// Aliases that let one operation ask for all types, whose fields may have one name and different types. The first type
/// in the model keeps the name.
pub(super) struct Aliases(BTreeMap<(TypeName, String), String>);

impl Aliases {
    pub(super) fn new(model: &Model) -> Self {
        let mut names = Names::new(response_names(model));
        let mut aliases = BTreeMap::new();
        for FieldAmbiguity { a, b, field } in model.clashes() {
            if aliases.contains_key(&(a, field.clone())) {
                continue;
            }
            let second = model.document_type(b.as_str());
            let alias = second.map(|ty| format!("{}_{field}", ty.singular));
            let key = (b, field);
            if let (Some(alias), false) = (alias, aliases.contains_key(&key)) {
                aliases.insert(key, names.claim(alias));
            }
        }
        Self(aliases)
    }

    pub(super) fn of(&self, document_type: &DocumentType, field: &Field) -> Option<&str> {
        let key = (document_type.name.clone(), field.name.clone());
        self.0.get(&key).map(String::as_str)
    }
}

/// The response keys of a selection of documents without aliases.
fn response_names(model: &Model) -> impl Iterator<Item = &str> {
    let fields = model.types.iter().flat_map(|ty| &ty.fields);
    let references = model.types.iter().flat_map(|ty| &ty.references);
    fields
        .map(|field| field.name.as_str())
        .chain(references.map(|reference| reference.name.as_str()))
        .chain(super::DOCUMENT)
}
