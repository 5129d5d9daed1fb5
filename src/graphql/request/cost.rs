//! What an exact operation may cost: how many fields it has answered at most, and how many bytes of documents it copies.
//! Both are bounded before anything is executed; what documents hold is not known here, nor what they refer to.

use std::collections::HashMap;

use apollo_compiler::Schema;
use apollo_compiler::ast::OperationType;
use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType as Parsed, Selection,
    SelectionSet,
};
use async_graphql_value::Value;
use tidegate_core::decide::DOCUMENT_BYTES_MAX;

use super::limits::DoorLimits;
use super::{Refusal, RefusalKind};

/// Holds an operation as the selector has made it to the limits on documents times fields, and on the bytes that its
/// documents may come to: a text of 4 MiB asked for under a hundred names would make an answer of 400.
///
/// # Errors
/// The limit that it passes.
pub(super) fn check(
    schema: &Schema,
    document: &ExecutableDocument,
    limits: &DoorLimits,
) -> Result<(), Refusal> {
    let scale = Scale { schema, limits };
    let operations = document.operations.iter();
    let (cost, bytes) = operations
        .map(|(_, operation)| scale.operation(&operation.node))
        .fold((0, 0), sum);
    let refuse = |message| Err(Refusal::new(RefusalKind::Limit, message));
    let (cost_max, bytes_max) = (limits.cost_max, limits.answer_bytes_max);
    if cost > cost_max {
        return refuse(format!(
            "the operation may cost {cost}, which is documents times fields, and no more than {cost_max} is allowed (limits.query_cost); ask for fewer at a time"
        ));
    }
    if bytes > bytes_max {
        return refuse(format!(
            "the operation may answer with {bytes} bytes of documents, and no more than {bytes_max} are allowed (limits.answer_bytes); ask for each field once, or for fewer documents at a time"
        ));
    }
    Ok(())
}

struct Scale<'s> {
    schema: &'s Schema,
    limits: &'s DoorLimits,
}

/// What one document comes to.
#[derive(Clone, Copy)]
struct Weight {
    /// Fields answered.
    fields: usize,
    /// How often a part of the document is in the answer, at most.
    copies: usize,
}

/// The fields that apply to objects of one type: how many are answered, and how often each is.
#[derive(Default)]
struct Tally<'d> {
    fields: usize,
    copies: HashMap<&'d str, usize>,
}

impl Scale<'_> {
    fn operation(&self, operation: &OperationDefinition) -> (usize, usize) {
        let Some(root) = self.schema.root_operation(compiler_type(operation.ty)) else {
            return (0, 0);
        };
        let items = &operation.selection_set.node.items;
        let fields = items.iter().filter_map(|item| match &item.node {
            Selection::Field(field) => Some(&field.node),
            _ => None,
        });
        fields
            .map(|field| self.root_field(root, field))
            .fold((0, 0), sum)
    }

    fn root_field(&self, root: &str, field: &Field) -> (usize, usize) {
        let documents = self.documents(field);
        let weight = self.field(root, field, documents);
        if field.selection_set.node.items.is_empty() {
            return (weight.fields, 0);
        }
        let whole = documents.saturating_mul(DOCUMENT_BYTES_MAX);
        // A page ends with the document that fills it.
        let page = self.limits.page_bytes_max + DOCUMENT_BYTES_MAX;
        (weight.fields, weight.copies.saturating_mul(whole.min(page)))
    }

    /// How many documents a field at the root answers with: a page says it by an argument, and a push has an outcome for
    /// each change. What is out of bounds is refused where it is executed.
    fn documents(&self, field: &Field) -> usize {
        let said = field.arguments.iter().find_map(|(name, value)| {
            match (name.node.as_str(), &value.node) {
                ("limit" | "first", Value::Number(number)) => Some(number.as_u64().unwrap_or(0)),
                ("input", Value::Object(input)) => match input.get("changes") {
                    Some(Value::List(changes)) => Some(changes.len() as u64),
                    _ => None,
                },
                _ => None,
            }
        });
        let said = said.map_or(1, |count| usize::try_from(count).unwrap_or(usize::MAX));
        said.clamp(1, self.limits.page_changes_max)
    }

    /// `documents` is what the first list of objects on the way down has; lists inside a document are bounded with it.
    fn field(&self, parent: &str, field: &Field, documents: usize) -> Weight {
        let selected = &field.selection_set.node;
        let definition = self.schema.type_field(parent, &field.name.node);
        let (Ok(definition), false) = (definition, selected.items.is_empty()) else {
            return Weight {
                fields: 1,
                copies: 1,
            };
        };
        let is_list = definition.ty.is_list();
        let (times, below) = if is_list {
            (documents, 1)
        } else {
            (1, documents)
        };
        let inner = self.set(definition.ty.inner_named_type(), selected, below);
        Weight {
            fields: inner.fields.saturating_mul(times).saturating_add(1),
            copies: inner.copies,
        }
    }

    /// The heaviest object that the selections may be answered with: a document is of one type, whose fragment applies.
    fn set(&self, ty: &str, selected: &SelectionSet, documents: usize) -> Weight {
        let (mut of_all, mut of_one) = (Tally::default(), HashMap::new());
        self.tally(ty, selected, documents, &mut of_all, &mut of_one);
        of_one
            .values()
            .map(|own| of_all.with(own))
            .fold(of_all.weight(), Weight::max)
    }

    fn tally<'d>(
        &self,
        ty: &str,
        selected: &'d SelectionSet,
        documents: usize,
        of_all: &mut Tally<'d>,
        of_one: &mut HashMap<&'d str, Tally<'d>>,
    ) {
        for item in &selected.items {
            match &item.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    of_all.add(&field.name.node, self.field(ty, field, documents));
                }
                Selection::InlineFragment(fragment) => {
                    let fragment = &fragment.node;
                    let condition = fragment.type_condition.as_ref();
                    let on = condition.map_or(ty, |it| it.node.on.node.as_str());
                    let inner = &fragment.selection_set.node;
                    match condition.filter(|_| self.schema.get_object(on).is_some()) {
                        Some(own) => {
                            let mut tally =
                                of_one.remove(own.node.on.node.as_str()).unwrap_or_default();
                            // What is selected there on other types still applies to nothing.
                            self.tally(on, inner, documents, &mut tally, &mut HashMap::new());
                            of_one.insert(own.node.on.node.as_str(), tally);
                        }
                        None => self.tally(on, inner, documents, of_all, of_one),
                    }
                }
                Selection::FragmentSpread(_) => {}
            }
        }
    }
}

impl<'d> Tally<'d> {
    fn add(&mut self, name: &'d str, weight: Weight) {
        self.fields = self.fields.saturating_add(weight.fields);
        let copies = self.copies.entry(name).or_default();
        *copies = copies.saturating_add(weight.copies);
    }

    fn weight(&self) -> Weight {
        Weight {
            fields: self.fields,
            copies: self.copies.values().copied().max().unwrap_or(0),
        }
    }

    fn with(&self, own: &Self) -> Weight {
        let twice = own.copies.iter().map(|(name, copies)| {
            let around = self.copies.get(name).copied().unwrap_or(0);
            copies.saturating_add(around)
        });
        Weight {
            fields: self.fields.saturating_add(own.fields),
            copies: twice.max().unwrap_or(0).max(self.weight().copies),
        }
    }
}

impl Weight {
    fn max(self, other: Self) -> Self {
        Self {
            fields: self.fields.max(other.fields),
            copies: self.copies.max(other.copies),
        }
    }
}

fn sum(one: (usize, usize), other: (usize, usize)) -> (usize, usize) {
    (one.0.saturating_add(other.0), one.1.saturating_add(other.1))
}

fn compiler_type(ty: Parsed) -> OperationType {
    match ty {
        Parsed::Query => OperationType::Query,
        Parsed::Mutation => OperationType::Mutation,
        Parsed::Subscription => OperationType::Subscription,
    }
}
