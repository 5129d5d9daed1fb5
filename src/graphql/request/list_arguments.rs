//! Whether merged fields agree in their lists: apollo-compiler 1.33 compares two list literals only up to the shorter
//! one's length, so that `push(changes: [])` would hide `push(changes: [{…}])`. It checks everything else about merging
//! well. So the same check runs again, with arguments that hold no lists.

use std::{collections::HashMap, fmt::Write as _};

use apollo_compiler::{
    Name, Schema,
    ast::{Definition, Document, Field, Selection, Value},
    schema::{ExtendedType, InputValueDefinition},
    ty,
    validation::{DiagnosticList, Valid},
};

/// Checks the arguments of merged fields as texts.
pub(super) struct MergeCheck {
    /// The schema with a String for each argument.
    schema: Valid<Schema>,
}

impl MergeCheck {
    pub(super) fn new(schema: &Valid<Schema>) -> Self {
        let mut schema = schema.clone().into_inner();
        for definition in schema.types.values_mut() {
            let fields = match definition {
                ExtendedType::Object(object) => &mut object.make_mut().fields,
                ExtendedType::Interface(interface) => &mut interface.make_mut().fields,
                _ => continue,
            };
            for field in fields.values_mut() {
                let arguments = field.make_mut().arguments.iter_mut();
                arguments.for_each(|argument| take_text(argument.make_mut()));
            }
        }
        Self {
            schema: Valid::assume_valid(schema),
        }
    }

    /// Checks a document that apollo-compiler considers valid.
    ///
    /// # Errors
    /// One diagnostic for each conflict.
    pub(super) fn check(&self, document: &Document) -> Result<(), DiagnosticList> {
        let mut rewritten = TextArguments::default();
        let mut document = document.clone();
        for definition in &mut document.definitions {
            rewritten.definition(definition);
        }
        // The check costs as much as validation itself.
        if !(rewritten.holds_lists && rewritten.differs) {
            return Ok(());
        }
        let executable = document.to_executable(&self.schema);
        let executable = executable.map_err(|invalid| invalid.errors)?;
        match executable.validate(&self.schema) {
            Ok(_) => Ok(()),
            Err(invalid) => Err(invalid.errors),
        }
    }
}

fn take_text(argument: &mut InputValueDefinition) {
    argument.ty = ty!(String).into();
    argument.default_value = None;
}

/// Turns arguments into texts, and drops variables and directives, which would then be wrong.
#[derive(Default)]
struct TextArguments {
    /// The arguments of each response key at its first place.
    first: HashMap<Name, Vec<String>>,
    holds_lists: bool,
    /// Whether the arguments of one response key differ anywhere, at one level or at several.
    differs: bool,
}

impl TextArguments {
    fn definition(&mut self, definition: &mut Definition) {
        match definition {
            Definition::OperationDefinition(operation) => {
                let operation = operation.make_mut();
                operation.variables.clear();
                operation.directives.clear();
                self.selections(&mut operation.selection_set);
            }
            Definition::FragmentDefinition(fragment) => {
                let fragment = fragment.make_mut();
                fragment.directives.clear();
                self.selections(&mut fragment.selection_set);
            }
            _ => {}
        }
    }

    fn selections(&mut self, selections: &mut [Selection]) {
        for selection in selections {
            match selection {
                Selection::Field(field) => self.field(field.make_mut()),
                Selection::FragmentSpread(spread) => spread.make_mut().directives.clear(),
                Selection::InlineFragment(fragment) => {
                    let fragment = fragment.make_mut();
                    fragment.directives.clear();
                    self.selections(&mut fragment.selection_set);
                }
            }
        }
    }

    fn field(&mut self, field: &mut Field) {
        field.directives.clear();
        let mut texts = Vec::with_capacity(field.arguments.len());
        for argument in &mut field.arguments {
            let argument = argument.make_mut();
            let mut text = String::new();
            self.write(&argument.value, &mut text);
            texts.push(format!("{}: {text}", argument.name));
            *argument.value.make_mut() = Value::String(text);
        }
        let first = self.first.entry(field.response_name().clone());
        self.differs |= *first.or_insert_with(|| texts.clone()) != texts;
        self.selections(&mut field.selection_set);
    }

    /// Writes `value` so that equal values are equal texts. The order of an object's fields does not matter.
    fn write(&mut self, value: &Value, text: &mut String) {
        match value {
            Value::List(items) => {
                self.holds_lists = true;
                text.push('[');
                for item in items {
                    self.write(item, text);
                    text.push(',');
                }
                text.push(']');
            }
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(name, _)| name);
                text.push('{');
                for (name, value) in fields {
                    text.push_str(name);
                    text.push(':');
                    self.write(value, text);
                    text.push(',');
                }
                text.push('}');
            }
            other => {
                // Writing to a String does not fail.
                let _ = write!(text, "{}", other.serialize().no_indent());
            }
        }
    }
}
