//! The cost of an exact operation: how many fields it answers at most, and how many bytes of documents it copies. Both
//! are bounded before execution. The content of documents is not known here, nor what they refer to.

use std::collections::HashMap;

use apollo_compiler::Schema;
use async_graphql::Value;
use tidegate_core::decide::DOCUMENT_BYTES_MAX;

use super::{
    RequestError, RequestErrorKind,
    selection::{OperationArguments, SelectedField, Selection, SubSelection},
};
use crate::limits::Limits;

/// Checks an operation against the limits on documents times fields, and on the bytes of its documents: a text of 4 MiB
/// selected under a hundred names would make an answer of 400.
///
/// # Errors
/// The limit that it exceeds.
pub(super) fn check(
    schema: &Schema,
    selection: &Selection,
    arguments: &OperationArguments,
    limits: &Limits,
) -> Result<(), RequestError> {
    let estimator = CostEstimator {
        schema,
        arguments,
        limits,
    };
    let root = selection.kind.root_type();
    let fields = selection.fields.iter();
    let (cost, bytes) = fields
        .map(|field| estimator.root_field(root, field))
        .fold((0, 0), sum);
    let refuse = |message| Err(RequestError::new(RequestErrorKind::Limit, message));
    let (cost_max, bytes_max) = (limits.query_cost, limits.answer_bytes);
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

/// Counting so many keys of an index costs as much as one field.
const KEYS_AS_FIELD: usize = 10;

struct CostEstimator<'s> {
    schema: &'s Schema,
    arguments: &'s OperationArguments,
    limits: &'s Limits,
}

/// The cost of one object.
#[derive(Clone, Copy, Default)]
struct FieldCost {
    /// Answered fields.
    fields: usize,
    /// The most copies of a part of a document in the answer.
    copies: usize,
}

impl CostEstimator<'_> {
    fn root_field(&self, root: &str, field: &SelectedField) -> (usize, usize) {
        let documents = self.documents(field);
        let cost = self.field(root, field, documents);
        if matches!(field.below, SubSelection::Leaf) {
            return (cost.fields, 0);
        }
        let whole = documents.saturating_mul(DOCUMENT_BYTES_MAX);
        // A page ends with the document that fills it.
        let page = self.limits.page_bytes + DOCUMENT_BYTES_MAX;
        (cost.fields, cost.copies.saturating_mul(whole.min(page)))
    }

    /// How many documents a root field answers with: an argument says it for a page, and a push has an outcome for each
    /// change. Execution refuses a value out of bounds.
    fn documents(&self, field: &SelectedField) -> usize {
        let arguments = field.slot.map(|slot| self.arguments.of(slot));
        let mut arguments = arguments.into_iter().flatten();
        let said = arguments.find_map(|(name, value)| match (name.as_str(), value) {
            ("limit" | "first", Value::Number(number)) => Some(number.as_u64().unwrap_or(0)),
            ("input", Value::Object(input)) => match input.get("changes") {
                Some(Value::List(changes)) => Some(changes.len() as u64),
                _ => None,
            },
            _ => None,
        });
        let said = said.map_or(1, |count| usize::try_from(count).unwrap_or(usize::MAX));
        said.clamp(1, self.limits.page_changes)
    }

    /// The number that an argument holds.
    fn argument(&self, field: &SelectedField, name: &str) -> Option<usize> {
        match self.arguments.of(field.slot?).get(name)? {
            Value::Number(number) => usize::try_from(number.as_u64()?).ok(),
            _ => None,
        }
    }

    /// `documents` is the number in the first list of objects on the way down. Lists inside a document are bounded with
    /// it.
    fn field(&self, parent: &str, field: &SelectedField, documents: usize) -> FieldCost {
        let leaf = FieldCost {
            fields: 1,
            copies: 1,
        };
        let definition = match self.schema.type_field(parent, &field.name) {
            Ok(definition) if !matches!(field.below, SubSelection::Leaf) => definition,
            _ => return leaf,
        };
        // A count examines as many keys of an index, which costs less than documents.
        let counted = match field.name.as_str() {
            "totalCount" => self.argument(field, "max").unwrap_or_default() / KEYS_AS_FIELD,
            _ => 0,
        };
        // A list of its own below another one multiplies.
        let documents = self
            .argument(field, "first")
            .map_or(documents, |first| first.clamp(1, self.limits.page_changes));
        let (times, below) = match definition.ty.is_list() {
            true => (documents, 1),
            false => (1, documents),
        };
        let object = self.object(definition.ty.inner_named_type(), &field.below, below);
        // An object counts as a field of its own, even if nothing of it is selected.
        let fields = object.fields.saturating_add(1).saturating_mul(times);
        FieldCost {
            fields: fields.saturating_add(1).saturating_add(counted),
            copies: object.copies.max(1),
        }
    }

    /// The most expensive object that may answer the selections.
    fn object(&self, ty: &str, below: &SubSelection, documents: usize) -> FieldCost {
        match below {
            SubSelection::Leaf => FieldCost::default(),
            SubSelection::Any(fields) => self.fields(ty, fields, documents),
            SubSelection::ByType(types) => types
                .iter()
                .map(|(ty, fields)| self.fields(ty, fields, documents))
                .fold(FieldCost::default(), FieldCost::max),
        }
    }

    fn fields(&self, ty: &str, fields: &[SelectedField], documents: usize) -> FieldCost {
        let mut total = FieldCost::default();
        let mut copies: HashMap<&str, usize> = HashMap::new();
        for field in fields {
            let cost = self.field(ty, field, documents);
            total.fields = total.fields.saturating_add(cost.fields);
            let copies = copies.entry(&field.name).or_default();
            *copies = copies.saturating_add(cost.copies);
            total.copies = total.copies.max(*copies);
        }
        total
    }
}

impl FieldCost {
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
