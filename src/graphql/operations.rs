//! Ready-made documents for a model: push, pull and live, with every field, for code generators and for pasting.
//!
//! Fields that two types give one name and different types are aliased, so that one query can ask for all types.

use std::{collections::BTreeSet, fmt::Write};

use tidegate_core::model::{DocumentType, Field, Model, Shape};

/// How deep embedded types are followed; a type may contain itself.
const EMBEDDED_DEPTH_MAX: usize = 4;

const OPERATIONS: &str = "\
# Who you are, and what you may see and change.
query Viewer($clientId: ID) {
  viewer(clientId: $clientId) {
    id
    readScopes
    writeScopes
    lastMutationId
    epoch
    serverTime
  }
}

# What changed since the checkpoint; repeat while hasMore. Without a checkpoint it begins anew.
query ChangesSince($checkpoint: Checkpoint, $types: [SyncType!], $limit: Int) {
  changesSince(checkpoint: $checkpoint, types: $types, limit: $limit) {
    ...PageFields
  }
}

# Catches up and goes on, over WebSocket. After a disconnection subscribe with the newest checkpoint.
subscription Changes($checkpoint: Checkpoint, $types: [SyncType!], $limit: Int, $from: SyncStart) {
  changes(checkpoint: $checkpoint, types: $types, limit: $limit, from: $from) {
    ...PageFields
  }
}

# Applies changes, each with an outcome of its own.
mutation PushChanges($input: PushChangesInput!) {
  pushChanges(input: $input) {
    lastMutationId
    serverTime
    results {
      type
      documentId
      mutationId
      status
      duplicate
      version
      document {
        ...DocumentFields
      }
      conflict {
        conflictId
        fields {
          field
          base
          mine
          theirs
          result
          taken
          rule
        }
      }
      error {
        code
        message
        field
      }
    }
  }
}

fragment PageFields on SyncPage {
  checkpoint
  hasMore
  reset
  revokedScopes
  epoch
  serverTime
  changes {
    type
    documentId
    kind
    version
    scope
    changedAt
    document {
      ...DocumentFields
    }
  }
}
";

/// The documents as one text.
pub fn operations(model: &Model) -> String {
    let mut text = OPERATIONS.to_owned();
    write_into(
        &mut text,
        format_args!("\nfragment DocumentFields on SyncDocument {{\n"),
    );
    for name in [
        "__typename",
        "id",
        "syncVersion",
        "syncScope",
        "syncChangedAt",
    ] {
        write_into(&mut text, format_args!("  {name}\n"));
    }
    for document_type in &model.types {
        write_into(
            &mut text,
            format_args!("  ...{}Fields\n", document_type.name),
        );
    }
    text.push_str("}\n");
    let clashing: BTreeSet<String> = model
        .clashes()
        .into_iter()
        .map(|clash| clash.field)
        .collect();
    for document_type in &model.types {
        write_document(&mut text, model, document_type, &clashing);
    }
    text
}

fn write_document(
    text: &mut String,
    model: &Model,
    document_type: &DocumentType,
    clashing: &BTreeSet<String>,
) {
    let name = &document_type.name;
    write_into(text, format_args!("\nfragment {name}Fields on {name} {{\n"));
    if document_type.fields.is_empty() {
        text.push_str("  __typename\n");
    }
    for field in &document_type.fields {
        let alias = if clashing.contains(&field.name) {
            format!("{}_{}: ", document_type.singular, field.name)
        } else {
            String::new()
        };
        write_field(text, model, field, &alias, 1);
    }
    text.push_str("}\n");
}

fn write_field(text: &mut String, model: &Model, field: &Field, alias: &str, depth: usize) {
    let indent = "  ".repeat(depth);
    let name = &field.name;
    match embedded_fields(model, &field.ty.shape) {
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

fn embedded_fields<'m>(model: &'m Model, shape: &Shape) -> Option<&'m [Field]> {
    match shape {
        Shape::List(item) => embedded_fields(model, &item.shape),
        Shape::Embedded(name) => model
            .embedded
            .get(name)
            .map(|embedded| embedded.fields.as_slice()),
        Shape::Scalar(_) | Shape::Enum(_) => None,
    }
}

fn write_into(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("writing to a string does not fail");
}
