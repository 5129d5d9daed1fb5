//! Checks that apollo-compiler 1.33 does not make of the input written in a document: variables inside lists, objects
//! and custom scalars, duplicate fields, `@oneOf`. All operations are checked, and all of each, whatever is chosen or
//! skipped. `coerce.rs` makes values of variables exact.

use std::collections::HashSet;

use apollo_compiler::{
    ExecutableDocument, Name, Node, Schema,
    ast::{self, Value as Literal},
    executable::{Operation, Selection, SelectionSet, VariableDefinition},
    schema::{ExtendedType, InputValueDefinition, Type},
};

use super::{RequestError, RequestErrorKind, document::LineIndex, value::InputPath};

/// Checks all literals of a document that is otherwise valid.
pub(super) fn check(
    schema: &Schema,
    document: &ExecutableDocument,
    positions: &LineIndex,
) -> Vec<RequestError> {
    let mut found = Vec::new();
    for operation in document.operations.iter() {
        let mut check = LiteralCheck {
            schema,
            document,
            positions,
            operation,
            visited: HashSet::new(),
            found: &mut found,
        };
        check.operation();
    }
    found
}

/// The expected value of a place.
#[derive(Clone, Copy)]
struct ExpectedType<'t> {
    ty: &'t Type,
    has_default: bool,
    /// The place is the field of a `@oneOf` object.
    one_of: bool,
}

struct LiteralCheck<'d, 'f> {
    schema: &'d Schema,
    document: &'d ExecutableDocument,
    positions: &'d LineIndex,
    /// The operation whose variables are checked.
    operation: &'d Operation,
    /// Fragments are visited once for each operation.
    visited: HashSet<&'d Name>,
    found: &'f mut Vec<RequestError>,
}

impl<'d> LiteralCheck<'d, '_> {
    fn operation(&mut self) {
        self.directives(&self.operation.directives);
        for variable in &self.operation.variables {
            if let Some(default) = &variable.default_value {
                let place = InputPath::variable(&variable.name);
                self.value(ExpectedType::item(&variable.ty), default, &place);
            }
        }
        self.selections(&self.operation.selection_set);
    }

    fn selections(&mut self, set: &'d SelectionSet) {
        for selection in &set.selections {
            self.directives(selection.directives());
            match selection {
                Selection::Field(field) => {
                    self.arguments(&field.definition.arguments, &field.arguments);
                    self.selections(&field.selection_set);
                }
                Selection::InlineFragment(fragment) => self.selections(&fragment.selection_set),
                Selection::FragmentSpread(spread) => self.fragment(&spread.fragment_name),
            }
        }
    }

    fn fragment(&mut self, name: &'d Name) {
        if self.visited.insert(name)
            && let Some(fragment) = self.document.fragments.get(name)
        {
            self.directives(&fragment.directives);
            self.selections(&fragment.selection_set);
        }
    }

    fn directives(&mut self, directives: &'d ast::DirectiveList) {
        for directive in directives.iter() {
            if let Some(definition) = self.schema.directive_definitions.get(&directive.name) {
                self.arguments(&definition.arguments, &directive.arguments);
            }
        }
    }

    fn arguments(
        &mut self,
        definitions: &'d [Node<InputValueDefinition>],
        given: &'d [Node<ast::Argument>],
    ) {
        for argument in given {
            let definition = definitions.iter().find(|it| it.name == argument.name);
            if let Some(definition) = definition {
                let place = InputPath::argument(&argument.name);
                self.value(ExpectedType::of(definition, false), &argument.value, &place);
            }
        }
    }

    fn value(
        &mut self,
        expected: ExpectedType<'_>,
        literal: &'d Node<Literal>,
        place: &InputPath<'_>,
    ) {
        let named = self.schema.types.get(expected.ty.inner_named_type());
        match (&**literal, expected.ty, named) {
            (Literal::Variable(name), ..) => self.variable(name, Some(expected), literal, place),
            (Literal::List(items), Type::List(item) | Type::NonNullList(item), _) => {
                for (index, literal) in items.iter().enumerate() {
                    self.value(ExpectedType::item(item), literal, &place.item(index));
                }
            }
            // A custom scalar accepts lists. The items are as it is, as in graphql-js.
            (Literal::List(items), ty, _) => {
                let item = ty.clone().nullable();
                for (index, literal) in items.iter().enumerate() {
                    self.value(ExpectedType::item(&item), literal, &place.item(index));
                }
            }
            (Literal::Object(fields), _, Some(ExtendedType::InputObject(object))) => {
                let one_of = object.directives.has("oneOf");
                self.unique_fields(fields, place);
                if one_of {
                    self.one_of(fields, &object.name, literal, place);
                }
                for (name, literal) in fields {
                    if let Some(field) = object.fields.get(name) {
                        self.value(ExpectedType::of(field, one_of), literal, &place.field(name));
                    }
                }
            }
            _ => self.inside_custom(literal, place),
        }
    }

    /// Inside an object for a custom scalar there is no type to compare.
    fn inside_custom(&mut self, literal: &'d Node<Literal>, place: &InputPath<'_>) {
        match &**literal {
            Literal::Variable(name) => self.variable(name, None, literal, place),
            Literal::List(items) => {
                for (index, literal) in items.iter().enumerate() {
                    self.inside_custom(literal, &place.item(index));
                }
            }
            Literal::Object(fields) => {
                self.unique_fields(fields, place);
                for (name, literal) in fields {
                    self.inside_custom(literal, &place.field(name));
                }
            }
            _ => {}
        }
    }

    fn variable(
        &mut self,
        name: &Name,
        expected: Option<ExpectedType<'_>>,
        literal: &Node<Literal>,
        place: &InputPath<'_>,
    ) {
        let mut definitions = self.operation.variables.iter();
        match definitions.find(|definition| definition.name == *name) {
            None => self.refuse(
                literal,
                place,
                &format!("cannot take `${name}`: it is not declared"),
            ),
            Some(definition) if expected.is_some_and(|it| !it.takes(definition)) => {
                self.refuse(
                    literal,
                    place,
                    &format!("cannot take `${name}`: the types differ"),
                );
            }
            Some(_) => {}
        }
    }

    /// Input fields are unique (5.6.3).
    fn unique_fields(&mut self, fields: &'d [(Name, Node<Literal>)], place: &InputPath<'_>) {
        let mut seen = HashSet::new();
        for (name, literal) in fields {
            if !seen.insert(name) {
                self.refuse(literal, &place.field(name), "is given more than once");
            }
        }
    }

    fn one_of(
        &mut self,
        fields: &'d [(Name, Node<Literal>)],
        object: &Name,
        literal: &Node<Literal>,
        place: &InputPath<'_>,
    ) {
        match fields {
            [(name, value)] if value.is_null() => {
                self.refuse(
                    value,
                    &place.field(name),
                    "is the one field given and cannot be null",
                );
            }
            [_] => {}
            _ => {
                let count = fields.len();
                let problem = format!("takes exactly one field of {object}, not {count}");
                self.refuse(literal, place, &problem);
            }
        }
    }

    fn refuse(&mut self, literal: &Node<Literal>, place: &InputPath<'_>, problem: &str) {
        let refusal = place.refuse(RequestErrorKind::Validation, problem);
        self.found
            .push(refusal.at(self.positions.of(literal.location())));
    }
}

impl<'t> ExpectedType<'t> {
    fn of(definition: &'t InputValueDefinition, one_of: bool) -> Self {
        Self {
            ty: &definition.ty,
            has_default: definition.default_value.is_some(),
            one_of,
        }
    }

    fn item(ty: &'t Type) -> Self {
        Self {
            ty,
            has_default: false,
            one_of: false,
        }
    }

    /// Variables are allowed in their places (5.8.5). In a `@oneOf` they are non-null, whatever their default: null
    /// could still be given.
    fn takes(self, definition: &VariableDefinition) -> bool {
        let default = definition.default_value.as_ref();
        let never_null = definition.ty.is_non_null()
            || default.is_some_and(|default| !default.is_null())
            || self.has_default;
        let nulls_are_kept_out = match self.one_of {
            true => definition.ty.is_non_null(),
            false => !self.ty.is_non_null() || never_null,
        };
        nulls_are_kept_out && definition.ty.is_assignable_to(&self.ty.clone().nullable())
    }
}
