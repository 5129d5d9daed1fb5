//! The commands as a newcomer meets them: what they print, what they leave on disk, and their messages when they fail.
//!
//! `dev`, the maintenance of stores and `serve` have files of their own.

mod dev;
mod doctor;
mod follow;
mod maintain;
mod operations;

use std::{fs, net::TcpListener, path::Path};

use apollo_compiler::Schema;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{Server, answer, complaint, tidegate},
    schema::harbour,
};

fn write(directory: &TempDir, name: &str, text: &str) {
    fs::write(directory.path().join(name), text).unwrap();
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn the_committed_schema_is_what_schema_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = fs::read_to_string(root.join("schema.graphql")).unwrap();
    let printed = answer(root, &["schema", "--model", "model.graphql"]);
    assert!(
        printed == committed,
        "renew it: cargo run -- schema > schema.graphql"
    );
    let empty = TempDir::new().unwrap();
    assert!(
        answer(empty.path(), &["schema"]) == printed,
        "the example is built in"
    );
    Schema::parse_and_validate(printed, "schema.graphql").unwrap();
}

#[test]
fn check_names_the_types_and_the_fields_that_clash() {
    let directory = TempDir::new().unwrap();
    let reported = answer(directory.path(), &["check"]);
    assert_eq!(
        reported,
        "model: the built-in example syncs Task, Project, Article, Member\n"
    );
    let reported = answer(harbour().path(), &["check"]);
    assert_says(
        &reported,
        &[
            "model: model.graphql syncs Specimen, Preset, ",
            "note: `kind` has different types in Memo, Notice, Preset, Specimen\n",
            "`tidegate operations`",
        ],
    );
    assert!(
        !reported.contains("`owner`"),
        "equal types do not clash: {reported}"
    );
}

#[test]
fn check_warns_of_what_is_doubtful_and_takes_the_model() {
    let directory = TempDir::new().unwrap();
    let model = r#"extend schema @grant(scope: "user:{sub}", access: WRITE) @grant(scope: "teams:{teams}", access: READ)
type Note @collection(name: "notes") @scope(by: "user:{owner}") { id: ID! owner: ID! }
type Task @collection(name: "tasks") @scope(by: "team:{team}") { id: ID! team: ID! }
type Line { text: String }
"#;
    write(&directory, "model.graphql", model);
    let reported = answer(directory.path(), &["check"]);
    assert_says(
        &reported,
        &[
            "model: model.graphql syncs Note, Task\n",
            "model.graphql:1:72: warning: no type has documents in the scope \"teams:{teams}\"",
            "model.graphql:3:49: warning: no grant reaches the scope \"team:{team}\"",
            "model.graphql:4:6: warning: no synced type holds the embedded type Line\n  hint: ",
        ],
    );
}

#[test]
fn check_looks_at_the_configuration_and_makes_no_store() {
    let directory = TempDir::new().unwrap();
    write(
        &directory,
        "model.graphql",
        include_str!("../../model.graphql"),
    );
    write(&directory, "tidegate.toml", CONFIG);
    let reported = answer(directory.path(), &["check"]);
    assert_says(
        &reported,
        &["configuration: good\n", "store: none in data yet"],
    );
    assert!(!directory.path().join("data").exists());

    let dev = Server::dev_with(directory.path(), &["--store", "embedded:data"]);
    assert_says(
        &complaint_after_answer(&directory),
        &["data/tidegate.redb is in use by another process"],
    );
    dev.stop();
    assert_says(&answer(directory.path(), &["check"]), &["store: good\n"]);
    write(
        &directory,
        "tidegate.toml",
        &CONFIG.replace("HS256", "none"),
    );
    assert_says(
        &complaint(directory.path(), &["check"]),
        &["tidegate.toml:4", "auth.algorithms"],
    );
}

const CONFIG: &str = r#"store.url = "embedded:data"

[auth]
algorithms = ["HS256"]
secret = "a secret of this test, and of it alone"
"#;

/// `check` prints what is good before what is not.
fn complaint_after_answer(directory: &TempDir) -> String {
    let output = tidegate(directory.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn token_prints_a_token_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let arguments = [
        "token",
        "--sub",
        "alice",
        "--claims",
        r#"{"teams":["42"]}"#,
        "--expires",
        "30m",
    ];
    let first = tidegate(directory.path(), &arguments);
    let reported = String::from_utf8(first.stderr).unwrap();
    assert!(
        reported.contains("new development key"),
        "no gateway knows it yet: {reported}"
    );
    let output = tidegate(directory.path(), &arguments);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let token = String::from_utf8(output.stdout).unwrap();
    let parts: Vec<&str> = token.strip_suffix('\n').unwrap().split('.').collect();
    assert_eq!(parts.len(), 3);
    let claims =
        base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, parts[1]).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(
        (&claims["sub"], &claims["teams"]),
        (&json!("alice"), &json!(["42"]))
    );
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(lifetime, 30 * 60);
}

#[test]
fn token_refuses_what_would_make_a_useless_one() {
    let directory = TempDir::new().unwrap();
    for (option, value, reported) in [
        ("--claims", "[1]", "JSON object"),
        ("--claims", "{teams: 1}", "JSON object"),
        ("--claims", r#"{"sub":"bob"}"#, "sub"),
        ("--claims", r#"{"exp":1}"#, "exp"),
        ("--expires", "soon", "a duration is"),
        ("--expires", "-1h", "duration"),
        ("--expires", "100000000d", "at most 3650d"),
        ("--expires", "99999999999999999999d", "duration"),
        ("--sub", "", "user"),
    ] {
        let mut arguments = vec!["token", option, value];
        if option != "--sub" {
            arguments.extend(["--sub", "alice"]);
        }
        let output = tidegate(directory.path(), &arguments);
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{arguments:?}: {output:?}"
        );
        assert_says(&String::from_utf8(output.stderr).unwrap(), &[reported]);
    }
}

const WRONG: &str = r#"extend schema @grant(scope: "user:{sub}", access: WRITE)
type Note @collection(nam: "notes") @scope(by: "user:{ovner}") {
  id: ID!
  owner: Strin!
}
"#;

#[test]
fn every_command_reports_a_wrong_model_with_places_and_hints() {
    let directory = TempDir::new().unwrap();
    write(&directory, "wrong.graphql", WRONG);
    for command in ["dev", "schema", "operations", "check"] {
        let reported = complaint(directory.path(), &[command, "--model", "wrong.graphql"]);
        assert_says(
            &reported,
            &[
                "wrong.graphql:2:23: error: @collection has no argument `nam`\n  hint: did you mean `name`?",
                "wrong.graphql:2:48: error: ",
                "did you mean `owner`?",
                "wrong.graphql:4:10: error: the field `owner` has the unknown type Strin\n  hint: did you mean `String`?",
            ],
        );
    }
    let reported = complaint(directory.path(), &["schema", "--model", "nowhere.graphql"]);
    assert_says(&reported, &["nowhere.graphql cannot be read"]);
}

#[test]
fn help_and_mistyped_commands_lead_on() {
    let directory = TempDir::new().unwrap();
    let help = answer(directory.path(), &["--help"]);
    for command in [
        "dev",
        "serve",
        "schema",
        "operations",
        "check",
        "doctor",
        "token",
        "collect",
        "import",
        "rotate-epoch",
        "model",
        "erase",
        "export",
    ] {
        assert_says(&help, &[command]);
        assert_says(
            &answer(directory.path(), &[command, "--help"]),
            &["Usage: tidegate", command],
        );
    }
    assert_says(
        &answer(directory.path(), &["--version"]),
        &[env!("CARGO_PKG_VERSION")],
    );
    for (arguments, reported) in [
        (&["shema"][..], "'schema'"),
        (&["dev", "--modell", "x"], "'--model'"),
        (&["dev", "--listen", "4000"], "--listen"),
        (&["token"], "--sub"),
        (&[], "Usage: tidegate"),
    ] {
        let output = tidegate(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_says(&String::from_utf8(output.stderr).unwrap(), &[reported]);
    }
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        0,
        "nothing was left behind"
    );
}

#[test]
fn an_address_in_use_is_reported() {
    let directory = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let reported = complaint(directory.path(), &["dev", "--listen", &address]);
    assert_says(&reported, &[&address, "choose another"]);
}
