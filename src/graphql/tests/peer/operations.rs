//! Random operations: root fields with arguments for which a test world has answers, and below them selections with aliases,
//! repeated keys, fragments of all kinds and conditions. Some are invalid, when keys meet that cannot merge. No key of
//! a field stands for `__typename`: graphql-js 16 lets the two merge, whatever the field's type.

use std::{collections::BTreeSet, fmt::Write as _};

use apollo_compiler::{
    Schema,
    schema::{ExtendedType, FieldDefinition},
};
use serde_json::{Map, Value as Json};

use super::fixture::Root;
use crate::graphql::{OperationKind, request::tests::peer::tape::Tape};

/// Levels of selections below a root field.
const DEPTH: usize = 5;

/// The operation for both sides.
#[derive(Debug)]
pub(crate) struct RandomOperation {
    pub(crate) query: String,
    pub(crate) variables: Map<String, Json>,
}

pub(super) fn operation(schema: &Schema, roots: &[Root], tape: Tape) -> RandomOperation {
    let writer = OperationWriter {
        schema,
        tape,
        fragments: Vec::new(),
        variables: BTreeSet::new(),
    };
    writer.operation(roots)
}

struct OperationWriter<'s> {
    schema: &'s Schema,
    tape: Tape,
    fragments: Vec<Fragment>,
    variables: BTreeSet<&'static str>,
}

struct Fragment {
    on: String,
    text: String,
}

const INTROSPECTION: [&str; 3] = [
    "__type(name: \"Task\") { name kind fields { type { ofType { name } kind } name isDeprecated } interfaces { name } }",
    "__schema { t: __typename queryType { name ...on __Type { kind } } subscriptionType { name } }",
    "none: __type(name: \"None\") { name } __type(name: \"SyncState\") { possibleTypes { name } description @skip(if: true) }",
];

impl<'s> OperationWriter<'s> {
    fn operation(mut self, roots: &[Root]) -> RandomOperation {
        use OperationKind::{Mutation, Query, Subscription};
        let kind = self.tape.of(&[Query, Query, Query, Mutation, Subscription]);
        let roots: Vec<&Root> = roots.iter().filter(|root| root.kind == kind).collect();
        let (keyword, ty) = match kind {
            Query => ("query", "Query"),
            Mutation => ("mutation", "Mutation"),
            Subscription => ("subscription", "Subscription"),
        };
        let body = match kind {
            Subscription => self.stream(&roots),
            _ => self.root_selections(ty, &roots, 2),
        };
        let mut query = format!("{keyword}{} {body}", self.declarations());
        for (at, Fragment { on, text }) in self.fragments.iter().enumerate() {
            let _ = write!(query, "\nfragment F{at} on {on} {text}");
        }
        RandomOperation {
            query,
            variables: self.values(),
        }
    }

    fn declarations(&self) -> String {
        let declared = self.variables.iter().map(|name| match *name {
            "d" => "$d: Boolean! = true".to_owned(),
            name => format!("${name}: Boolean!"),
        });
        let declared: Vec<String> = declared.collect();
        match declared.is_empty() {
            true => String::new(),
            false => format!(" ({})", declared.join(", ")),
        }
    }

    fn values(&self) -> Map<String, Json> {
        let given = self.variables.iter().filter(|name| **name != "d");
        given
            .map(|name| ((*name).to_owned(), Json::Bool(*name == "y")))
            .collect()
    }

    fn root_selections(&mut self, ty: &str, roots: &[&Root], depth: usize) -> String {
        let count = 1 + self.tape.below(3);
        let mut items: Vec<String> = Vec::new();
        for _ in 0..count {
            let item = match self.tape.below(12) {
                8 if ty == "Query" => self.tape.of(&INTROSPECTION).to_owned(),
                9 => "__typename".to_owned(),
                10 if depth > 1 => {
                    let inner = self.root_selections(ty, roots, depth - 1);
                    self.fragment(ty, inner)
                }
                11 if !items.is_empty() => items[self.tape.below(items.len())].clone(),
                _ => {
                    let at = self.tape.below(roots.len());
                    let conditions = self.conditions();
                    format!("r{at}: {}", self.root_field(roots[at], &conditions))
                }
            };
            items.push(item);
        }
        format!("{{ {} }}", items.join(" "))
    }

    /// One field without conditions, in a fragment or not.
    fn stream(&mut self, roots: &[&Root]) -> String {
        let at = self.tape.below(roots.len());
        let field = self.root_field(roots[at], "");
        match self.tape.below(4) {
            1 => format!("{{ a: {field} }}"),
            2 => format!(
                "{{ {} }}",
                self.fragment("Subscription", format!("{{ {field} }}"))
            ),
            _ => format!("{{ {field} }}"),
        }
    }

    fn root_field(&mut self, root: &Root, conditions: &str) -> String {
        let ty = match root.kind {
            OperationKind::Query => "Query",
            OperationKind::Mutation => "Mutation",
            OperationKind::Subscription => "Subscription",
        };
        let schema = self.schema;
        let field = schema.type_field(ty, root.field).unwrap();
        let inner = self.selections(field.ty.inner_named_type(), DEPTH);
        format!("{}{conditions} {inner}", root.text())
    }

    fn selections(&mut self, ty: &str, depth: usize) -> String {
        let count = 1 + self.tape.below(5);
        let mut items: Vec<String> = Vec::with_capacity(count);
        for _ in 0..count {
            let item = match self.tape.below(14) {
                8 => self.tape.of(&["__typename", "t: __typename"]).to_owned(),
                9 | 10 if depth > 1 => {
                    let on = self.type_near(ty);
                    let inner = self.selections(&on, depth - 1);
                    self.fragment(&on, inner)
                }
                11 if depth > 1 => {
                    let conditions = self.conditions();
                    format!("...{conditions} {}", self.selections(ty, depth - 1))
                }
                12 => self.known_fragment(ty),
                13 if !items.is_empty() => items[self.tape.below(items.len())].clone(),
                _ => self.field(ty, depth),
            };
            items.push(item);
        }
        format!("{{ {} }}", items.join(" "))
    }

    fn field(&mut self, ty: &str, depth: usize) -> String {
        let fields: Vec<&FieldDefinition> = match self.schema.types.get(ty) {
            Some(ExtendedType::Object(object)) => object.fields.values().map(|it| &***it).collect(),
            Some(ExtendedType::Interface(it)) => it.fields.values().map(|it| &***it).collect(),
            _ => return "__typename".to_owned(),
        };
        let field = self.tape.of(&fields);
        let inner = field.ty.inner_named_type();
        let inner = match self.is_composite(inner) {
            true if depth > 1 => self.selections(inner, depth - 1),
            true => "{ __typename }".to_owned(),
            false => String::new(),
        };
        let alias = match self.tape.below(10) {
            7 => format!("a_{}: ", field.name),
            8 => format!("b_{}: ", field.name),
            // Two fields meet under it if one object has both.
            9 if inner.is_empty() => format!("{}: ", field.ty.inner_named_type()),
            _ => String::new(),
        };
        format!("{alias}{}{} {inner}", field.name, self.conditions())
    }

    fn conditions(&mut self) -> String {
        let mut text = String::new();
        if self.tape.one_in(7) {
            let first = self.tape.below(2);
            let _ = write!(
                text,
                " @{}(if: {})",
                ["skip", "include"][first],
                self.condition()
            );
            if self.tape.one_in(4) {
                let _ = write!(
                    text,
                    " @{}(if: {})",
                    ["include", "skip"][first],
                    self.condition()
                );
            }
        }
        text
    }

    fn condition(&mut self) -> String {
        let variable = self.tape.of(&["y", "n", "d", "true", "false"]);
        if variable.len() > 1 {
            return variable.to_owned();
        }
        self.variables.insert(variable);
        format!("${variable}")
    }

    /// A fragment on `on`, inline or named.
    fn fragment(&mut self, on: &str, inner: String) -> String {
        let is_stream = on == "Subscription";
        let conditions = if is_stream {
            String::new()
        } else {
            self.conditions()
        };
        if self.tape.one_in(2) {
            return format!("... on {on}{conditions} {inner}");
        }
        self.fragments.push(Fragment {
            on: on.to_owned(),
            text: inner,
        });
        format!("...F{}{conditions}", self.fragments.len() - 1)
    }

    /// A repeated spread of a named fragment, if there is one.
    fn known_fragment(&mut self, ty: &str) -> String {
        let known: Vec<usize> = (0..self.fragments.len())
            .filter(|at| self.overlap(&self.fragments[*at].on, ty))
            .collect();
        match known.is_empty() {
            true => "__typename".to_owned(),
            false => format!("...F{}{}", self.tape.of(&known), self.conditions()),
        }
    }

    /// A type that objects of the type `ty` may have, possibly `ty` itself.
    fn type_near(&mut self, ty: &str) -> String {
        let types = self.schema.types.values().filter(|it| !it.is_built_in());
        let names = types.map(|it| it.name().as_str());
        let near: Vec<&str> = names
            .filter(|it| self.is_composite(it) && self.overlap(it, ty))
            .collect();
        self.tape.of(&near).to_owned()
    }

    fn overlap(&self, a: &str, b: &str) -> bool {
        let is =
            |general: &str, name: &str| general == name || self.schema.is_subtype(general, name);
        let mut objects = self.schema.types.values().filter(|it| it.is_object());
        objects.any(|it| is(a, it.name()) && is(b, it.name()))
    }

    fn is_composite(&self, ty: &str) -> bool {
        let ty = self.schema.types.get(ty);
        ty.is_some_and(|it| it.is_object() || it.is_interface() || it.is_union())
    }
}
