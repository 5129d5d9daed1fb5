//! Ready-made operations for a model, with every field that is not retired, for code generators and for pasting.
//!
//! [`names`] chooses the names of fragments and aliases so that no generator makes one name of two.

mod names;
#[cfg(test)]
mod tests;
mod typescript;

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Map, Value, json};
use tidegate_core::{
    id::ApiHash,
    model::{DocumentType, Field, Model},
};

use self::names::{Aliases, Names};
use super::{RawRequest, types::document::state_name};

/// How deep embedded types are followed; a type may contain itself.
const EMBEDDED_DEPTH_MAX: usize = 4;

/// The operations that are the same for every model.
const OWN: &str = include_str!("operations/own.graphql");

/// The fragments that these operations spread for documents and for sides of conflicts.
const DOCUMENT_FRAGMENT: &str = "SyncDocumentFields";
const STATE_FRAGMENT: &str = "SyncStateFields";

/// What every document has besides its own fields.
const DOCUMENT: [&str; 5] = [
    "__typename",
    "id",
    "syncVersion",
    "syncScope",
    "syncChangedAt",
];

/// The operations for a model and the fragments that they spread, in the order of printing.
pub struct Operations {
    definitions: Vec<Definition>,
}

/// An operation or a fragment.
struct Definition {
    name: String,
    text: String,
}

impl Operations {
    /// Makes the operations for a model.
    pub fn new(model: &Model) -> Self {
        let mut definitions: Vec<Definition> = OWN.split("\n\n").map(Definition::new).collect();
        let own = definitions.iter().map(|own| own.name.as_str());
        let own = own.chain([DOCUMENT_FRAGMENT, STATE_FRAGMENT]);
        let mut names = Names::new(own.chain(model.enums.keys().map(String::as_str)));
        let aliases = Aliases::new(model);
        let mut documents = Choice::new(DOCUMENT_FRAGMENT, "SyncDocument", &DOCUMENT);
        let mut states = Choice::new(STATE_FRAGMENT, "SyncState", &["__typename"]);
        let (mut getters, mut fragments) = (Vec::new(), Vec::new());
        for document_type in model.types.iter().filter(|it| !it.retired) {
            let name = document_type.name.as_str();
            let state = state_name(&document_type.name);
            let fields = names.claim(format!("{name}Fields"));
            getters.push(getter(document_type, &mut names, &fields));
            for (choice, on, fragment) in [
                (&mut documents, name, fields),
                (&mut states, &*state, names.claim(format!("{state}Fields"))),
            ] {
                choice.add(on, &fragment);
                fragments.push(document_fragment(
                    model,
                    document_type,
                    on,
                    &fragment,
                    &aliases,
                ));
            }
        }
        definitions.extend(getters);
        definitions.extend([documents.end(), states.end()]);
        definitions.extend(fragments);
        Self { definitions }
    }

    /// All of them as one document.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self.definitions.iter().map(|it| &*it.text).collect();
        texts.join("\n")
    }

    /// The model as a module for the client in TypeScript.
    pub fn typescript(&self, model: &Model, hash: ApiHash) -> String {
        typescript::module(model, self, hash)
    }

    /// Each operation by itself, as clients send it: with the fragments that it spreads, and with the variables that it
    /// requires.
    pub fn each(&self) -> impl Iterator<Item = RawRequest> {
        let operations = self.definitions.iter().filter(|it| !it.is_fragment());
        operations.map(|operation| RawRequest {
            query: self.with_fragments(operation),
            operation_name: Some(operation.name.clone()),
            variables: required_variables(&operation.text),
            hash: None,
        })
    }

    fn with_fragments(&self, operation: &Definition) -> String {
        let fragments: BTreeMap<&str, &Definition> = self
            .definitions
            .iter()
            .filter(|it| it.is_fragment())
            .map(|it| (&*it.name, it))
            .collect();
        let mut spread = vec![operation];
        let mut at = 0;
        while let Some(definition) = spread.get(at) {
            for name in definition.spreads() {
                if spread.iter().all(|known| known.name != name) {
                    spread.push(fragments[name]);
                }
            }
            at += 1;
        }
        let texts: Vec<&str> = spread.iter().map(|it| &*it.text).collect();
        texts.join("\n")
    }
}

impl Definition {
    /// A definition from its text, which may begin with a comment.
    fn new(text: &str) -> Self {
        let text = format!("{}\n", text.trim_end());
        let head = text.lines().find(|line| !line.starts_with('#'));
        let name = head
            .and_then(|line| line.split([' ', '(']).nth(1))
            .expect("a definition has a keyword and a name");
        Self {
            name: name.to_owned(),
            text,
        }
    }

    fn is_fragment(&self) -> bool {
        self.text.starts_with("fragment ")
    }

    /// The fragments that it spreads. Each stands in a line of its own.
    fn spreads(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines();
        lines.filter_map(|line| match line.trim_start().strip_prefix("...") {
            Some(name) if !name.starts_with(' ') => Some(name),
            _ => None,
        })
    }
}

/// A fragment that spreads another one for each type of object, each in an inline fragment: generators such as
/// ariadne-codegen overlook a type that only a named fragment is about.
struct Choice(String);

impl Choice {
    fn new(name: &str, on: &str, fields: &[&str]) -> Self {
        let mut text = format!("fragment {name} on {on} {{\n");
        for field in fields {
            write_into(&mut text, format_args!("  {field}\n"));
        }
        Self(text)
    }

    fn add(&mut self, ty: &str, fragment: &str) {
        write_into(
            &mut self.0,
            format_args!("  ... on {ty} {{\n    ...{fragment}\n  }}\n"),
        );
    }

    fn end(self) -> Definition {
        Definition::new(&(self.0 + "}"))
    }
}

/// The operation for one document of a type.
fn getter(document_type: &DocumentType, names: &mut Names, fields: &str) -> Definition {
    let name = names.claim(format!("Get{}", document_type.name));
    let root = &document_type.singular;
    let common = DOCUMENT.map(|field| format!("    {field}\n")).concat();
    Definition::new(&format!(
        "query {name}($id: ID!) {{\n  {root}(id: $id) {{\n{common}    ...{fields}\n  }}\n}}"
    ))
}

/// The fields of `document_type`, for its documents or for their states.
fn document_fragment(
    model: &Model,
    document_type: &DocumentType,
    on: &str,
    name: &str,
    aliases: &Aliases,
) -> Definition {
    let mut text = format!("fragment {name} on {on} {{\n");
    if document_type.fields.iter().all(|field| field.retired) {
        text.push_str("  __typename\n");
    }
    for field in &document_type.fields {
        let alias = aliases.of(document_type, field);
        let alias = alias.map(|alias| format!("{alias}: ")).unwrap_or_default();
        write_field(&mut text, model, field, &alias, 1);
    }
    Definition::new(&(text + "}"))
}

/// Writes a field and what it holds. A retired one is left out.
fn write_field(text: &mut String, model: &Model, field: &Field, alias: &str, depth: usize) {
    if field.retired {
        return;
    }
    let indent = "  ".repeat(depth);
    let name = &field.name;
    let embedded = field.ty.shape.embedded();
    match embedded.map(|name| model.embedded_fields(name)) {
        None => write_into(text, format_args!("{indent}{alias}{name}\n")),
        Some(_) if depth > EMBEDDED_DEPTH_MAX => {
            write_into(
                text,
                format_args!("{indent}# {name} goes on: add as many levels as you need\n"),
            );
        }
        Some(fields) => {
            write_into(
                text,
                format_args!("{indent}{alias}{name} {{\n{indent}  __typename\n"),
            );
            for field in fields {
                write_field(text, model, field, "", depth + 1);
            }
            write_into(text, format_args!("{indent}}}\n"));
        }
    }
}

/// Values that change nothing.
fn required_variables(operation: &str) -> Map<String, Value> {
    let variables = if operation.contains("$id: ID!") {
        json!({"id": "0"})
    } else if operation.contains("$input: PushChangesInput!") {
        json!({"input": {"changes": []}})
    } else if operation.contains("$input: ResolveConflictInput!") {
        let resolution = json!({"take": "THEIRS"});
        json!({"input": {"conflictId": "0", "baseVersion": 0, "resolution": resolution}})
    } else {
        json!({})
    };
    variables.as_object().cloned().unwrap_or_default()
}

fn write_into(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("writing to a string does not fail");
}
