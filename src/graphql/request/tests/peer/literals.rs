//! Literals of a type: most of them fit, in every way that the specification allows, and some do not, in one place.
//! `selections.rs` decides where they stand.
//!
//! Numbers that JavaScript rounds are left out, and the cases of `differences.rs`.

use apollo_compiler::{
    ast::Type,
    schema::{ExtendedType, InputObjectType, InputValueDefinition},
};

use super::operations::OperationPrinter;

/// Literals that are each wrong for most types.
const WRONG_LITERALS: [&str; 15] = [
    "null",
    "1",
    "\"x\"",
    "1.5",
    "1.0",
    "true",
    "NOPE",
    "[]",
    "[[1]]",
    "{}",
    "{nope: 1}",
    "5000000000",
    "$undeclared",
    "{nope: $undeclared}",
    "{nope: null}",
];

/// A place that takes a value.
#[derive(Clone, Copy)]
pub(super) struct InputSlot<'t> {
    pub(super) ty: &'t Type,
    pub(super) has_default: bool,
    /// The value is the only field of a `@oneOf` object.
    pub(super) one_of: bool,
    /// Variables may stand here.
    pub(super) variables: bool,
}

impl<'t> InputSlot<'t> {
    pub(super) fn constant(ty: &'t Type) -> Self {
        Self {
            ty,
            has_default: false,
            one_of: false,
            variables: false,
        }
    }

    pub(super) fn of(definition: &'t InputValueDefinition) -> Self {
        let has_default = definition.default_value.is_some();
        Self {
            has_default,
            variables: true,
            ..Self::constant(&definition.ty)
        }
    }

    fn item(self, ty: &'t Type) -> Self {
        Self {
            ty,
            has_default: false,
            one_of: false,
            ..self
        }
    }
}

impl<'s> OperationPrinter<'s> {
    pub(super) fn literal(&mut self, slot: InputSlot<'_>, depth: usize) -> String {
        if self.slip() {
            let wrong = self.tape.of(&WRONG_LITERALS);
            // A constant with a variable is a syntax error, which other slips make.
            return if slot.variables || !wrong.contains('$') {
                wrong
            } else {
                "null"
            }
            .to_owned();
        }
        if slot.variables && self.tape.one_in(3) {
            return self.variable(slot);
        }
        if !slot.ty.is_non_null() && !slot.one_of && self.tape.one_in(8) {
            return "null".to_owned();
        }
        match slot.ty {
            Type::List(item) | Type::NonNullList(item) => self.list_literal(slot.item(item), depth),
            Type::Named(name) | Type::NonNullNamed(name) => self.named_literal(name, slot, depth),
        }
    }

    fn list_literal(&mut self, slot: InputSlot<'_>, depth: usize) -> String {
        // A single list would be read as the list itself, and null as no list.
        if !slot.ty.is_list() && self.tape.one_in(5) {
            let single = InputSlot {
                variables: false,
                one_of: true,
                ..slot
            };
            return self.literal(single, depth);
        }
        let count = self.tape.below(3);
        let items: Vec<_> = (0..count).map(|_| self.literal(slot, depth)).collect();
        format!("[{}]", items.join(", "))
    }

    fn named_literal(&mut self, name: &str, slot: InputSlot<'_>, depth: usize) -> String {
        let schema = self.schema;
        match (name, schema.types.get(name)) {
            ("Int", _) => self
                .tape
                .of(&["0", "1", "-1", "2147483647", "-2147483648", "-0"])
                .to_owned(),
            ("Float", _) => self
                .tape
                .of(&[
                    "0.5",
                    "0",
                    "-1.5e3",
                    "7",
                    "1e300",
                    "-0.0",
                    "9007199254740992",
                    "9007199254740993",
                    "-123456789012345678901234567890",
                ])
                .to_owned(),
            ("Boolean", _) => self.tape.of(&["false", "true"]).to_owned(),
            ("ID", _) => self
                .tape
                .of(&[
                    "\"a\"",
                    "1",
                    "-7",
                    "\"\"",
                    "-0",
                    "123456789012345678901234567890",
                ])
                .to_owned(),
            ("String", _) => self.tape.of(STRINGS).to_owned(),
            (_, Some(ExtendedType::Enum(values))) => {
                let at = self.tape.below(values.values.len());
                values.values[at].value.to_string()
            }
            (_, Some(ExtendedType::InputObject(object))) => {
                self.object_literal(object, slot.variables, depth)
            }
            _ => self.custom_literal(slot.variables, depth),
        }
    }

    fn object_literal(
        &mut self,
        object: &'s InputObjectType,
        variables: bool,
        depth: usize,
    ) -> String {
        let mut fields: Vec<_> = self
            .fields_given(object, depth)
            .into_iter()
            .map(|(field, one_of)| {
                let slot = InputSlot {
                    variables,
                    one_of,
                    ..InputSlot::of(field)
                };
                format!(
                    "{}: {}",
                    field.name,
                    self.literal(slot, depth.saturating_sub(1))
                )
            })
            .collect();
        if self.slip() {
            fields.push("nope: 1".to_owned());
        }
        if self.slip()
            && let Some(first) = fields.first().cloned()
        {
            fields.push(first);
        }
        format!("{{{}}}", fields.join(", "))
    }

    fn custom_literal(&mut self, variables: bool, depth: usize) -> String {
        match self.tape.below(8) {
            6 if depth > 0 => {
                let first = self.custom_literal(variables, depth - 1);
                let second = match variables && self.tape.one_in(4) {
                    true => self.custom_part(variables, depth),
                    false => self.custom_literal(variables, depth - 1),
                };
                format!("[{first}, {second}]")
            }
            7 if depth > 0 => format!("{{a: {}, b: null}}", self.custom_part(variables, depth)),
            other => {
                ["\"x\"", "0", "-1.5", "true", "LOW", "9007199254740992"][other.min(5)].to_owned()
            }
        }
    }

    /// Inside an object for a custom scalar a variable of any type may stand, in a list one of the scalar's.
    fn custom_part(&mut self, variables: bool, depth: usize) -> String {
        if self.slip() {
            return "$undeclared".to_owned();
        }
        if variables && self.tape.one_in(3) {
            let at = self.tape.below(self.input_types.len());
            let ty = self.input_types[at].clone();
            return self.variable(InputSlot::constant(&ty));
        }
        self.custom_literal(variables, depth - 1)
    }

    /// Some of the fields of `object`, including the required ones, and whether they are the one of a `@oneOf`.
    pub(super) fn fields_given(
        &mut self,
        object: &'s InputObjectType,
        depth: usize,
    ) -> Vec<(&'s InputValueDefinition, bool)> {
        if object.directives.has("oneOf") {
            let fields: Vec<&InputValueDefinition> =
                object.fields.values().map(|field| &***field).collect();
            let leaves = fields
                .iter()
                .copied()
                .filter(|field| depth > 0 || !self.is_object(&field.ty));
            let leaves: Vec<_> = leaves.collect();
            let first = self
                .tape
                .of(if leaves.is_empty() { &fields } else { &leaves });
            return match self.slip() {
                false => vec![(first, true)],
                true if self.tape.one_in(2) => Vec::new(),
                true => fields
                    .into_iter()
                    .take(2)
                    .map(|field| (field, true))
                    .collect(),
            };
        }
        let mut given = Vec::new();
        for field in object.fields.values() {
            let wanted = match field.is_required() {
                true => !self.slip(),
                false => (depth > 0 || !self.is_object(&field.ty)) && self.tape.one_in(3),
            };
            if wanted {
                given.push((&***field, false));
            }
        }
        given
    }

    fn is_object(&self, ty: &Type) -> bool {
        matches!(
            self.schema.types.get(ty.inner_named_type()),
            Some(ExtendedType::InputObject(_))
        )
    }
}

const STRINGS: &[&str] = &[
    "\"x\"",
    "\"\"",
    "\"é\\u00e9\\n\\\"\\\\ # no comment\"",
    "\"\"\"a \"b\" \\\"\"\" c\n      d\n    e\n    \"\"\"",
    "\"$a\"",
    "\"LOW\"",
];
