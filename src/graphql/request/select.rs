//! Rebuilds a selection as async-graphql reads it: conditions applied, fragments dissolved, fields
//! of one response key merged, arguments constant. Fragments on narrower types stay, since only
//! execution knows an object's type.

use std::collections::HashMap;

use apollo_compiler::executable::{
    Field, InlineFragment, Operation, OperationType, Selection, SelectionSet,
};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::{ExtendedType, InputValueDefinition};
use apollo_compiler::{Name, Node, Schema};
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types as out;
use async_graphql::{Name as OutName, Pos, Positioned, Value};

use super::Refusal;
use super::coerce::Coercer;
use super::document::CheckedDocument;

type Selected = Positioned<out::Selection>;

/// Rebuilds the selections of one operation. The meter has bounded how much its fragments expand
/// to, and how deep.
pub(super) struct Selector<'d> {
    schema: &'d Schema,
    checked: &'d CheckedDocument,
    coercer: Coercer<'d>,
}

/// The selections of one object, in the order of their first appearance.
#[derive(Default)]
struct Collected<'d> {
    fields: IndexMap<&'d str, Vec<&'d Node<Field>>>,
    narrowed: IndexMap<&'d Name, Vec<&'d SelectionSet>>,
}

impl<'d> Selector<'d> {
    pub(super) fn new(
        schema: &'d Schema,
        checked: &'d CheckedDocument,
        coercer: Coercer<'d>,
    ) -> Self {
        Self {
            schema,
            checked,
            coercer,
        }
    }

    /// A document of `operation` alone.
    ///
    /// # Errors
    /// If an argument or a condition has no valid value.
    pub(super) fn document(
        mut self,
        operation: &'d Node<Operation>,
    ) -> Result<out::ExecutableDocument, Refusal> {
        let selections = &operation.selection_set;
        let items = self.selections(&selections.ty, &[selections])?;
        let pos = self.pos(operation.location());
        let definition = out::OperationDefinition {
            ty: operation_type(operation.operation_type),
            variable_definitions: Vec::new(),
            directives: Vec::new(),
            selection_set: Positioned::new(out::SelectionSet { items }, pos),
        };
        let definition = Positioned::new(definition, pos);
        let operations = match &operation.name {
            Some(name) => {
                out::DocumentOperations::Multiple([(OutName::new(name), definition)].into())
            }
            None => out::DocumentOperations::Single(definition),
        };
        Ok(out::ExecutableDocument {
            operations,
            fragments: HashMap::new(),
        })
    }

    fn selections(
        &mut self,
        ty: &'d Name,
        sets: &[&'d SelectionSet],
    ) -> Result<Vec<Selected>, Refusal> {
        let mut items = self.items(ty, sets)?;
        let is_leaf = sets.iter().all(|set| set.selections.is_empty());
        if !is_leaf && !items.first().is_some_and(is_field) {
            items.extend(self.left_empty(&items, ty));
        }
        Ok(items)
    }

    /// What `sets` select of an object that is a `ty`, which may be nothing. Fields come first.
    fn items(&mut self, ty: &'d Name, sets: &[&'d SelectionSet]) -> Result<Vec<Selected>, Refusal> {
        let mut collected = Collected::default();
        for set in sets {
            self.collect(ty, set, &mut collected)?;
        }
        let mut items = Vec::with_capacity(collected.fields.len());
        for nodes in collected.fields.values() {
            items.push(self.field(nodes)?);
        }
        for (condition, sets) in &collected.narrowed {
            let mut inner = self.items(condition, sets)?;
            inner.retain(|selected| !repeats(selected, &collected.fields));
            if !inner.is_empty() {
                items.push(narrowed(condition, inner));
            }
        }
        Ok(items)
    }

    /// Selects something for the object types that `ty` may turn out to be and of which `items` select nothing.
    /// async-graphql answers null for an object without fields, which reads as "no such document"; the name of the type
    /// is selected instead.
    fn left_empty(&self, items: &[Selected], ty: &'d Name) -> Vec<Selected> {
        let types = self.schema.types.iter();
        types
            .filter(|(name, definition)| definition.is_object() && self.is(ty, name))
            .filter(|(name, _)| !self.selects(items, name))
            .map(|(name, _)| match name == ty {
                true => typename(),
                false => narrowed(name, vec![typename()]),
            })
            .collect()
    }

    /// Whether `items` select a field of an object of the type `name`.
    fn selects(&self, items: &[Selected], name: &str) -> bool {
        items.iter().any(|item| match &item.node {
            out::Selection::InlineFragment(fragment) => {
                let fragment = &fragment.node;
                let condition = fragment.type_condition.as_ref();
                condition.is_none_or(|it| self.is(&it.node.on.node, name))
                    && self.selects(&fragment.selection_set.node.items, name)
            }
            _ => true,
        })
    }

    fn is(&self, general: &str, name: &str) -> bool {
        general == name || self.schema.is_subtype(general, name)
    }

    fn collect(
        &self,
        ty: &Name,
        set: &'d SelectionSet,
        into: &mut Collected<'d>,
    ) -> Result<(), Refusal> {
        for selection in &set.selections {
            if !self.is_included(selection)? {
                continue;
            }
            match selection {
                Selection::Field(field) => into
                    .fields
                    .entry(field.response_key())
                    .or_default()
                    .push(field),
                Selection::InlineFragment(fragment) => self.collect_inline(ty, fragment, into)?,
                Selection::FragmentSpread(spread) => {
                    let fragment = &self.checked.document.fragments[&spread.fragment_name];
                    self.collect_on(ty, fragment.type_condition(), &fragment.selection_set, into)?;
                }
            }
        }
        Ok(())
    }

    fn collect_inline(
        &self,
        ty: &Name,
        fragment: &'d InlineFragment,
        into: &mut Collected<'d>,
    ) -> Result<(), Refusal> {
        match &fragment.type_condition {
            Some(condition) => self.collect_on(ty, condition, &fragment.selection_set, into),
            None => self.collect(ty, &fragment.selection_set, into),
        }
    }

    /// A fragment that always applies to `ty` dissolves into it. One on a union becomes one on each
    /// of its members, because async-graphql asks an object for its interfaces only.
    fn collect_on(
        &self,
        ty: &Name,
        condition: &'d Name,
        set: &'d SelectionSet,
        into: &mut Collected<'d>,
    ) -> Result<(), Refusal> {
        if self.is(condition, ty) {
            return self.collect(ty, set, into);
        }
        match self.schema.types.get(condition) {
            Some(ExtendedType::Union(union)) => {
                for member in &union.members {
                    into.narrowed.entry(&member.name).or_default().push(set);
                }
            }
            _ => into.narrowed.entry(condition).or_default().push(set),
        }
        Ok(())
    }

    fn is_included(&self, selection: &Selection) -> Result<bool, Refusal> {
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

    /// One field from all selections of its response key. Validation has made their names and
    /// arguments agree, so that the first speaks for all.
    fn field(&mut self, nodes: &[&'d Node<Field>]) -> Result<Selected, Refusal> {
        let field = nodes[0];
        let sets: Vec<_> = nodes.iter().map(|node| &node.selection_set).collect();
        let mut arguments = Vec::with_capacity(field.definition.arguments.len());
        for definition in &field.definition.arguments {
            if let Some((value, pos)) = self.argument(definition, field)? {
                let name = Positioned::new(OutName::new(&definition.name), pos);
                arguments.push((name, Positioned::new(value.into_value(), pos)));
            }
        }
        let items = self.selections(field.ty().inner_named_type(), &sets)?;
        let pos = self.pos(field.location());
        let rebuilt = out::Field {
            alias: field
                .alias
                .as_ref()
                .map(|alias| Positioned::new(OutName::new(alias), pos)),
            name: Positioned::new(OutName::new(&field.name), pos),
            arguments,
            directives: Vec::new(),
            selection_set: Positioned::new(out::SelectionSet { items }, pos),
        };
        Ok(Positioned::new(
            out::Selection::Field(Positioned::new(rebuilt, pos)),
            pos,
        ))
    }

    fn argument(
        &mut self,
        definition: &'d InputValueDefinition,
        field: &'d Node<Field>,
    ) -> Result<Option<(Value, Pos)>, Refusal> {
        let given = field.specified_argument_by_name(&definition.name);
        let location = given
            .and_then(|literal| literal.location())
            .or(field.location());
        let value = self.coercer.argument(definition, given, location)?;
        Ok(value.map(|value| (value, self.pos(location))))
    }

    fn pos(&self, span: Option<SourceSpan>) -> Pos {
        self.checked
            .positions
            .of(span)
            .map(Pos::from)
            .unwrap_or_default()
    }
}

/// Whether a leaf of a narrower fragment is selected around it already; it would be resolved twice.
fn repeats(selected: &Selected, around: &IndexMap<&str, Vec<&Node<Field>>>) -> bool {
    match &selected.node {
        out::Selection::Field(field) => {
            field.node.selection_set.node.items.is_empty()
                && around.contains_key(field.node.response_key().node.as_str())
        }
        _ => false,
    }
}

fn is_field(selected: &Selected) -> bool {
    matches!(selected.node, out::Selection::Field(_))
}

fn typename() -> Selected {
    let pos = Pos::default();
    let field = out::Field {
        alias: None,
        name: Positioned::new(OutName::new("__typename"), pos),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::default(),
    };
    Positioned::new(out::Selection::Field(Positioned::new(field, pos)), pos)
}

fn narrowed(condition: &Name, items: Vec<Selected>) -> Selected {
    let pos = items[0].pos;
    let fragment = out::InlineFragment {
        type_condition: Some(Positioned::new(
            out::TypeCondition {
                on: Positioned::new(OutName::new(condition), pos),
            },
            pos,
        )),
        directives: Vec::new(),
        selection_set: Positioned::new(out::SelectionSet { items }, pos),
    };
    Positioned::new(
        out::Selection::InlineFragment(Positioned::new(fragment, pos)),
        pos,
    )
}

fn operation_type(operation: OperationType) -> out::OperationType {
    match operation {
        OperationType::Query => out::OperationType::Query,
        OperationType::Mutation => out::OperationType::Mutation,
        OperationType::Subscription => out::OperationType::Subscription,
    }
}
