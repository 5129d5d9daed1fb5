//! Which models a store is served by, and which of them leads (docs/rules.md section 9).
//!
//! Gateways of several models may serve a store at a time, as in a rolling deploy. One model, the *lead*, decides how
//! documents are stored, scoped and imported. The others serve what they can, and undo nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    id::{IdType, TypeName},
    model::{DocumentType, Model},
};

/// The number of a model in a store. A text that the store has not seen gets the next number; a known one keeps its own.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Generation(pub u32);

/// The number of a type in a store. It is never given to another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TypeNumber(pub u32);

/// How often the lead has changed.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Term(pub u64);

/// What a store knows of the models that it is served by. All of it changes in one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelState {
    /// The leading model.
    pub lead: Generation,
    /// Rises with each change of the lead.
    pub term: Term,
    /// The types that any model of the store ever had, by their stored names.
    pub numbers: BTreeMap<TypeName, TypeNumber>,
    /// How each type of the leading model is stored and scoped.
    pub shapes: BTreeMap<TypeName, TypeShape>,
    /// Types whose scope or grants have another rule, and whose documents are not all moved yet. A document that is
    /// still in another scope than its fields make is not shown.
    pub moving: BTreeSet<TypeName>,
}

/// How documents of a type are stored, and who sees them. Gateways whose shapes of a type disagree must not both write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeShape {
    /// The collection of the application's database.
    pub collection: String,
    /// How ids are stored.
    pub id_type: IdType,
    /// The stored names of fields, by their names in the model.
    pub stored_names: BTreeMap<String, String>,
    /// The rule of the scope, over stored names.
    pub scope: String,
    /// The rule of memberships, over stored names, if documents of the type are memberships.
    pub grants: Option<String>,
}

impl TypeShape {
    /// What a model says of a type.
    pub fn of(document_type: &DocumentType) -> Self {
        let fields = document_type.fields.iter();
        let stored_names = fields.map(|field| (field.name.clone(), field.stored_as.clone()));
        let grants = document_type.membership.as_ref();
        Self {
            collection: document_type.collection.clone(),
            id_type: document_type.id_type,
            stored_names: stored_names.collect(),
            scope: format!("{:?}", document_type.scope),
            grants: grants.map(|rule| format!("{rule:?}")),
        }
    }

    /// Whether gateways of both shapes may write the type at a time. Of fields that only one of them knows, the other
    /// keeps what is stored.
    pub fn agrees(&self, other: &Self) -> bool {
        let Self {
            collection,
            id_type,
            stored_names,
            scope,
            grants,
        } = self;
        let mut names = stored_names.iter();
        let has_same_names = names.all(|(name, stored)| {
            let others = other.stored_names.get(name);
            others.is_none_or(|others| others == stored)
        });
        (collection, id_type, scope, grants)
            == (
                &other.collection,
                &other.id_type,
                &other.scope,
                &other.grants,
            )
            && has_same_names
    }
}

impl ModelState {
    /// The state of a store that only ever had this model.
    pub fn of(model: &Model) -> Self {
        let mut state = Self {
            lead: Generation(1),
            term: Term(1),
            ..Self::default()
        };
        state.adopt(model);
        state
    }

    /// Numbers the types that the store has not seen, and puts the shapes of the model in force.
    pub fn adopt(&mut self, model: &Model) {
        self.number(model);
        let types = model.types.iter();
        let shapes = types.map(|of| (of.name.clone(), TypeShape::of(of)));
        self.shapes = shapes.collect();
    }

    /// Numbers the types that the store has not seen, in the order of the model.
    pub fn number(&mut self, model: &Model) {
        for document_type in &model.types {
            let last = self
                .numbers
                .values()
                .max()
                .map_or(0, |TypeNumber(last)| *last);
            let numbers = &mut self.numbers;
            let number = numbers.entry(document_type.name.clone());
            number.or_insert(TypeNumber(last + 1));
        }
    }

    /// Whether a gateway with this model may write documents of the type.
    pub fn agrees(&self, document_type: &DocumentType) -> bool {
        let in_force = self.shapes.get(&document_type.name);
        in_force.is_none_or(|in_force| in_force.agrees(&TypeShape::of(document_type)))
    }
}

/// The model of one gateway beside that of its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The generation of the gateway's own model.
    pub generation: Generation,
    /// Whether it is the lead.
    pub leads: bool,
    /// The term.
    pub term: Term,
}
