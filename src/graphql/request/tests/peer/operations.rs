//! Documents for a schema. A case first decides how often it slips: about half of the cases never do, and are valid
//! except for conflicts between their own choices. The modules beside this one write selections, variables and values.

use std::collections::BTreeSet;

use apollo_compiler::{Schema, ast::Type, schema::ExtendedType};

use super::{declared::Declared, literals::InputSlot, tape::Tape};
use crate::graphql::request::RawRequest;

/// Levels of selections and of input objects.
pub(super) const DEPTH: usize = 4;

/// Writes one document for `schema`.
pub(super) struct OperationPrinter<'s> {
    pub(super) schema: &'s Schema,
    pub(super) tape: Tape,
    /// Types of variables that custom scalars take.
    pub(super) input_types: Vec<Type>,
    /// In how many of a hundred places something is wrong.
    slips: usize,
    pub(super) declared: Vec<Declared>,
    pub(super) fragments: Vec<PrintedFragment>,
    /// What the operation or fragment being written uses, innermost last.
    pub(super) uses: Vec<Uses>,
}

pub(super) struct PrintedFragment {
    pub(super) on: String,
    pub(super) text: String,
    pub(super) uses: Uses,
}

#[derive(Clone, Default)]
pub(super) struct Uses {
    pub(super) variables: BTreeSet<usize>,
    pub(super) fragments: BTreeSet<usize>,
}

/// A request for `schema` without the cases of `differences.rs`.
pub(super) fn request(schema: &Schema, tape: Tape) -> RawRequest {
    OperationPrinter::new(schema, tape).request()
}

/// A literal that fits `ty`, for the defaults of a schema.
pub(super) fn default_literal(schema: &Schema, ty: &Type, tape: Tape) -> (String, Tape) {
    let mut writer = OperationPrinter {
        slips: 0,
        ..OperationPrinter::new(schema, tape)
    };
    let text = writer.literal(InputSlot::constant(ty), 2);
    (text, writer.tape)
}

impl<'s> OperationPrinter<'s> {
    fn new(schema: &'s Schema, mut tape: Tape) -> Self {
        let inputs = schema.types.values().filter_map(|ty| match ty {
            ExtendedType::InputObject(object) if !ty.is_built_in() => Some(object),
            _ => None,
        });
        Self {
            schema,
            slips: tape.of(&[0, 0, 0, 1, 2, 4]),
            tape,
            input_types: inputs
                .flat_map(|object| object.fields.values())
                .map(|field| (*field.ty).clone())
                .collect(),
            declared: Vec::new(),
            fragments: Vec::new(),
            uses: Vec::new(),
        }
    }

    /// Whether to do something wrong here.
    pub(super) fn slip(&mut self) -> bool {
        self.slips > 0 && self.tape.percent(self.slips)
    }

    fn request(mut self) -> RawRequest {
        let several = self.tape.one_in(6);
        let is_named = several || self.tape.one_in(2);
        let mut query = String::new();
        for name in ["A", "B"].into_iter().take(1 + usize::from(several)) {
            let name = if self.slip() { "A" } else { name };
            self.write_operation(&mut query, if is_named { name } else { "" });
        }
        self.write_fragments(&mut query);
        let operation_name = match self.tape.below(4) {
            _ if self.slip() => Some(self.tape.of(&["B", "C", ""])),
            0 | 1 if !several => None,
            2 if several => Some("B"),
            _ => is_named.then_some("A"),
        };
        RawRequest {
            query: self.broken(query),
            hash: None,
            operation_name: operation_name.map(str::to_owned),
            variables: self.variables(),
        }
    }

    fn write_operation(&mut self, query: &mut String, name: &str) {
        let (kind, body, uses) = self.operation();
        let variables = self.declarations(&uses);
        *query += &match (kind, name, variables.as_str()) {
            ("query", "", "") => format!("{body}\n"),
            _ => format!("{kind} {name}{variables} {body}\n"),
        };
    }

    fn operation(&mut self) -> (&'static str, String, Uses) {
        let definition = &self.schema.schema_definition;
        let roots = [
            ("query", &definition.query),
            ("mutation", &definition.mutation),
            ("subscription", &definition.subscription),
        ];
        let (kind, root) = roots[self.tape.of(&[0, 0, 1, 1, 2])];
        let root = root
            .as_ref()
            .expect("the schemas here have all roots")
            .as_str();
        self.uses.push(Uses::default());
        let body = match kind {
            "subscription" => self.stream(root),
            _ => self.selections(root, DEPTH),
        };
        let uses = self.uses.pop().expect("pushed above");
        (kind, body, uses)
    }

    /// One field, in a fragment or not.
    fn stream(&mut self, root: &str) -> String {
        let field = self.field(root, DEPTH, &mut Vec::new(), false);
        let more = match self.slip() {
            true => self
                .tape
                .of(&["__typename", "other: __typename", "nope"])
                .to_owned(),
            false => String::new(),
        };
        match self.tape.below(4) {
            2 => format!("{{ ... {{ {field} {more} }} }}"),
            3 => {
                let text = format!("{{ {field} {more} }}");
                let uses = self.uses.last_mut().map(std::mem::take).unwrap_or_default();
                let name = self.fragment(root, text, uses);
                format!("{{ ...{name} }}")
            }
            _ => format!("{{ {field} {more} }}"),
        }
    }

    fn write_fragments(&mut self, query: &mut String) {
        for at in 0..self.fragments.len() {
            let PrintedFragment { on, text, .. } = &self.fragments[at];
            let text = format!("fragment F{at} on {on} {text}\n");
            let times = if self.slip() {
                self.tape.of(&[0, 2])
            } else {
                1
            };
            for _ in 0..times {
                *query += &text;
            }
        }
        if self.slip() {
            *query += self.tape.of(&[
                "fragment G on Query { __typename }",
                "type A { b: Int }",
                "{ __typename }",
                "query A { __typename }",
                "fragment G on Query { ...G }",
                "fragment on on Query { a }",
                "fragment G on Nope { a }",
                "extend type Query { a: Int }",
            ]);
        }
    }

    /// The text with a mistake of syntax, or a change that does not matter.
    fn broken(&mut self, query: String) -> String {
        if !self.slip() {
            return query;
        }
        let places: Vec<usize> = query
            .char_indices()
            .map(|(at, _)| at)
            .chain([query.len()])
            .collect();
        let at = self.tape.of(&places);
        let (before, after) = query.split_at(at);
        let junk = self.tape.of(&[
            "",
            "&",
            "\"",
            " 01 ",
            " 1a ",
            "$",
            "@",
            "{}",
            "()",
            "}",
            "# comment\r",
            "\u{feff}",
            "\"\"\"",
            "...",
            " 1.e5 ",
            "\\",
            "\u{7}",
            " | ",
            "é",
        ]);
        if self.tape.one_in(4) {
            before.to_owned()
        } else {
            format!("{before}{junk}{after}")
        }
    }
}
