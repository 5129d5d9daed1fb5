//! Random models whose names are hard for generators: keywords, names of the generated fragments and operations, and
//! fields with the name that another field's alias would have.

use std::collections::BTreeMap;

use tidegate_core::model::Model;

use crate::graphql::request::tests::peer::{schemas, tape::Tape};

/// The names of a random model's types, and the names that they may get here.
const TYPES: [(&str, [&str; 5]); 3] = [
    ("Task", ["Page", "Result", "Client", "SYNCPage", "Post"]),
    (
        "URLThing",
        ["Document", "PushChange", "Fields", "page_", "Query2"],
    ),
    ("Note", ["State", "Conflict", "Inbox", "Get", "sync_Result"]),
];
const FIELDS: [&str; 18] = [
    "class",
    "import",
    "None",
    "def",
    "body",
    "fields",
    "conflict",
    "type",
    "self",
    "in",
    "default",
    "func",
    "model_config",
    "json",
    "copy",
    "let",
    "is",
    "kind",
];
const ENUMS: [&str; 4] = ["Kind", "Level", "PageFields", "DocumentFields"];
const VALUES: [&str; 6] = ["None", "class", "import", "self", "default", "lambda"];

/// A model and its text.
pub(super) fn random(tape: &mut Tape) -> (String, Model) {
    let plain = schemas::model(tape);
    let plain = evolved(tape, &plain);
    let mut names = BTreeMap::new();
    for (from, to) in TYPES {
        names.insert(from.to_owned(), tape.of(&to).to_owned());
    }
    rename(
        tape,
        &mut names,
        &["f0", "f1", "f2", "f3", "f4", "f5", "first"],
        &FIELDS,
    );
    rename(tape, &mut names, &["E0", "E1"], &ENUMS);
    rename(tape, &mut names, &["A", "B", "C", "D"], &VALUES);
    // A field has the name that another one's alias would have.
    let singular = names["URLThing"].to_ascii_lowercase();
    let aliased = format!("{singular}_{}", names["f0"]);
    let respelled = match tape.below(3) {
        0 => aliased.replace('_', ""),
        1 => aliased.to_ascii_uppercase(),
        _ => aliased,
    };
    names.insert("f5".to_owned(), respelled);
    let text = renamed(&plain, &names);
    let model =
        Model::parse("model.graphql", &text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    (text, model)
}

/// The same model with fields that had other names, and with retired ones.
fn evolved(tape: &mut Tape, text: &str) -> String {
    let lines = text.lines().map(|line| {
        let Some((name, ty)) = line.strip_prefix("  f").and_then(|it| it.split_once(": ")) else {
            return format!("{line}\n");
        };
        let renamed = match tape.one_in(3) {
            true => format!(" @renamed(from: \"was_{name}\")"),
            false => String::new(),
        };
        let may_retire = !ty.ends_with('!') && !text.contains(&format!("\"f{name}\""));
        let retired = match may_retire && tape.one_in(4) {
            true => " @retired",
            false => "",
        };
        format!("{line}{renamed}{retired}\n")
    });
    lines.collect()
}

/// Renames to neighbours in `to`, from a random place in it.
fn rename(tape: &mut Tape, names: &mut BTreeMap<String, String>, from: &[&str], to: &[&str]) {
    let start = tape.below(to.len());
    for (at, name) in from.iter().enumerate() {
        let new = to[(start + at) % to.len()];
        names.insert((*name).to_owned(), new.to_owned());
    }
}

fn renamed(text: &str, names: &BTreeMap<String, String>) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut new = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_name) {
        let (before, from) = rest.split_at(start);
        let (name, after) = from.split_at(from.find(|c| !is_name(c)).unwrap_or(from.len()));
        new += before;
        new += names.get(name).map_or(name, String::as_str);
        rest = after;
    }
    new + rest
}
