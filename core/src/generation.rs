//! Which models a store is served by, and which of them leads (docs/rules.md section 9).
//!
//! Gateways of several models may serve a store at a time, as in a rolling deploy. One model, the *lead*, decides how
//! documents are stored, scoped and imported. The others serve what they can, and undo nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    id::{IdType, TypeName},
    model::{DocumentType, Field, Model},
    mutant::{Mutant, is_active},
    value::json::join,
};

/// The most models that a store keeps the texts of. Beyond them it forgets the oldest.
pub const MODELS_MAX: usize = 256;

/// The most hashes that are kept of APIs that earlier versions of the gateway made of a model.
const EARLIER_APIS_MAX: usize = 16;

/// The number of a model in a store. A text that the store has not seen gets the next number; a known one keeps its own.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Generation(pub u32);

/// The number of a type in a store. It is never given to another type.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
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
    /// The types of the first model have the numbers up to this one.
    pub first: TypeNumber,
    /// How each type is stored and scoped, by the last leading model that has it.
    pub shapes: BTreeMap<TypeName, TypeShape>,
    /// Types whose scope or grants have another rule, and whose documents are not all moved yet. A document that is
    /// still in another scope than its fields make is not shown.
    pub moving: BTreeSet<TypeName>,
    /// Those of them of which something has to be stamped before a gateway of the lead serves: memberships by another
    /// rule, or documents that an operator lets be withheld.
    pub unstamped: BTreeSet<TypeName>,
}

/// How documents of a type are stored, and who sees them. Gateways whose shapes of a type disagree must not both write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeShape {
    /// The collection of the application's database.
    pub collection: String,
    /// How ids are stored.
    pub id_type: IdType,
    /// The stored names of fields, by their names in the model: `title`, or `Place.city` inside an embedded type.
    pub stored_names: BTreeMap<String, String>,
    /// The earlier stored names, by the same names. A write moves the value away from there.
    #[serde(default)]
    pub moved_names: BTreeMap<String, String>,
    /// The rule of the scope, over stored names.
    pub scope: String,
    /// The rule of memberships, over stored names, if documents of the type are memberships.
    pub grants: Option<String>,
}

impl TypeShape {
    /// What a model says of a type.
    pub fn of(model: &Model, document_type: &DocumentType) -> Self {
        let grants = document_type.membership.as_ref();
        let mut shape = Self {
            collection: document_type.collection.clone(),
            id_type: document_type.id_type,
            stored_names: BTreeMap::new(),
            moved_names: BTreeMap::new(),
            scope: format!("{:?}", document_type.scope),
            grants: grants.map(|rule| format!("{rule:?}")),
        };
        shape.name_fields(model, "", &document_type.fields, &mut BTreeSet::new());
        shape
    }

    /// Adds the names of the fields of `owner`, and those of the embedded types in it, each once.
    fn name_fields<'m>(
        &mut self,
        model: &'m Model,
        owner: &str,
        fields: &'m [Field],
        named: &mut BTreeSet<&'m str>,
    ) {
        for field in fields {
            let name = join(owner, &field.name);
            let earlier = field.earlier_name(fields);
            let earlier = earlier.map(|earlier| (name.clone(), earlier.to_owned()));
            self.moved_names.extend(earlier);
            self.stored_names.insert(name, field.stored_as.clone());
            let embedded = field.ty.shape.embedded();
            if let Some(inside) = embedded.filter(|inside| named.insert(inside)) {
                self.name_fields(model, inside, model.embedded_fields(inside), named);
            }
        }
    }

    /// Whether a write of this shape takes a value from where the other has a field.
    fn moves_from(&self, other: &Self) -> bool {
        fn places(names: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
            let owner = |name: &'_ str| name.rfind('.').unwrap_or_default();
            names
                .iter()
                .map(move |(name, stored)| (&name[..owner(name)], stored.as_str()))
        }
        let used: BTreeSet<_> = places(&other.stored_names).collect();
        places(&self.moved_names).any(|place| used.contains(&place))
    }

    /// Whether gateways of both shapes may write the type at a time. Of fields that only one of them knows, the other
    /// keeps what is stored.
    pub fn agrees(&self, other: &Self) -> bool {
        let Self {
            collection,
            id_type,
            stored_names,
            moved_names: _,
            scope,
            grants,
        } = self;
        let mut names = stored_names.iter();
        let has_same_names = names.all(|(name, stored)| {
            let others = other.stored_names.get(name);
            others.is_none_or(|others| others == stored)
        }) && !self.moves_from(other)
            && !other.moves_from(self);
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
        state.first = state.last_number();
        state
    }

    /// The types of the first model.
    pub fn first_types(&self) -> impl Iterator<Item = TypeNumber> {
        let numbers = self.numbers.values().copied();
        numbers.filter(|number| *number <= self.first)
    }

    fn last_number(&self) -> TypeNumber {
        self.numbers.values().max().copied().unwrap_or_default()
    }

    /// Numbers the types that the store has not seen, and puts the shapes of the model in force.
    pub fn adopt(&mut self, model: &Model) {
        self.number(model.types.iter().map(|of| &of.stored_as));
        let types = model.types.iter();
        let shapes = types.map(|of| (of.stored_as.clone(), TypeShape::of(model, of)));
        self.shapes.extend(shapes);
    }

    /// What changes when the model of `generation` takes the lead from the model `before`. Without that one, every type
    /// is scanned.
    pub fn led_by(
        &self,
        generation: Generation,
        model: &Model,
        before: Option<&Model>,
    ) -> LeadChange {
        let mut state = self.clone();
        (state.lead, state.term) = (generation, Term(self.term.0 + 1));
        state.adopt(model);
        // What moves of a type that the model lacks goes on when a model has it again.
        for of in &model.types {
            let Some(last) = self.shapes.get(&of.stored_as) else {
                continue;
            };
            let next = TypeShape::of(model, of);
            if (&last.scope, &last.grants) != (&next.scope, &next.grants) {
                state.moving.insert(of.stored_as.clone());
            }
            if last.grants != next.grants {
                state.unstamped.insert(of.stored_as.clone());
            }
        }
        let reads_alike = |of: &DocumentType| {
            if is_active(Mutant::LeadUnscanned) {
                return true;
            }
            let before =
                before.and_then(|before| Some((before, before.stored_type(&of.stored_as)?)));
            before.is_some_and(|(before, last)| reading(before, last) == reading(model, of))
        };
        let types = model.types.iter().map(AsRef::as_ref);
        let scans = types.filter(|of| !reads_alike(of) || state.moving.contains(&of.stored_as));
        LeadChange {
            scans: scans.map(|of| of.stored_as.clone()).collect(),
            state,
        }
    }

    /// The model of a gateway beside this state.
    pub fn standing(&self, generation: Generation) -> Standing {
        Standing {
            generation,
            leads: generation == self.lead,
            term: self.term,
        }
    }

    /// Numbers the types that the store has not seen, in this order.
    fn number<'n>(&mut self, types: impl IntoIterator<Item = &'n TypeName>) {
        for name in types {
            let TypeNumber(last) = self.last_number();
            let number = self.numbers.entry(name.clone());
            number.or_insert(TypeNumber(last + 1));
        }
    }

    /// Whether a gateway with this model may write documents of the type.
    pub fn agrees(&self, model: &Model, document_type: &DocumentType) -> bool {
        let in_force = self.shapes.get(&document_type.stored_as);
        in_force.is_none_or(|in_force| in_force.agrees(&TypeShape::of(model, document_type)))
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

/// The gateway of a store that knows no models yet: nothing stands beside it.
impl Default for Standing {
    fn default() -> Self {
        ModelState::default().standing(Generation::default())
    }
}

/// A model that a store was served by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownModel {
    /// Its text.
    pub text: String,
    /// The hash of the API that it makes. It is unknown of a model that only a gateway of an earlier version served.
    pub api_hash: Option<String>,
    /// The hashes of the APIs that earlier versions of the gateway made of it, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_apis: Vec<String>,
}

impl KnownModel {
    /// The hashes of all APIs that gateways made of it, the oldest first.
    pub fn apis(&self) -> impl Iterator<Item = &str> {
        let hashes = self.earlier_apis.iter().chain(&self.api_hash);
        hashes.map(String::as_str)
    }

    /// Adds an API. A known one keeps its place: an earlier version of the gateway may start again beside a later one.
    fn add_api(&mut self, hash: &str) {
        if self.apis().any(|known| known == hash) {
            return;
        }
        self.earlier_apis
            .extend(self.api_hash.replace(hash.to_owned()));
        if self.earlier_apis.len() > EARLIER_APIS_MAX {
            self.earlier_apis.remove(0);
        }
    }
}

/// All that a store keeps of its models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelRecord {
    /// Which of them leads, and what that puts in force.
    pub state: Arc<ModelState>,
    /// The models by their numbers.
    pub known: BTreeMap<Generation, KnownModel>,
}

/// What takes the lead, and what that puts in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeadChange {
    /// The state from then on. Its term follows the one that it ends.
    pub state: ModelState,
    /// The types that are read differently from now on. Their documents are compared with the feed.
    pub scans: BTreeSet<TypeName>,
}

impl LeadChange {
    /// Documents of these types do not fit, and an operator lets them be withheld. That is stamped before gateways serve.
    pub fn withhold(&mut self, types: BTreeSet<TypeName>) {
        self.state.moving.extend(types.iter().cloned());
        self.state.unstamped.extend(types);
    }
}

impl ModelRecord {
    /// The record of a store that a gateway of an earlier version has served with the model of this text. A text that is
    /// no model leads nobody.
    pub fn of_served(text: &str) -> Self {
        let mut record = Self::default();
        let first = record.register(text, None);
        if let Ok(model) = Model::parse("served-model.graphql", text) {
            let state = ModelState::of(&model);
            record.state = Arc::new(ModelState {
                lead: first,
                ..state
            });
        }
        record
    }

    /// The number of a model. A known text keeps its own; a new one gets the next. Its types are numbered too: a gateway
    /// may serve it and never lead. Of very many models the oldest are forgotten, but not the lead.
    pub fn register(&mut self, text: &str, api_hash: Option<&str>) -> Generation {
        let last = self.known.keys().next_back();
        let last = last.copied().unwrap_or_default().max(self.state.lead);
        let next = Generation(last.0 + 1);
        let generation = self.generation_of(text).unwrap_or(next);
        let model = self.known.entry(generation).or_insert_with(|| KnownModel {
            text: text.to_owned(),
            api_hash: None,
            earlier_apis: Vec::new(),
        });
        if let Some(api_hash) = api_hash {
            model.add_api(api_hash);
        }
        if let Ok(model) = Model::parse("model.graphql", text) {
            let names = model.types.iter().map(|of| &of.stored_as);
            Arc::make_mut(&mut self.state).number(names);
        }
        while self.known.len() > MODELS_MAX {
            let mut old = self.known.keys().filter(|known| **known != self.state.lead);
            let Some(oldest) = old.next().copied() else {
                break;
            };
            self.known.remove(&oldest);
        }
        generation
    }

    /// The hashes of the APIs of all models, the oldest first.
    pub fn apis(&self) -> impl Iterator<Item = &str> {
        self.known.values().flat_map(KnownModel::apis)
    }

    /// The number of a model with this text.
    pub fn generation_of(&self, text: &str) -> Option<Generation> {
        let known = self.known.iter().find(|(_, known)| known.text == text);
        known.map(|(generation, _)| *generation)
    }

    /// All documents of the type are in their scopes, if the lead is still that of this term.
    pub fn moved(&mut self, term: Term, type_name: &TypeName) {
        if self.state.term == term {
            Arc::make_mut(&mut self.state).moving.remove(type_name);
        }
    }

    /// Of these types all is stamped that gateways wait for, if the lead is still that of this term.
    pub fn stamped(&mut self, term: Term, types: &BTreeSet<TypeName>) {
        if self.state.term == term {
            let unstamped = &mut Arc::make_mut(&mut self.state).unstamped;
            unstamped.retain(|name| !types.contains(name));
        }
    }

    /// Puts another lead in force, if its term follows the present one. Types that were numbered since the change was made
    /// keep their numbers. Returns whether it is in force.
    pub fn take_lead(&mut self, change: &LeadChange) -> bool {
        if change.state.term.0 == self.state.term.0 + 1 {
            let mut state = change.state.clone();
            state.numbers.clone_from(&self.state.numbers);
            let mut numbered: Vec<_> = change.state.numbers.iter().collect();
            numbered.sort_unstable_by_key(|(_, number)| **number);
            state.number(numbered.into_iter().map(|(name, _)| name));
            self.state = Arc::new(state);
        }
        self.is_led_by(change)
    }

    /// Whether this change of the lead is in force.
    pub fn is_led_by(&self, LeadChange { state, .. }: &LeadChange) -> bool {
        (self.state.lead, self.state.term) == (state.lead, state.term)
    }
}

/// A fingerprint of how a model reads a type's documents. Another one leads to a scan, which compares them again.
pub fn reading(model: &Model, document_type: &DocumentType) -> String {
    let mut text = format!(
        "{} {:?} {:?} {:?}",
        document_type.collection,
        document_type.id_type,
        document_type.scope,
        document_type.membership
    );
    describe(&mut text, &document_type.fields);
    for embedded in model.embedded.values() {
        describe(&mut text, &embedded.fields);
    }
    for values in model.enums.values() {
        let names = values.values.iter().map(|value| &value.name);
        text.extend(names.map(|name| format!(" {name}")));
    }
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn describe(text: &mut String, fields: &[Field]) {
    text.push('{');
    for field in fields {
        let described = (&field.name, &field.stored_as, &field.ty, &field.default);
        text.push_str(&format!("{described:?}"));
        text.extend(field.bson.map(|bson| bson.to_string()));
        text.extend(field.nulls_misfits.then_some("?"));
    }
    text.push('}');
}

#[cfg(test)]
mod tests;
