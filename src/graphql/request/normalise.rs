//! Turns one operation of a checked document into a `Selection`: conditions applied, fragments expanded, fields of one
//! response key merged, arguments constant. Only execution knows an object's type, so if that makes a difference the
//! fields of each object type are listed.

use std::sync::Arc;

use apollo_compiler::{
    Name, Node, Schema,
    executable::{Field, Operation, Selection as Parsed, SelectionSet},
    parser::SourceSpan,
    schema::InputValueDefinition,
};
use async_graphql::{Name as ArgumentName, Pos, Value, indexmap::IndexMap};

use super::{
    RequestError,
    coerce::Coercer,
    document::ValidatedDocument,
    selection::{
        ArgumentSlot, ArgumentValues, OperationArguments, SelectedField, Selection, SourcePosition,
        SubSelection,
    },
};
use crate::graphql::earlier_names::ShownNames;

/// Builds the selection of one operation. The meter has bounded the size and depth of its expanded fragments.
pub(super) struct SelectionBuilder<'d> {
    schema: &'d Schema,
    checked: &'d ValidatedDocument,
    coercer: Coercer<'d>,
    arguments: OperationArguments,
}

/// The fields selected of an object, in the order of their first appearance.
#[derive(Default)]
struct CollectedFields<'d> {
    fields: IndexMap<&'d str, Vec<&'d Node<Field>>>,
    /// Whether a part of the selection is left out, because not all objects of the type have it.
    is_narrowed: bool,
}

impl<'d> SelectionBuilder<'d> {
    pub(super) fn new(
        schema: &'d Schema,
        checked: &'d ValidatedDocument,
        coercer: Coercer<'d>,
    ) -> Self {
        Self {
            schema,
            checked,
            coercer,
            arguments: OperationArguments::default(),
        }
    }

    /// What `operation` selects, with its arguments.
    ///
    /// # Errors
    /// If an argument or a condition has no valid value.
    pub(super) fn build(
        mut self,
        operation: &'d Node<Operation>,
    ) -> Result<(Selection, OperationArguments), RequestError> {
        let set = &operation.selection_set;
        let root = self.collected(&set.ty, &[set])?;
        let selection = Selection {
            kind: operation.operation_type.into(),
            fields: self.fields(&root)?,
        };
        self.arguments.bytes = self.coercer.kept_bytes();
        Ok((selection, self.arguments))
    }

    fn fields(
        &mut self,
        collected: &CollectedFields<'d>,
    ) -> Result<Vec<SelectedField>, RequestError> {
        let fields = collected.fields.values();
        fields.map(|nodes| self.field(nodes)).collect()
    }

    /// One field of all selections of its response key. Validation has checked that names and arguments agree, so the
    /// first is enough.
    fn field(&mut self, nodes: &[&'d Node<Field>]) -> Result<SelectedField, RequestError> {
        let field = nodes[0];
        let sets: Vec<_> = nodes.iter().map(|node| &node.selection_set).collect();
        Ok(SelectedField {
            key: field.response_key().clone(),
            name: field.name.clone(),
            position: self.position(field.location()),
            slot: self.arguments(field)?,
            shown_names: self.shown_names(field),
            below: self.below(field.ty().inner_named_type(), &sets)?,
        })
    }

    fn shown_names(&self, field: &Field) -> Option<Arc<ShownNames>> {
        let is_name = field.name == "__typename" || field.ty().inner_named_type() == "SyncType";
        self.checked.shown_names.clone().filter(|_| is_name)
    }

    fn arguments(&mut self, field: &'d Node<Field>) -> Result<Option<ArgumentSlot>, RequestError> {
        let definitions = &field.definition.arguments;
        if definitions.is_empty() {
            return Ok(None);
        }
        let mut values = ArgumentValues::with_capacity(definitions.len());
        for definition in definitions {
            if let Some(value) = self.argument(definition, field)? {
                values.insert(ArgumentName::new(&definition.name), value);
            }
        }
        Ok(Some(self.arguments.keep(values)))
    }

    fn argument(
        &mut self,
        definition: &'d InputValueDefinition,
        field: &'d Node<Field>,
    ) -> Result<Option<Value>, RequestError> {
        let given = field.specified_argument_by_name(&definition.name);
        let location = given
            .and_then(|literal| literal.location())
            .or(field.location());
        self.coercer.argument(definition, given, location)
    }

    /// What `sets` select of an object of the type `ty`. If its object types differ in that, each is listed with all of
    /// its fields, so that they keep their order and none is resolved twice.
    fn below(
        &mut self,
        ty: &'d Name,
        sets: &[&'d SelectionSet],
    ) -> Result<SubSelection, RequestError> {
        if sets.iter().all(|set| set.selections.is_empty()) {
            return Ok(SubSelection::Leaf);
        }
        let collected = self.collected(ty, sets)?;
        if !collected.is_narrowed {
            return Ok(SubSelection::Any(self.fields(&collected)?));
        }
        let mut types = Vec::new();
        for object in self.object_types(ty) {
            let fields = self.fields(&self.collected(object, sets)?)?;
            if !fields.is_empty() {
                types.push((object.clone(), fields));
            }
        }
        Ok(SubSelection::ByType(types))
    }

    fn object_types(&self, ty: &Name) -> Vec<&'d Name> {
        let types = self.schema.types.iter();
        types
            .filter(|(name, definition)| definition.is_object() && self.is(ty, name))
            .map(|(name, _)| name)
            .collect()
    }

    fn is(&self, general: &str, name: &str) -> bool {
        general == name || self.schema.is_subtype(general, name)
    }

    fn collected(
        &self,
        ty: &Name,
        sets: &[&'d SelectionSet],
    ) -> Result<CollectedFields<'d>, RequestError> {
        let mut collected = CollectedFields::default();
        for set in sets {
            self.collect(ty, set, &mut collected)?;
        }
        collected.is_narrowed &= !self.schema.types[ty].is_object();
        Ok(collected)
    }

    fn collect(
        &self,
        ty: &Name,
        set: &'d SelectionSet,
        into: &mut CollectedFields<'d>,
    ) -> Result<(), RequestError> {
        for selection in &set.selections {
            if !self.is_included(selection)? {
                continue;
            }
            match selection {
                Parsed::Field(field) => into
                    .fields
                    .entry(field.response_key())
                    .or_default()
                    .push(field),
                Parsed::InlineFragment(fragment) => {
                    let condition = fragment.type_condition.as_ref();
                    self.collect_on(ty, condition.unwrap_or(ty), &fragment.selection_set, into)?;
                }
                Parsed::FragmentSpread(spread) => {
                    let fragment = &self.checked.document.fragments[&spread.fragment_name];
                    self.collect_on(ty, fragment.type_condition(), &fragment.selection_set, into)?;
                }
            }
        }
        Ok(())
    }

    fn collect_on(
        &self,
        ty: &Name,
        condition: &Name,
        set: &'d SelectionSet,
        into: &mut CollectedFields<'d>,
    ) -> Result<(), RequestError> {
        if self.is(condition, ty) {
            return self.collect(ty, set, into);
        }
        into.is_narrowed = true;
        Ok(())
    }

    fn is_included(&self, selection: &Parsed) -> Result<bool, RequestError> {
        for (directive, included_when) in [("skip", false), ("include", true)] {
            let condition = selection
                .directives()
                .get(directive)
                .and_then(|it| it.specified_argument_by_name("if"));
            if let Some(condition) = condition
                && self.coercer.condition(condition)? != included_when
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn position(&self, span: Option<SourceSpan>) -> SourcePosition {
        let place = self.checked.positions.of(span);
        SourcePosition(place.map(Pos::from).unwrap_or_default())
    }
}
