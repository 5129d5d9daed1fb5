//! The variables of a document: declared for the places that use them, with or without values. `literals.rs` and
//! `json.rs` write the values.

use apollo_compiler::ast::Type;
use serde_json::{Map, Value as Json};

use super::{
    literals::InputSlot,
    operations::{DEPTH, OperationPrinter, Uses},
};

pub(super) struct Declared {
    ty: Type,
    default: Option<String>,
}

impl OperationPrinter<'_> {
    /// A variable that may stand in `slot`, except for slips.
    pub(super) fn variable(&mut self, slot: InputSlot<'_>) -> String {
        let known: Vec<usize> = (0..self.declared.len())
            .filter(|at| self.declared[*at].ty == *slot.ty)
            .collect();
        let at = if !known.is_empty() && !slot.one_of && self.tape.one_in(2) {
            self.tape.of(&known)
        } else {
            let declared = self.declare(slot);
            self.declared.push(declared);
            self.declared.len() - 1
        };
        if let Some(uses) = self.uses.last_mut() {
            uses.variables.insert(at);
        }
        format!("$v{at}")
    }

    fn declare(&mut self, slot: InputSlot<'_>) -> Declared {
        if self.slip() {
            let at = self.tape.below(self.input_types.len());
            return Declared {
                ty: self.input_types[at].clone(),
                default: None,
            };
        }
        let required = slot.ty.is_non_null() || slot.one_of;
        let (ty, default) = match self.tape.below(4) {
            0 if required => (slot.ty.clone().non_null(), false),
            _ if slot.one_of => (slot.ty.clone().non_null(), self.tape.one_in(2)),
            1 if required && slot.has_default => (slot.ty.clone().nullable(), false),
            1 => (slot.ty.clone().non_null(), false),
            2 => (slot.ty.clone().nullable(), true),
            3 => (slot.ty.clone().non_null(), true),
            _ => (slot.ty.clone(), false),
        };
        let default = default.then(|| {
            self.literal(
                InputSlot {
                    one_of: required,
                    ..InputSlot::constant(slot.ty)
                },
                2,
            )
        });
        Declared { ty, default }
    }

    pub(super) fn declarations(&mut self, uses: &Uses) -> String {
        let mut all = uses.clone();
        let mut open: Vec<usize> = uses.fragments.iter().copied().collect();
        while let Some(at) = open.pop() {
            let inner = &self.fragments[at].uses;
            all.variables.extend(&inner.variables);
            open.extend(
                inner
                    .fragments
                    .iter()
                    .filter(|it| all.fragments.insert(**it)),
            );
        }
        let mut variables: Vec<String> = Vec::new();
        for at in all.variables {
            let Declared { ty, default } = &self.declared[at];
            let default = default
                .as_ref()
                .map(|it| format!(" = {it}"))
                .unwrap_or_default();
            let text = format!("$v{at}: {ty}{default}");
            if !self.slip() {
                variables.push(text);
            }
        }
        if self.slip() {
            let slips = [
                "$unused: Int",
                "$v0: Int",
                "$v1: Nope",
                "$v2: Query",
                "$v3: Int = $v0",
                "$v0: Int @nope",
                "$v1: Int = \"x\"",
            ];
            variables.push(self.tape.of(&slips).to_owned());
        }
        if variables.is_empty() {
            String::new()
        } else {
            format!("({})", variables.join(", "))
        }
    }

    pub(super) fn variables(&mut self) -> Map<String, Json> {
        let declared = std::mem::take(&mut self.declared);
        let mut values = Map::new();
        for (at, Declared { ty, default }) in declared.iter().enumerate() {
            let optional = default.is_some() || !ty.is_non_null();
            let absent = if optional {
                self.tape.one_in(3)
            } else {
                self.slip()
            };
            if !absent {
                values.insert(format!("v{at}"), self.json(ty, DEPTH));
            }
        }
        if self.tape.one_in(10) {
            values.insert("undeclared".to_owned(), Json::Null);
        }
        values
    }
}
