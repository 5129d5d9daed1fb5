//! Makes the documents that async-graphql executes of what an operation selects. What is executed is no business of this
//! module, nor how its answer is completed.

use std::collections::HashMap;

use async_graphql::{
    Name, Pos, Positioned, Request,
    parser::types::{
        DocumentOperations, ExecutableDocument, Field, InlineFragment, OperationDefinition,
        OperationType, Selection as Parsed, SelectionSet, TypeCondition,
    },
};

use super::request::{Admitted, Arguments, OperationKind, SelectedField, SubSelection};

/// The key under which each object below the root names its type, for `complete.rs`. No client can ask for it.
pub(super) const TAG: &str = "$type";

/// What async-graphql is given for one operation.
pub(super) struct Requests {
    /// Everything but what is asked of the schema itself.
    pub(super) executed: Request,
    /// What is asked of the schema itself, if anything.
    pub(super) introspection: Option<Request>,
}

impl Requests {
    pub(super) fn of(admitted: Admitted) -> Self {
        let mut bridge = Bridge(admitted.arguments);
        let fields = &admitted.selection.fields;
        let (of_schema, others): (Vec<_>, Vec<_>) =
            fields.iter().partition(|field| field.is_introspection());
        let kind = admitted.selection.kind;
        let introspection = (!of_schema.is_empty()).then(|| bridge.request(kind, of_schema));
        Self {
            executed: bridge.request(kind, others),
            introspection,
        }
    }
}

struct Bridge(Arguments);

impl Bridge {
    fn request(&mut self, kind: OperationKind, fields: Vec<&SelectedField>) -> Request {
        let ty = match kind {
            OperationKind::Query => OperationType::Query,
            OperationKind::Mutation => OperationType::Mutation,
            OperationKind::Subscription => OperationType::Subscription,
        };
        let items = fields.into_iter().map(|field| self.field(field)).collect();
        let definition = OperationDefinition {
            ty,
            variable_definitions: Vec::new(),
            directives: Vec::new(),
            selection_set: placed(SelectionSet { items }),
        };
        let mut request = Request::new(String::new());
        request.set_parsed_query(ExecutableDocument {
            operations: DocumentOperations::Single(placed(definition)),
            fragments: HashMap::new(),
        });
        request
    }

    fn field(&mut self, field: &SelectedField) -> Positioned<Parsed> {
        let at = field.position.0;
        let arguments = field.slot.map(|slot| self.0.take(slot));
        let arguments = arguments.into_iter().flatten();
        let rebuilt = Field {
            alias: (field.key != field.name).then(|| Positioned::new(Name::new(&field.key), at)),
            name: Positioned::new(Name::new(&field.name), at),
            arguments: arguments
                .map(|(name, value)| (placed(name), placed(value.into_value())))
                .collect(),
            directives: Vec::new(),
            selection_set: placed(self.below(&field.below)),
        };
        Positioned::new(Parsed::Field(Positioned::new(rebuilt, at)), at)
    }

    fn below(&mut self, below: &SubSelection) -> SelectionSet {
        let items: Vec<_> = match below {
            SubSelection::Leaf => return SelectionSet { items: Vec::new() },
            SubSelection::Any(fields) => fields.iter().map(|field| self.field(field)).collect(),
            SubSelection::ByType(types) => types
                .iter()
                .map(|(ty, fields)| self.narrowed(ty, fields))
                .collect(),
        };
        let items = std::iter::once(tag()).chain(items).collect();
        SelectionSet { items }
    }

    fn narrowed(&mut self, ty: &str, fields: &[SelectedField]) -> Positioned<Parsed> {
        let items = fields.iter().map(|field| self.field(field)).collect();
        placed(Parsed::InlineFragment(placed(InlineFragment {
            type_condition: Some(placed(TypeCondition {
                on: placed(Name::new(ty)),
            })),
            directives: Vec::new(),
            selection_set: placed(SelectionSet { items }),
        })))
    }
}

fn tag() -> Positioned<Parsed> {
    placed(Parsed::Field(placed(Field {
        alias: Some(placed(Name::new(TAG))),
        name: placed(Name::new("__typename")),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::default(),
    })))
}

fn placed<T>(node: T) -> Positioned<T> {
    Positioned::new(node, Pos::default())
}
