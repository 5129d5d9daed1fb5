//! What an admitted operation asks for, without its arguments: by this its answer is completed in `graphql/complete.rs`.
//! How the selections came to be is said in `select.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::{Name, Pos, Positioned};

use super::select::TAG;

/// One field of an answer.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    /// What the client calls it.
    pub(crate) key: Name,
    /// What the schema calls it.
    pub(crate) name: Name,
    pub(crate) pos: Pos,
    pub(crate) below: Below,
}

/// What is asked for below a field.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum Below {
    /// The same of every object, and nothing of a leaf.
    Any(Vec<Asked>),
    /// Of each type of object something else, and nothing of types that are not here.
    ByType(Vec<(Name, Vec<Asked>)>),
}

/// What the one operation of `document` asks for.
pub(super) fn of(document: &ExecutableDocument) -> Arc<[Asked]> {
    let operations = document.operations.iter();
    operations
        .flat_map(|(_, operation)| fields(&operation.node.selection_set.node))
        .collect()
}

fn fields(set: &SelectionSet) -> Vec<Asked> {
    let fields = set.items.iter().filter_map(|item| match &item.node {
        Selection::Field(field) => Some(&field.node),
        _ => None,
    });
    fields
        .filter(|field| field.response_key().node != TAG)
        .map(|field| Asked {
            key: field.response_key().node.clone(),
            name: field.name.node.clone(),
            pos: field.name.pos,
            below: below(&field.selection_set.node),
        })
        .collect()
}

fn below(set: &SelectionSet) -> Below {
    let by_type: Vec<_> = set.items.iter().filter_map(of_type).collect();
    if by_type.is_empty() {
        Below::Any(fields(set))
    } else {
        Below::ByType(by_type)
    }
}

fn of_type(selection: &Positioned<Selection>) -> Option<(Name, Vec<Asked>)> {
    let Selection::InlineFragment(fragment) = &selection.node else {
        return None;
    };
    let condition = fragment.node.type_condition.as_ref()?;
    let asked = fields(&fragment.node.selection_set.node);
    Some((condition.node.on.node.clone(), asked))
}

/// Takes out what a query asks of the schema itself, as a document of its own, if it does.
pub(super) fn take_introspection(document: &mut ExecutableDocument) -> Option<ExecutableDocument> {
    let operation = the_operation(document)?;
    let items = &mut operation.selection_set.node.items;
    let (taken, left) = std::mem::take(items)
        .into_iter()
        .partition(is_introspection);
    *items = left;
    let taken: Vec<_> = taken;
    if taken.is_empty() {
        return None;
    }
    let pos = operation.selection_set.pos;
    let definition = OperationDefinition {
        ty: OperationType::Query,
        variable_definitions: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::new(SelectionSet { items: taken }, pos),
    };
    Some(ExecutableDocument {
        operations: DocumentOperations::Single(Positioned::new(definition, pos)),
        fragments: HashMap::new(),
    })
}

/// The one operation of an admitted document.
pub(crate) fn the_operation(document: &mut ExecutableDocument) -> Option<&mut OperationDefinition> {
    let operation = match &mut document.operations {
        DocumentOperations::Single(operation) => operation,
        DocumentOperations::Multiple(named) => named.values_mut().next()?,
    };
    Some(&mut operation.node)
}

fn is_introspection(selection: &Positioned<Selection>) -> bool {
    let Selection::Field(field) = &selection.node else {
        return false;
    };
    matches!(field.node.name.node.as_str(), "__schema" | "__type")
}
