//! Rebuilds a selection as async-graphql reads it: conditions applied, fragments dissolved, fields
//! of one response key merged, arguments constant. Only execution knows an object's type, so where
//! that makes a difference there is a fragment for each object type.

use std::collections::HashMap;

use apollo_compiler::executable::{Field, Operation, OperationType, Selection, SelectionSet};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::InputValueDefinition;
use apollo_compiler::{Name, Node, Schema};
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types as out;
use async_graphql::{Name as OutName, Pos, Positioned};
use async_graphql_value::Value;

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

/// The fields that an object is asked for, in the order of their first appearance.
#[derive(Default)]
struct Collected<'d> {
    fields: IndexMap<&'d str, Vec<&'d Node<Field>>>,
    /// Whether some of what is selected is left out, because not all objects of the type have it.
    is_narrowed: bool,
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

    /// What `sets` select of an object that is a `ty`. Where its object types differ in that, each has a fragment with all
    /// of its fields: so they stand in their order, and none is resolved twice.
    fn selections(
        &mut self,
        ty: &'d Name,
        sets: &[&'d SelectionSet],
    ) -> Result<Vec<Selected>, Refusal> {
        let collected = self.collected(ty, sets)?;
        if !collected.is_narrowed {
            return self.fields(&collected);
        }
        let mut items = Vec::new();
        for object in self.object_types(ty) {
            let fields = self.fields(&self.collected(object, sets)?)?;
            if !fields.is_empty() {
                items.push(narrowed(object, fields));
            }
        }
        Ok(items)
    }

    fn fields(&mut self, collected: &Collected<'d>) -> Result<Vec<Selected>, Refusal> {
        let fields = collected.fields.values();
        fields.map(|nodes| self.field(nodes)).collect()
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

    fn collected(&self, ty: &Name, sets: &[&'d SelectionSet]) -> Result<Collected<'d>, Refusal> {
        let mut collected = Collected::default();
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
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.type_condition.as_ref();
                    self.collect_on(ty, condition.unwrap_or(ty), &fragment.selection_set, into)?;
                }
                Selection::FragmentSpread(spread) => {
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
        into: &mut Collected<'d>,
    ) -> Result<(), Refusal> {
        if self.is(condition, ty) {
            return self.collect(ty, set, into);
        }
        into.is_narrowed = true;
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
                arguments.push((name, Positioned::new(value, pos)));
            }
        }
        let items = self.below(field.ty().inner_named_type(), &sets)?;
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

    /// What is selected below a field, which for a leaf is nothing.
    fn below(&mut self, ty: &'d Name, sets: &[&'d SelectionSet]) -> Result<Vec<Selected>, Refusal> {
        if sets.iter().all(|set| set.selections.is_empty()) {
            return Ok(Vec::new());
        }
        let mut items = vec![tag()];
        items.extend(self.selections(ty, sets)?);
        Ok(items)
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

/// The key under which each object below the root tells its type, for `complete.rs`. No client can ask for it.
pub(crate) const TAG: &str = "$type";

fn tag() -> Selected {
    let pos = Pos::default();
    let field = out::Field {
        alias: Some(Positioned::new(OutName::new(TAG), pos)),
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
