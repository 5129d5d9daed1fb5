//! `__schema` and `__type`, which async-graphql answers: their selections in its form, and its answers in the form of
//! the selections.

use async_graphql::{
    Name, Positioned, Value,
    parser::types::{Field, Selection, SelectionSet},
};

use super::{
    execution::placed,
    render::{Key, RenderResult, Text, fields_of},
    request::{OperationArguments, SelectedField, SubSelection},
};

/// Such a field with its arguments and its selection.
pub(super) fn field(
    field: &SelectedField,
    arguments: &mut OperationArguments,
) -> Positioned<Selection> {
    let values = field.slot.map(|slot| arguments.take(slot));
    let values = values.into_iter().flatten();
    placed(Selection::Field(placed(Field {
        alias: Some(placed(Name::new(&field.key))),
        name: placed(Name::new(&field.name)),
        arguments: values
            .map(|(name, value)| (placed(name), placed(value.into_value())))
            .collect(),
        directives: Vec::new(),
        selection_set: placed(below(&field.below, arguments)),
    })))
}

/// If nothing is selected of an object, selects the name of its type: the engine answers null for an object without
/// fields.
fn below(below: &SubSelection, arguments: &mut OperationArguments) -> SelectionSet {
    let fields = fields_of(below, "");
    let mut items: Vec<_> = fields.iter().map(|of| field(of, arguments)).collect();
    if items.is_empty() && !matches!(below, SubSelection::Leaf) {
        items.push(placed(Selection::Field(placed(Field {
            alias: None,
            name: placed(Name::new("__typename")),
            arguments: Vec::new(),
            directives: Vec::new(),
            selection_set: Positioned::default(),
        }))));
    }
    SelectionSet { items }
}

/// What every API is, for its readers.
pub(super) const SCHEMA_DESCRIPTION: &str = "\
The API of a Tidegate gateway, which keeps devices in step with its documents. `changesSince` brings pages of changes with \
a checkpoint to go on from, and `changes` follows them. `pushChanges` sends edits; each has an outcome of its own, and a \
conflict is an outcome, not an error. `conflicts` has those that wait for a person, and `resolveConflict` settles one.";

/// Writes the engine's answer to `field`.
pub(super) fn write(value: &Value, field: &SelectedField, text: &mut Text) -> RenderResult {
    match (&field.below, value) {
        (SubSelection::Leaf, value) => text.json(value),
        (_, Value::List(items)) => {
            return text.list(items, |text, item| write(item, field, text));
        }
        (below, Value::Object(values)) => {
            let fields = fields_of(below, "").iter();
            let parts: Vec<_> = fields.map(|field| (Key::new(&field.key), field)).collect();
            return text.object(&parts, |text, _, inner| {
                // The engine describes the type `__Schema` here.
                if field.name == "__schema" && inner.name == "description" {
                    text.string(SCHEMA_DESCRIPTION);
                    return Ok(());
                }
                match values.get(inner.key.as_str()) {
                    Some(value) => write(value, inner, text),
                    None => text.nothing(),
                }
            });
        }
        _ => text.null(),
    }
    Ok(())
}
