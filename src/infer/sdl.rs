//! The text of a drawn model: SDL, with a comment on everything that a person has to know or decide.

use std::{collections::BTreeSet, fmt::Write};

use tidegate_core::id::IdType;

use super::{
    Drawn,
    draft::{CollectionDraft, EnumDraft, FieldDraft, Holds, ScopeDraft, TypeDraft},
    shape::shown,
};

/// The model as a file.
pub(super) fn print(drawn: &Drawn) -> String {
    let mut text = head(drawn) + &grants(drawn);
    for document_type in &drawn.types {
        text += &type_definition(document_type);
    }
    for definition in &drawn.enums {
        text += &enum_definition(definition);
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn head(drawn: &Drawn) -> String {
    let mut text = format!(
        "# The database {}, as its documents are: drawn by `tidegate model --from`.\n\
         # Read it before you serve it: decide what is marked TODO, take out what devices are not to have, and run `tidegate check`.\n\
         # Each type follows the documents that were read. Others may not fit it; `tidegate doctor` lists those.\n",
        shown(&drawn.database)
    );
    if !drawn.left_out.is_empty() {
        text += "#\n# Left out:\n";
    }
    for (collection, reason) in &drawn.left_out {
        text += &format!("#   {}: {reason}\n", shown(collection));
    }
    text + "\n"
}

/// One grant for each noun of the scopes.
fn grants(drawn: &Drawn) -> String {
    let collections = drawn.types.iter().filter_map(|it| it.collection.as_ref());
    let nouns: BTreeSet<&str> = collections
        .filter_map(|collection| match &collection.scope {
            ScopeDraft::Proposed { noun, .. } => Some(*noun),
            _ => None,
        })
        .collect();
    if nouns.is_empty() {
        return "# TODO: say who has which scopes, by the claims of their tokens, for example:\n\
                # extend schema @grant(scope: \"user:{sub}\", access: WRITE)\n\n"
            .to_owned();
    }
    let mut text = "# TODO: see that the tokens of your users have these claims, with the ids as they are in the documents.\n\
                    extend schema"
        .to_owned();
    for noun in nouns {
        text += &format!(
            "\n  @grant(scope: \"{noun}:{{{}}}\", access: WRITE)",
            claim(noun)
        );
    }
    text + "\n\n"
}

/// A user's id is the subject of the token. Others are lists.
fn claim(noun: &str) -> String {
    match noun {
        "user" => "sub".to_owned(),
        "company" => "companies".to_owned(),
        noun => format!("{noun}s"),
    }
}

fn type_definition(document_type: &TypeDraft) -> String {
    let (comment, directives) = match &document_type.collection {
        Some(collection) => {
            let misfits = on_misfits(document_type);
            let comment = of_collection(collection, misfits);
            (comment, collection_directives(collection))
        }
        None => Default::default(),
    };
    let mut text = format!("{comment}type {}{directives} {{\n", document_type.name);
    if document_type.collection.is_some() {
        text += "  id: ID!\n";
    }
    for field in &document_type.fields {
        text += &field_definition(field);
    }
    for left_out in &document_type.left_out {
        text += &format!("  # not in the model: {left_out}\n");
    }
    text + "}\n\n"
}

/// What can be done about values of its fields that do not fit.
fn on_misfits(document_type: &TypeDraft) -> &'static str {
    match document_type.fields.iter().all(|field| field.is_whole) {
        true => "",
        false => {
            "# Documents in which a field does not fit are withheld. To show null instead, take the `!` from the field, and add misfits: NULL_FIELD to @collection.\n"
        }
    }
}

fn of_collection(collection: &CollectionDraft, misfits: &str) -> String {
    let mut text = String::new();
    for note in &collection.notes {
        text += &format!("# {note}\n");
    }
    text += misfits;
    text += &match &collection.scope {
        ScopeDraft::Proposed { reason, .. } => {
            format!("# TODO: see whether @scope is right: {reason}.\n")
        }
        ScopeDraft::Undecided => "# TODO: say who sees these documents: add @scope(by: …) with a field that each of them has, or @scope(by: \"public\").\n".to_owned(),
        ScopeDraft::Ambiguous(fields) => format!(
            "# TODO: say who sees these documents: add @scope(by: …); what may be meant: {}.\n",
            fields.join(", ")
        ),
    };
    text
}

fn collection_directives(collection: &CollectionDraft) -> String {
    let mut text = format!(" @collection(name: {}", quoted(&collection.name));
    if collection.id_type != IdType::String {
        text += &format!(", idType: {}", collection.id_type);
    }
    let named = [
        ("singular", &collection.singular),
        ("plural", &collection.plural),
        ("versionField", &collection.version_field),
        ("updatedAtField", &collection.updated_at_field),
    ];
    for (argument, value) in named {
        if let Some(value) = value {
            text += &format!(", {argument}: {}", quoted(value));
        }
    }
    text.push(')');
    if let ScopeDraft::Proposed { template, .. } = &collection.scope {
        text += &format!(" @scope(by: {})", quoted(template));
    }
    text
}

fn field_definition(field: &FieldDraft) -> String {
    let mut text = format!("  {}: {}", field.name, type_of(&field.holds));
    if field.required {
        text.push('!');
    }
    if field.stored_as != field.name {
        text += &format!(" @stored(as: {})", quoted(&field.stored_as));
    }
    let item = match &field.holds {
        Holds::List(list) => &list.item,
        single => single,
    };
    let mut notes = field.notes.clone();
    if let Holds::Id(id_type) = innermost(item) {
        text += &format!(" @bson(type: {id_type})");
    }
    if let Holds::List(list) = &field.holds
        && let Some(key) = &list.key
    {
        text += &format!(" @key(field: {})", quoted(key));
        notes.push("@merge(with: ITEMS) joins edits of two devices item by item".to_owned());
    }
    if field.read_only {
        text += " @readOnly";
    }
    if let Some(value) = field.server {
        text += &format!(" @server(value: {value})");
    }
    if !notes.is_empty() {
        text += &format!("  # {}", notes.join("; "));
    }
    text.push('\n');
    if let Some(reference) = &field.reference {
        let by = quoted(&field.name);
        text += &format!(
            "  {}: {} @reference(by: {by})\n",
            reference.name, reference.target
        );
    }
    text
}

fn type_of(holds: &Holds) -> String {
    match holds {
        Holds::Scalar(name) => (*name).to_owned(),
        Holds::Id(_) => "ID".to_owned(),
        Holds::Named(name) => name.clone(),
        Holds::List(list) => {
            let required = if list.has_nulls { "" } else { "!" };
            format!("[{}{required}]", type_of(&list.item))
        }
    }
}

fn enum_definition(definition: &EnumDraft) -> String {
    let mut text = format!(
        "# The values that were found. A document with another one does not fit.\nenum {} {{\n",
        definition.name
    );
    for (value, count) in &definition.values {
        writeln!(text, "  {value}  # {count} times").expect("a String takes every text");
    }
    text + "}\n\n"
}

/// A string of GraphQL. Its escapes are those of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What a field holds, in lists too.
fn innermost(holds: &Holds) -> &Holds {
    match holds {
        Holds::List(list) => innermost(&list.item),
        other => other,
    }
}
