//! The selection of an operation, and the exact arguments of its fields: the form in which an operation is answered.
//! `normalise.rs` has removed fragments, conditions and variables.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use apollo_compiler::Name;
use async_graphql::{Pos, Value, indexmap::IndexMap};

use super::OperationKind;
use crate::graphql::earlier_names::ShownNames;

/// The fields at an operation's root. Two selections are equal if they select the same, whatever their arguments and
/// their places in documents.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Selection {
    pub(crate) kind: OperationKind,
    pub(crate) fields: Vec<SelectedField>,
}

/// One field of an answer.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SelectedField {
    /// The response key.
    pub(crate) key: Name,
    /// The name in the schema.
    pub(crate) name: Name,
    pub(crate) position: SourcePosition,
    /// The index of its arguments, if its definition has any.
    pub(crate) slot: Option<ArgumentSlot>,
    /// What it calls types, if it is a name of a type, and not as in the schema.
    pub(super) shown_names: Option<Arc<ShownNames>>,
    pub(crate) below: SubSelection,
}

impl SelectedField {
    /// What the type with this name in the schema is called, where the field is a name of a type.
    pub(crate) fn shown_name<'n>(&'n self, name: &'n str) -> &'n str {
        let shown = self.shown_names.as_ref();
        shown.map_or(name, |shown| shown.of(name))
    }
}

/// What is selected below a field.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum SubSelection {
    /// Nothing, since the field is a leaf.
    Leaf,
    /// The same of every object; nothing if conditions left none.
    Any(Vec<SelectedField>),
    /// Different fields for each type of object, and nothing of other types.
    ByType(Vec<(Name, Vec<SelectedField>)>),
}

/// A field's place in the document. All are equal, since a place does not change what is selected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourcePosition(pub(crate) Pos);

/// The index of a field's arguments in an operation's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ArgumentSlot(usize);

/// The arguments of an operation's fields, with defaults filled in and without variables.
#[derive(Debug, Default)]
pub(crate) struct OperationArguments {
    of_fields: Vec<ArgumentValues>,
    /// How many bytes they take at most.
    pub(crate) bytes: usize,
}

/// The arguments of one field, by their names. An absent one is not there.
pub(crate) type ArgumentValues = IndexMap<async_graphql::Name, Value>;

impl Selection {
    /// Whether both fields of every pair are at the same place. The selections are equal.
    pub(crate) fn has_places_of(&self, equal: &Self) -> bool {
        have_same_places(&self.fields, &equal.fields)
    }

    /// The number of its fields, at all depths.
    pub(crate) fn fields_in_all(&self) -> usize {
        fields_in_all(&self.fields)
    }
}

fn fields_in_all(fields: &[SelectedField]) -> usize {
    let below = fields.iter().map(|field| match &field.below {
        SubSelection::Leaf => 0,
        SubSelection::Any(fields) => fields_in_all(fields),
        SubSelection::ByType(types) => types.iter().map(|(_, fields)| fields_in_all(fields)).sum(),
    });
    fields.len() + below.sum::<usize>()
}

fn have_same_places(fields: &[SelectedField], others: &[SelectedField]) -> bool {
    let mut pairs = fields.iter().zip(others);
    pairs.all(|(field, other)| {
        field.position.0 == other.position.0
            && match (&field.below, &other.below) {
                (SubSelection::Leaf, SubSelection::Leaf) => true,
                (SubSelection::Any(fields), SubSelection::Any(others)) => {
                    have_same_places(fields, others)
                }
                (SubSelection::ByType(types), SubSelection::ByType(others)) => {
                    let mut pairs = types.iter().zip(others);
                    pairs.all(|((_, fields), (_, others))| have_same_places(fields, others))
                }
                _ => false,
            }
    })
}

impl PartialEq for SourcePosition {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for SourcePosition {}

impl Hash for SourcePosition {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl OperationArguments {
    /// Keeps the arguments of one field.
    pub(super) fn keep(&mut self, values: ArgumentValues) -> ArgumentSlot {
        self.of_fields.push(values);
        ArgumentSlot(self.of_fields.len() - 1)
    }

    pub(crate) fn of(&self, slot: ArgumentSlot) -> &ArgumentValues {
        &self.of_fields[slot.0]
    }

    /// Moves out the arguments of one field.
    pub(crate) fn take(&mut self, slot: ArgumentSlot) -> ArgumentValues {
        std::mem::take(&mut self.of_fields[slot.0])
    }
}
