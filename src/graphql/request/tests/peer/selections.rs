//! Selections of a type: fields with arguments and conditions, named and inline fragments, and repeated keys. Fragments
//! are kept for the end of the document, which `operations.rs` writes.

use std::fmt::Write as _;

use apollo_compiler::schema::{ExtendedType, FieldDefinition};

use super::{
    literals::InputSlot,
    operations::{DEPTH, OperationPrinter, PrintedFragment, Uses},
};

impl<'s> OperationPrinter<'s> {
    pub(super) fn selections(&mut self, ty: &str, depth: usize) -> String {
        let count = 1 + self.tape.below(4);
        let mut items: Vec<String> = Vec::with_capacity(count);
        let mut keys = Vec::new();
        for _ in 0..count {
            let item = match self.tape.below(12) {
                7 => "__typename".to_owned(),
                8 if depth > 1 => self.inline_fragment(ty, depth),
                9 if depth > 1 => self.narrower(ty, depth),
                10 if depth > 1 => self.spread(ty, depth),
                11 if !items.is_empty() => items[self.tape.below(items.len())].clone(),
                _ => self.field(ty, depth, &mut keys, true),
            };
            items.push(item);
        }
        if self.slip() {
            items.push(
                self.tape
                    .of(&[
                        "nope",
                        "nope { a }",
                        "...Nope",
                        "... on Nope { a }",
                        "... on String { a }",
                        "__schema { types { name } }",
                    ])
                    .to_owned(),
            );
        }
        format!("{{ {} }}", items.join(" "))
    }

    pub(super) fn field(
        &mut self,
        ty: &str,
        depth: usize,
        keys: &mut Vec<(String, String)>,
        conditions: bool,
    ) -> String {
        let schema = self.schema;
        let fields: Vec<&FieldDefinition> = match schema.types.get(ty) {
            Some(ExtendedType::Object(object)) => object.fields.values().map(|it| &***it).collect(),
            Some(ExtendedType::Interface(interface)) => {
                interface.fields.values().map(|it| &***it).collect()
            }
            _ => return "__typename".to_owned(),
        };
        let field = self.tape.of(&fields);
        let composite = self.is_composite(field.ty.inner_named_type());
        if ty == "Query" && self.tape.one_in(25) {
            return self.introspection();
        }
        if composite && depth <= 1 {
            return "__typename".to_owned();
        }
        let (key, arguments) = self.key(field, keys);
        let alias = if key == field.name.as_str() {
            String::new()
        } else {
            format!("{key}: ")
        };
        let directives = if conditions {
            self.conditions()
        } else {
            String::new()
        };
        let inner = match composite != self.slip() {
            true if composite => self.selections(field.ty.inner_named_type(), depth - 1),
            true => "{ a }".to_owned(),
            false => String::new(),
        };
        format!("{alias}{}{arguments}{directives} {inner}", field.name)
    }

    /// A response key with its arguments: a repeated key comes with the same field and arguments, except for slips.
    fn key(
        &mut self,
        field: &'s FieldDefinition,
        keys: &mut Vec<(String, String)>,
    ) -> (String, String) {
        let name = field.name.as_str();
        let taken =
            |keys: &[(String, String)], key: &str| keys.iter().any(|(known, _)| known == key);
        let mut key = name.to_owned();
        if self.tape.one_in(5) {
            key = self.tape.of(&["a", "b", "c"]).to_owned();
        }
        if let Some((_, arguments)) = keys.iter().find(|(known, _)| *known == name && key == name)
            && self.tape.one_in(2)
        {
            return (key, arguments.clone());
        }
        while taken(keys, &key) && !self.slip() {
            key.push('x');
        }
        let arguments = self.arguments(field);
        keys.push((key.clone(), arguments.clone()));
        (key, arguments)
    }

    fn arguments(&mut self, field: &'s FieldDefinition) -> String {
        let mut given = Vec::new();
        for argument in &field.arguments {
            let wanted = if argument.is_required() {
                !self.slip()
            } else {
                self.tape.one_in(2)
            };
            if wanted {
                let value = self.literal(InputSlot::of(argument), DEPTH);
                given.push(format!("{}: {value}", argument.name));
            }
        }
        if self.slip() {
            given.push("nope: 1".to_owned());
        }
        if self.slip()
            && let Some(first) = given.first().cloned()
        {
            given.push(first);
        }
        if given.is_empty() {
            String::new()
        } else {
            format!("({})", given.join(", "))
        }
    }

    /// Each side has its own answer. Only whether it is accepted is compared.
    fn introspection(&mut self) -> String {
        match self.tape.below(3) {
            0 => "__schema { queryType { name } }".to_owned(),
            1 => "__type(name: \"Query\") { kind name }".to_owned(),
            _ => {
                let name = self.tape.of(&[
                    "",
                    "(name: 1)",
                    "(name: null)",
                    "(nope: 1)",
                    "(name: \"A\", name: \"A\")",
                ]);
                format!(
                    "__type{} {{ kind }}",
                    if self.slip() { name } else { "(name: \"A\")" }
                )
            }
        }
    }

    fn conditions(&mut self) -> String {
        let mut text = String::new();
        if self.tape.one_in(8) {
            let directive = self.tape.of(&["skip", "include"]);
            let condition = self.condition();
            let _ = write!(text, " @{directive}(if: {condition})");
            if self.tape.one_in(4) {
                let other = if directive == "skip" && !self.slip() {
                    "include"
                } else {
                    "skip"
                };
                let condition = self.condition();
                let _ = write!(text, " @{other}(if: {condition})");
            }
        }
        if self.slip() {
            text += self.tape.of(&[
                " @nope",
                " @skip",
                " @include(if: null)",
                " @skip(if: \"true\")",
                " @skip(if: 1)",
                " @deprecated",
                " @oneOf",
                " @include(unless: true)",
                " @include(if: true, if: true)",
                " @specifiedBy(url: \"x\")",
            ]);
        }
        text
    }

    fn condition(&mut self) -> String {
        let schema = self.schema;
        let skip = schema
            .directive_definitions
            .get("skip")
            .expect("skip is built in");
        let slot = InputSlot {
            has_default: false,
            ..InputSlot::of(&skip.arguments[0])
        };
        self.literal(slot, 1)
    }

    fn inline_fragment(&mut self, ty: &str, depth: usize) -> String {
        let directives = self.conditions();
        let inner = self.selections(ty, depth - 1);
        match self.tape.one_in(2) {
            true => format!("... on {ty}{directives} {inner}"),
            false => format!("...{directives} {inner}"),
        }
    }

    fn narrower(&mut self, ty: &str, depth: usize) -> String {
        let on = self.type_near(ty);
        let directives = self.conditions();
        let inner = self.selections(&on, depth - 1);
        format!("... on {on}{directives} {inner}")
    }

    fn spread(&mut self, ty: &str, depth: usize) -> String {
        let known: Vec<usize> = (0..self.fragments.len())
            .filter(|at| self.overlap(&self.fragments[*at].on, ty))
            .collect();
        let name = if !known.is_empty() && self.tape.one_in(2) {
            self.tape.of(&known)
        } else {
            let on = self.type_near(ty);
            self.uses.push(Uses::default());
            let text = self.selections(&on, depth - 1);
            let uses = self.uses.pop().expect("pushed above");
            self.fragment(&on, text, uses);
            self.fragments.len() - 1
        };
        if let Some(uses) = self.uses.last_mut() {
            uses.fragments.insert(name);
        }
        format!("...F{name}{}", self.conditions())
    }

    pub(super) fn fragment(&mut self, on: &str, text: String, uses: Uses) -> String {
        self.fragments.push(PrintedFragment {
            on: on.to_owned(),
            text,
            uses,
        });
        let at = self.fragments.len() - 1;
        if let Some(around) = self.uses.last_mut() {
            around.fragments.insert(at);
        }
        format!("F{at}")
    }

    /// A type that objects of the type `ty` may have, possibly `ty` itself.
    fn type_near(&mut self, ty: &str) -> String {
        let schema = self.schema;
        let slip = self.slip();
        let types = schema
            .types
            .values()
            .filter(|it| !it.is_built_in())
            .map(|it| it.name().as_str());
        let near = types.filter(|it| self.is_composite(it) && (slip || self.overlap(it, ty)));
        let near: Vec<&str> = near.collect();
        self.tape.of(&near).to_owned()
    }

    fn overlap(&self, a: &str, b: &str) -> bool {
        let is =
            |general: &str, name: &str| general == name || self.schema.is_subtype(general, name);
        let objects = self.schema.types.values().filter(|it| it.is_object());
        objects
            .into_iter()
            .any(|it| is(a, it.name()) && is(b, it.name()))
    }

    fn is_composite(&self, ty: &str) -> bool {
        self.schema
            .types
            .get(ty)
            .is_some_and(|it| it.is_object() || it.is_interface() || it.is_union())
    }
}
