//! Schemas to compare on: generated ones of random models, and random ones with features that no model makes yet, such
//! as unions and arguments below the root.

use std::{collections::BTreeMap, sync::Arc};

use apollo_compiler::{Schema, ast::Type};
use tidegate_core::model::Model;

use super::{operations::default_literal, tape::Tape};
use crate::graphql::{Api, ApiOptions};

/// A scalar of models and a default for it.
const SCALARS: [(&str, &str); 13] = [
    ("String", "\"say \\\"hi\\\" \\\\ ü\""),
    ("Int", "-2147483648"),
    ("Float", "0.1"),
    ("Boolean", "true"),
    ("ID", "\"x-1\""),
    ("Date", "\"1969-07-20\""),
    ("DateTime", "\"1969-07-20T20:17:40.123Z\""),
    ("Long", "\"-9223372036854775808\""),
    ("Decimal", "\"0.10\""),
    ("Bytes", "\"AP8=\""),
    ("JSON", "{a: [1, null], b: {c: true}}"),
    ("E0", "A"),
    ("E1", "D"),
];
const ENUMS: &str = "enum E0 { A B C }\nenum E1 { A D }\n";

/// The API of a random model, as SDL.
pub(super) fn generated(mut tape: Tape) -> String {
    let text = model(&mut tape);
    let model =
        Model::parse("model.graphql", &text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let options = ApiOptions {
        introspection: true,
        ..ApiOptions::default()
    };
    let api = Api::new(&Arc::new(model), options).unwrap_or_else(|error| panic!("{text}\n{error}"));
    api.sdl().to_owned()
}

/// A random model.
pub(in crate::graphql) fn model(tape: &mut Tape) -> String {
    let mut text = format!("{ENUMS}extend schema @grant(scope: \"user:{{sub}}\", access: WRITE)\n");
    let embedded = tape.below(3);
    for at in 0..embedded {
        text += &format!("type B{at} {{ first: Int\n");
        fields(&mut text, tape, at, false);
        if tape.one_in(2) {
            text += &format!("  again: B{at}\n");
        }
        text += "}\n";
    }
    let names = ["Task", "URLThing", "Note"];
    let count = 1 + tape.below(names.len());
    for (at, name) in names[..count].iter().enumerate() {
        let policy = tape.of(&["MERGE", "MANUAL", "LAST_WRITE_WINS", "SERVER_WINS"]);
        let owner = tape.of(&[
            "  owner: ID!\n",
            "  owner: ID! @default(value: \"{sub}\")\n",
        ]);
        let mut own = owner.to_owned();
        fields(&mut own, tape, embedded, true);
        let index = index(tape, &own);
        text += &format!(
            "type {name} @collection(name: \"c{at}_items\") @scope(by: \"user:{{owner}}\") @conflict(policy: {policy}){index} {{\n  id: ID!\n{own}"
        );
        if at > 0 && tape.one_in(2) {
            text += "  other: Task @reference(by: \"otherId\")\n  otherId: ID\n";
        }
        text += "}\n";
    }
    text
}

/// An index of some of these fields, or none.
fn index(tape: &mut Tape, fields: &str) -> String {
    let indexed = fields.lines().filter_map(|line| {
        let (name, rest) = line.trim().split_once(": ")?;
        let ty = rest.split(' ').next()?.trim_end_matches('!');
        let is_ordered = SCALARS.iter().any(|(scalar, _)| *scalar == ty);
        (is_ordered && !["Bytes", "JSON"].contains(&ty) && tape.one_in(3))
            .then(|| format!("\"{name}\""))
    });
    let indexed: Vec<String> = indexed.collect();
    match indexed.is_empty() {
        true => String::new(),
        false => format!(" @index(fields: [{}])", indexed.join(", ")),
    }
}

/// Some fields, of the first `embedded` embedded types among others.
fn fields(text: &mut String, tape: &mut Tape, embedded: usize, documents: bool) {
    for at in 0..1 + tape.below(6) {
        let chosen = tape.below(SCALARS.len() + 2 * embedded);
        let (name, default) = match SCALARS.get(chosen) {
            Some((name, default)) => ((*name).to_owned(), Some(*default)),
            None => (format!("B{}", (chosen - SCALARS.len()) / 2), None),
        };
        let ty = match default {
            Some(_) => wrapped(tape, &name),
            None => wrapped(tape, &format!("{name}!")).replace("!!", "!"),
        };
        let required = ty.ends_with('!');
        let default = match tape.below(4) {
            2 if ty.starts_with("[[") => Some("[[], []]".to_owned()),
            2 if ty.starts_with('[') => {
                Some(default.map_or("[]".to_owned(), |it| format!("[{it}]")))
            }
            2 => default.map(str::to_owned),
            3 if !required => Some("null".to_owned()),
            _ => None,
        };
        let read_only = if documents && !required && tape.one_in(4) {
            " @readOnly"
        } else {
            ""
        };
        let default = default
            .map(|it| format!(" @default(value: {it})"))
            .unwrap_or_default();
        *text += &format!("  f{at}: {ty}{default}{read_only}\n");
    }
}

fn wrapped(tape: &mut Tape, name: &str) -> String {
    tape.of(&["T", "T!", "[T]", "[T!]", "[T!]!", "[[T]!]", "[[T!]!]!"])
        .replace('T', name)
}

/// A random schema. Marks show where a default may stand; they are comments until a fitting value is found. Marks of
/// one name get one default: those of an interface's field are those of the objects' fields.
pub(super) fn random(mut tape: Tape) -> String {
    let text = random_types(&mut tape);
    let schema =
        Schema::parse(&text, "random.graphql").unwrap_or_else(|error| panic!("{text}\n{error}"));
    let mut chosen = BTreeMap::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        let Some((before, mark)) = line.split_once(" #") else {
            lines.push(line.to_owned());
            continue;
        };
        let (_, ty) = before.split_once(": ").expect("marks follow types");
        let ty = Type::parse(ty, "type").expect("types are written above");
        if mark.is_empty() || !chosen.contains_key(mark) {
            let literal;
            (literal, tape) = default_literal(&schema, &ty, tape);
            let default = if tape.one_in(3) {
                format!(" = {literal}")
            } else {
                String::new()
            };
            chosen.insert(mark, default);
        }
        lines.push(format!("{before}{}", chosen[mark]));
    }
    lines.join("\n")
}

const INPUTS: [&str; 8] = ["String", "Int", "Float", "Boolean", "ID", "Any", "E0", "E1"];
const OBJECTS: [&str; 6] = ["O0", "O1", "O2", "N0", "N1", "U0"];

fn random_types(tape: &mut Tape) -> String {
    let mut text = format!("directive @oneOf on INPUT_OBJECT\nscalar Any\n{ENUMS}");
    let mut inputs: Vec<String> = INPUTS.map(str::to_owned).to_vec();
    for at in 0..4 {
        let one_of = at == 1 || tape.one_in(4);
        text += &format!("input I{at}{} {{\n", if one_of { " @oneOf" } else { "" });
        for field in ["a", "b", "c", "d"].iter().take(2 + tape.below(3)) {
            let inner = tape.below(inputs.len());
            let ty = wrapped(tape, &inputs[inner]);
            match one_of {
                true => {
                    text += &format!("  {field}: {}\n", ty.trim_end_matches('!'));
                }
                false => {
                    text += &format!("  {field}: {ty} #\n");
                }
            }
        }
        text += &format!("  again: I{at}\n}}\n");
        inputs.push(format!("I{at}"));
    }
    let shared = ["f0", "f1", "f2"].map(|name| output_field(tape, name, name, &inputs));
    let own = |tape: &mut Tape| {
        (2..5)
            .map(|at| output_field(tape, &format!("f{at}"), "", &inputs))
            .collect::<String>()
    };
    let [f0, f1, f2] = &shared;
    text +=
        &format!("interface N0 {{\n{f0}{f1}}}\ninterface N1 implements N0 {{\n{f0}{f1}{f2}}}\n");
    text += &format!("type O0 implements N0 {{\n{f0}{f1}{}}}\n", own(tape));
    let more: String = (3..5)
        .map(|at| output_field(tape, &format!("f{at}"), "", &inputs))
        .collect();
    text += &format!("type O1 implements N0 & N1 {{\n{f0}{f1}{f2}{more}}}\n");
    text += &format!("type O2 {{\n{f1}{}}}\n", own(tape));
    text += &format!(
        "union U0 = {}\n",
        tape.of(&["O0 | O1", "O0 | O2", "O2 | O1 | O0", "O2"])
    );
    for root in ["Query", "Mutation", "Subscription"] {
        let fields: String = (0..6)
            .map(|at| output_field(tape, &format!("r{at}"), "", &inputs))
            .collect();
        text += &format!("type {root} {{\n{fields}}}\n");
    }
    text
}

/// One line for each argument, which may be marked.
fn output_field(tape: &mut Tape, name: &str, mark: &str, inputs: &[String]) -> String {
    let mut arguments = String::new();
    for argument in ["a", "b", "c"].iter().take(tape.below(4)) {
        let inner = tape.below(inputs.len());
        let ty = wrapped(tape, &inputs[inner]);
        arguments += &format!(
            "    {argument}: {ty} #{}\n",
            if mark.is_empty() {
                String::new()
            } else {
                format!("{mark}{argument}")
            }
        );
    }
    let ty = match tape.one_in(2) {
        true => tape
            .of(&["T", "T!", "[T]", "[T!]!"])
            .replace('T', tape.of(&OBJECTS)),
        false => {
            let leaf = tape.of(&INPUTS);
            wrapped(tape, leaf)
        }
    };
    match arguments.is_empty() {
        true => format!("  {name}: {ty}\n"),
        false => format!("  {name}(\n{arguments}  ): {ty}\n"),
    }
}
