//! The limits of a document, and the meter that checks them before validation. `coerce.rs` checks the limits on values
//! of variables, `cost.rs` those on answers, and `http/` the size of a body.

use std::collections::HashMap;

use apollo_compiler::{
    Name, Node,
    ast::{self, Definition, DirectiveList, Selection, Value},
    parser::SourceSpan,
};

use super::{RequestError, RequestErrorKind, document::LineIndex};
use crate::limits::Limits;

/// How often one operation can use the value of each variable.
pub(super) type VariableUses<'d> = HashMap<&'d str, usize>;

/// The weight of a mention that may be visited more than once.
const SEVERAL: usize = 2;

/// Operations that are refused, by name, with the reason. Others of the same document may be executed.
pub(super) type RefusedOperations = HashMap<Option<Name>, RequestError>;

/// The reason if all of these operations are refused.
pub(super) fn all_refused<'n>(
    operations: impl Iterator<Item = &'n Option<Name>>,
    refused: &RefusedOperations,
) -> Option<RequestError> {
    let refusals: Option<Vec<&RequestError>> = operations.map(|name| refused.get(name)).collect();
    refusals?.first().map(|refusal| (*refusal).clone())
}

/// What [`measure`] finds.
pub(super) struct Measure<'d> {
    /// The most mentions of each variable in an operation. A mention in a fragment, inline ones included, or below the
    /// root counts as several, because it may be visited again: for another spread, or for another type of object.
    pub(super) mentions: VariableUses<'d>,
    /// Operations that exceed their limits.
    pub(super) refused: RefusedOperations,
}

/// Checks `document` against the limits on documents, and each of its operations against those on operations. Each
/// fragment is measured once.
///
/// # Errors
/// The first limit exceeded by the document or by all of its operations, or a fragment that spreads itself.
pub(super) fn measure<'d>(
    document: &'d ast::Document,
    limits: &'d Limits,
    positions: &'d LineIndex,
) -> Result<Measure<'d>, RequestError> {
    let mut meter = ComplexityMeter {
        limits,
        positions,
        fragments: HashMap::new(),
        mentions: HashMap::new(),
    };
    for definition in &document.definitions {
        if let Definition::FragmentDefinition(fragment) = definition {
            meter
                .fragments
                .entry(fragment.name.as_str())
                .or_insert(FragmentState::Not(fragment));
        }
    }
    let mut mentions = VariableUses::new();
    let mut refused = RefusedOperations::new();
    let mut operations = Vec::new();
    let mut total = DocumentSize::default();
    for definition in &document.definitions {
        match definition {
            Definition::OperationDefinition(operation) => {
                let size = meter.operation(operation)?;
                total.nodes = total.nodes.saturating_add(size.nodes);
                meter.within(total, operation.location())?;
                operations.push(&operation.name);
                if let Err(refusal) = meter.of_operation(size, operation.location()) {
                    refused.insert(operation.name.clone(), refusal);
                }
            }
            Definition::FragmentDefinition(fragment) => {
                meter.fragment(&fragment.name, 0, fragment.location())?;
            }
            _ => {}
        }
        for (name, count) in meter.mentions.drain() {
            let most = mentions.entry(name).or_default();
            *most = count.max(*most);
        }
    }
    match all_refused(operations.into_iter(), &refused) {
        Some(refusal) => Err(refusal),
        None => Ok(Measure { mentions, refused }),
    }
}

/// What a limit counts, of what, and the setting that a refusal names.
struct Bounded {
    of: &'static str,
    counted: &'static str,
    setting: &'static str,
}

impl Bounded {
    const fn of_operation(counted: &'static str, setting: &'static str) -> Self {
        Self {
            of: "the operation",
            counted,
            setting,
        }
    }
}

const NODES: Bounded = Bounded {
    of: "the document",
    counted: "fields, directives and values",
    setting: "limits.query_nodes",
};
const ALIASES: Bounded = Bounded::of_operation("aliases", "limits.query_aliases");
const DIRECTIVES: Bounded = Bounded::of_operation("directives", "limits.query_directives");
const DEPTH: Bounded = Bounded::of_operation("levels of selections", "limits.query_depth");
const ROOT_FIELDS: Bounded = Bounded::of_operation("root fields", "limits.query_roots");

/// The size of a piece of a document with its fragments expanded.
#[derive(Clone, Copy, Default)]
struct DocumentSize {
    nodes: usize,
    aliases: usize,
    directives: usize,
    root_fields: usize,
    depth: usize,
}

impl DocumentSize {
    /// The size of two pieces together.
    fn and(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(other.nodes),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
            root_fields: self.root_fields.saturating_add(other.root_fields),
            depth: self.depth.max(other.depth),
        }
    }
}

enum FragmentState<'d> {
    Not(&'d Node<ast::FragmentDefinition>),
    Now,
    Done(DocumentSize),
}

struct ComplexityMeter<'d> {
    limits: &'d Limits,
    positions: &'d LineIndex,
    fragments: HashMap<&'d str, FragmentState<'d>>,
    mentions: VariableUses<'d>,
}

impl<'d> ComplexityMeter<'d> {
    fn operation(
        &mut self,
        operation: &'d Node<ast::OperationDefinition>,
    ) -> Result<DocumentSize, RequestError> {
        let mut size = self.directives(&operation.directives, 1);
        for variable in &operation.variables {
            size = size.and(self.directives(&variable.directives, 1));
        }
        let location = operation.location();
        let size = size.and(self.selections(&operation.selection_set, 1, 1, location)?);
        self.within(size, location)
    }

    /// `level` counts the selection sets around these selections, themselves included. It also bounds this recursion.
    fn selections(
        &mut self,
        selections: &'d [Selection],
        level: usize,
        weight: usize,
        around: Option<SourceSpan>,
    ) -> Result<DocumentSize, RequestError> {
        if level > self.limits.query_depth {
            return Err(self.beyond(&DEPTH, self.limits.query_depth, around));
        }
        let mut size = DocumentSize {
            depth: 1,
            ..DocumentSize::default()
        };
        for selection in selections {
            let one = self.selection(selection, level, weight)?;
            size = self.within(size.and(one), selection.location())?;
        }
        Ok(size)
    }

    fn selection(
        &mut self,
        selection: &'d Selection,
        level: usize,
        weight: usize,
    ) -> Result<DocumentSize, RequestError> {
        let location = selection.location();
        match selection {
            Selection::Field(field) => {
                let own = self.field(field, weight);
                if field.selection_set.is_empty() {
                    return Ok(own);
                }
                let inner = self.selections(&field.selection_set, level + 1, SEVERAL, location)?;
                Ok(own.and(DocumentSize {
                    root_fields: 0,
                    depth: inner.depth + 1,
                    ..inner
                }))
            }
            Selection::InlineFragment(fragment) => {
                let own = self.directives(&fragment.directives, weight);
                let inner =
                    self.selections(&fragment.selection_set, level + 1, SEVERAL, location)?;
                Ok(own.and(DocumentSize {
                    depth: inner.depth + 1,
                    ..inner
                }))
            }
            Selection::FragmentSpread(spread) => {
                let own = self.directives(&spread.directives, weight);
                let inner = self.fragment(&spread.fragment_name, level, location)?;
                if level + inner.depth > self.limits.query_depth {
                    return Err(self.beyond(&DEPTH, self.limits.query_depth, location));
                }
                Ok(own.and(DocumentSize {
                    depth: inner.depth + 1,
                    ..inner
                }))
            }
        }
    }

    fn field(&mut self, field: &'d ast::Field, weight: usize) -> DocumentSize {
        let mut size = self.directives(&field.directives, weight);
        size.root_fields = 1;
        size.aliases += usize::from(field.alias.is_some());
        size.nodes += 1 + self.values(&field.arguments, weight);
        size
    }

    fn directives(&mut self, directives: &'d DirectiveList, weight: usize) -> DocumentSize {
        let nodes = directives
            .iter()
            .map(|directive| 1 + self.values(&directive.arguments, weight))
            .sum();
        DocumentSize {
            nodes,
            directives: directives.len(),
            ..DocumentSize::default()
        }
    }

    fn values(&mut self, arguments: &'d [Node<ast::Argument>], weight: usize) -> usize {
        arguments
            .iter()
            .map(|argument| self.value(&argument.value, weight))
            .sum()
    }

    /// The number of values in `value`, itself included. The parser has bounded their nesting.
    fn value(&mut self, value: &'d Value, weight: usize) -> usize {
        match value {
            Value::Variable(name) => {
                *self.mentions.entry(name.as_str()).or_default() += weight;
                1
            }
            Value::List(items) => items
                .iter()
                .fold(1, |sum, item| sum + self.value(item, weight)),
            Value::Object(fields) => fields
                .iter()
                .fold(1, |sum, (_, value)| sum + self.value(value, weight)),
            _ => 1,
        }
    }

    /// An unknown fragment weighs nothing here; validation reports it.
    fn fragment(
        &mut self,
        name: &'d str,
        level: usize,
        from: Option<SourceSpan>,
    ) -> Result<DocumentSize, RequestError> {
        let Some(measured) = self.fragments.get_mut(name) else {
            return Ok(DocumentSize::default());
        };
        match std::mem::replace(measured, FragmentState::Now) {
            FragmentState::Not(fragment) => {
                let own = self.directives(&fragment.directives, SEVERAL);
                let inner = self.selections(
                    &fragment.selection_set,
                    level + 1,
                    SEVERAL,
                    fragment.location(),
                )?;
                let size = own.and(inner);
                self.fragments.insert(name, FragmentState::Done(size));
                Ok(size)
            }
            FragmentState::Done(size) => {
                self.fragments.insert(name, FragmentState::Done(size));
                Ok(size)
            }
            FragmentState::Now => Err(RequestError::new(
                RequestErrorKind::Validation,
                format!("fragment `{name}` spreads itself, directly or through others"),
            )
            .at(self.positions.of(from))),
        }
    }

    /// Checks a piece against the limits of the whole document.
    fn within(
        &self,
        size: DocumentSize,
        location: Option<SourceSpan>,
    ) -> Result<DocumentSize, RequestError> {
        let max = self.limits.query_nodes;
        if size.nodes > max {
            return Err(self.beyond(&NODES, max, location));
        }
        Ok(size)
    }

    fn of_operation(
        &self,
        size: DocumentSize,
        location: Option<SourceSpan>,
    ) -> Result<(), RequestError> {
        let limits = self.limits;
        for (bounded, count, max) in [
            (&ROOT_FIELDS, size.root_fields, limits.query_roots),
            (&ALIASES, size.aliases, limits.query_aliases),
            (&DIRECTIVES, size.directives, limits.query_directives),
        ] {
            if count > max {
                return Err(self.beyond(bounded, max, location));
            }
        }
        Ok(())
    }

    fn beyond(&self, bounded: &Bounded, max: usize, location: Option<SourceSpan>) -> RequestError {
        let Bounded {
            of,
            counted,
            setting,
        } = bounded;
        let message = format!("{of} has more than {max} {counted}, fragments expanded ({setting})");
        RequestError::new(RequestErrorKind::Limit, message).at(self.positions.of(location))
    }
}
