//! The commands as a newcomer meets them: what they print, what they leave on disk, and what they say when they fail.
//!
//! `serve` and its configuration have a file of their own.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path};

use apollo_compiler::{ExecutableDocument, Schema};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{Server, answer, complaint, tidegate},
    schema::harbour,
};

const DEV: [&str; 3] = ["dev", "--listen", "127.0.0.1:0"];

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

#[tokio::test]
async fn every_ready_made_operation_is_valid_and_the_server_takes_it() {
    for directory in [TempDir::new().unwrap(), harbour()] {
        let sdl = answer(directory.path(), &["schema"]);
        let operations = answer(directory.path(), &["operations"]);
        let schema = Schema::parse_and_validate(sdl, "schema.graphql").unwrap();
        let document =
            ExecutableDocument::parse_and_validate(&schema, &operations, "operations.graphql");
        let document = document.unwrap_or_else(|error| panic!("{error}"));
        let names: Vec<_> = document
            .operations
            .named
            .keys()
            .map(|name| name.as_str())
            .collect();
        assert_eq!(names, ["Viewer", "ChangesSince", "Changes", "PushChanges"]);

        let server = Server::dev(&directory);
        let client = server.client("alice");
        for (name, variables) in [
            ("Viewer", json!({"clientId": "phone"})),
            ("ChangesSince", json!({"limit": 10})),
            ("PushChanges", json!({"input": {"changes": []}})),
        ] {
            let body = json!({"query": operations, "operationName": name, "variables": variables});
            let request = client.http.post(format!("{}/graphql", client.url));
            let request = request
                .bearer_auth(&client.token)
                .header("content-type", "application/json");
            let response = request.body(body.to_string()).send().await.unwrap();
            let text = response.text().await.unwrap();
            assert!(text.starts_with(r#"{"data":{"#), "{name}: {text}");
        }
        let mut socket = crate::harness::Socket::connect(&client).await;
        let payload = json!({"query": operations, "operationName": "Changes"});
        socket
            .send(json!({"type": "subscribe", "id": "1", "payload": payload}))
            .await;
        assert_eq!(socket.page().await["reset"], true);
    }
}

#[test]
fn check_names_the_types_and_the_fields_that_clash() {
    let directory = TempDir::new().unwrap();
    let told = answer(directory.path(), &["check"]);
    assert_eq!(told, "model: the built-in example syncs Task, Project\n");
    let told = answer(harbour().path(), &["check"]);
    assert_says(
        &told,
        &[
            "model: model.graphql syncs Specimen, Preset, ",
            "note: `kind` has different types in Memo, Notice, Preset, Specimen\n",
            "`tidegate operations`",
        ],
    );
    assert!(
        !told.contains("`owner`"),
        "equal types do not clash: {told}"
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
    let told = answer(directory.path(), &["check"]);
    assert_says(&told, &["configuration: good\n", "store: none in data yet"]);
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

/// `check` says what is good before it comes to what is not.
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
    for (option, value, told) in [
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
        assert_says(&String::from_utf8(output.stderr).unwrap(), &[told]);
    }
}

/// What `dev` prints, up to the end of the first operation.
fn welcome(server: &Server) -> Vec<String> {
    let mut lines = Vec::new();
    while let Ok(line) = server.printed.recv_timeout(crate::harness::PATIENCE) {
        let end = line.starts_with("  -d ");
        lines.push(line);
        if end {
            return lines;
        }
    }
    panic!("no first operation in {lines:?}");
}

/// The line after the one that begins so.
fn after<'l>(lines: &'l [String], heading: &str) -> &'l str {
    let position = lines.iter().position(|line| line.starts_with(heading));
    &lines[position.unwrap_or_else(|| panic!("no {heading:?} in {lines:?}")) + 1]
}

#[tokio::test]
async fn dev_works_with_no_file_at_all_and_its_first_operation_runs_as_printed() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let lines = welcome(&server);
    let (alice, bob) = (
        after(&lines, "Token for alice"),
        after(&lines, "Token for bob"),
    );
    assert_ne!(alice, bob);
    assert!(
        lines
            .iter()
            .any(|line| line.contains(&format!("{}/ ", server.url))),
        "{lines:?}"
    );

    let command = lines[lines.len() - 3..].join("\n");
    let words = shell_words(&command);
    assert_eq!(words[0], "curl");
    let mut request = reqwest::Client::new().post(&words[1]);
    for option in words[2..].chunks(2) {
        request = match option[0].as_str() {
            "-H" => {
                let (name, value) = option[1].split_once(": ").unwrap();
                request.header(name, value)
            }
            "-d" => request.body(option[1].clone()),
            other => panic!("curl has got an option {other}: {command}"),
        };
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(answer.get("errors"), None, "{answer}");

    for (token, user) in [(alice, "alice"), (bob, "bob")] {
        let mut client = server.client(user);
        client.token = token.to_owned();
        let viewer = client.data("{ viewer { id } }", json!({})).await;
        assert_eq!(viewer["viewer"]["id"], user);
    }
    let page = reqwest::get(format!("{}/", server.url)).await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
}

/// Splits a command as a shell does that knows nothing but spaces, single quotes and continued lines.
fn shell_words(command: &str) -> Vec<String> {
    let command = command.replace("\\\n", " ");
    let parts = command.split('\'').enumerate();
    parts
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

#[tokio::test]
async fn dev_keeps_its_key_and_its_documents_and_both_are_private() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let client = server.client("alice");
    client
        .push_all(json!([{"task": {"create": {"id": "a", "document": {"title": "Stay"}}}}]))
        .await;
    server.stop();
    let mode = |name: &str| {
        let path = directory.path().join(".tidegate").join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("dev.key"), 0o600);
    assert_eq!(
        mode("tidegate.redb"),
        0o600,
        "documents are nobody else's either"
    );

    let server = Server::dev(&directory);
    let page = client.at(&server).pull(None).await;
    assert_eq!(page["changes"][0]["document"]["title"], "Stay");
}

const WRONG: &str = r#"extend schema @grant(scope: "user:{sub}", access: WRITE)
type Note @collection(nam: "notes") @scope(by: "user:{ovner}") {
  id: ID!
  owner: Strin!
}
"#;

#[test]
fn a_wrong_model_is_told_with_places_and_hints_by_every_command() {
    let directory = TempDir::new().unwrap();
    write(&directory, "wrong.graphql", WRONG);
    for command in ["dev", "schema", "operations", "check"] {
        let told = complaint(directory.path(), &[command, "--model", "wrong.graphql"]);
        assert_says(
            &told,
            &[
                "wrong.graphql:2:23: error: @collection has no argument `nam`\n  hint: did you mean `name`?",
                "wrong.graphql:2:48: error: ",
                "did you mean `owner`?",
                "wrong.graphql:4:10: error: the field `owner` has the unknown type Strin\n  hint: did you mean `String`?",
            ],
        );
    }
    let told = complaint(directory.path(), &["schema", "--model", "nowhere.graphql"]);
    assert_says(&told, &["nowhere.graphql cannot be read"]);
}

#[tokio::test]
async fn collect_takes_old_tombstones_and_rotate_epoch_resets_clients() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    alice
        .push_all(json!([{"task": {"create": {"id": "a", "document": {"title": "Go"}}}}]))
        .await;
    let before = alice.pull(None).await;
    alice
        .push_all(json!([{"task": {"delete": {"id": "a", "baseVersion": 1}}}]))
        .await;
    server.stop();

    let collect = |age: &str| {
        let output = tidegate(directory.path(), &["collect", "--older-than", age]);
        assert!(
            output.status.success() && output.stdout.is_empty(),
            "{output:?}"
        );
        String::from_utf8(output.stderr).unwrap()
    };
    assert_says(&collect("1d"), &["collected 0 tombstones and markers"]);
    assert_says(&collect("0s"), &["collected 1 tombstones and markers"]);

    let server = Server::dev(&directory);
    let alice = alice.at(&server);
    let page = alice.pull(before["checkpoint"].as_str()).await;
    assert_eq!(page["reset"], true, "a client below the floor begins anew");
    assert_eq!(page["changes"], json!([]));
    server.stop();

    let output = tidegate(directory.path(), &["rotate-epoch"]);
    assert!(output.status.success(), "{output:?}");
    let server = Server::dev(&directory);
    let rotated = alice.at(&server).pull(page["checkpoint"].as_str()).await;
    assert_eq!(rotated["reset"], true);
    assert_ne!(rotated["epoch"], page["epoch"]);
    assert_says(
        &String::from_utf8(output.stderr).unwrap(),
        &[rotated["epoch"].as_str().unwrap()],
    );
}

#[test]
fn maintenance_refuses_a_directory_without_a_store_and_makes_none() {
    let directory = TempDir::new().unwrap();
    for arguments in [
        &["collect"][..],
        &["rotate-epoch"],
        &["collect", "--store", "embedded:elsewhere"],
        &["rotate-epoch", "--data", "elsewhere"],
    ] {
        let told = complaint(directory.path(), arguments);
        assert_says(&told, &["there is no store in "]);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let told = complaint(
        directory.path(),
        &["collect", "--store", "mongodb://somewhere/app"],
    );
    assert_says(&told, &["MongoDB", "embedded:"]);
}

/// A model of notes with these fields beside `id` and `owner`.
fn notes(fields: &str) -> String {
    format!(
        "extend schema @grant(scope: \"user:{{sub}}\", access: WRITE)\n\
         type Note @collection(name: \"notes\") @scope(by: \"user:{{owner}}\") {{\n  id: ID!\n  owner: ID! @default(value: \"{{sub}}\")\n  {fields}\n}}\n"
    )
}

#[tokio::test]
async fn a_model_that_stored_documents_do_not_fit_is_refused_and_a_default_fills_them() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, &notes("text: String"));
    let alice = server.client("alice");
    let query = "mutation($c: [SyncChangeInput!]!) { pushChanges(input: {changes: $c}) { results { status } } }";
    let create = |id: String| json!({"note": {"create": {"id": id, "document": {"text": "old"}}}});
    let creates: Vec<Value> = (0..12)
        .map(|number| create(format!("n{number:02}")))
        .collect();
    alice.data(query, json!({"c": creates})).await;
    server.stop();

    for fields in ["text: String\n  stars: Int!", "text: Int"] {
        write(&directory, "model.graphql", &notes(fields));
        let told = complaint(directory.path(), &DEV);
        let field = if fields.contains("stars") {
            "stars"
        } else {
            "text"
        };
        assert_says(
            &told,
            &[
                "12 stored documents do not fit the model",
                "n00",
                "n09",
                field,
                "@default",
            ],
        );
        assert!(!told.contains("n10"), "ten are enough: {told}");
    }
    let server = Server::dev_on(
        &directory,
        &notes("text: String\n  stars: Int! @default(value: 3)"),
    );
    let query = "{ changesSince { changes { document { ... on Note { text stars } } } } note(id: \"n00\") { stars } }";
    let data = alice.at(&server).data(query, json!({})).await;
    let changes = data["changesSince"]["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 12);
    for change in changes {
        assert_eq!(change["document"], json!({"text": "old", "stars": 3}));
    }
    assert_eq!(data["note"]["stars"], 3);
}

#[test]
fn a_type_that_left_the_model_hides_its_documents_and_harms_no_start() {
    let directory = TempDir::new().unwrap();
    Server::dev(&directory).stop();
    let server = Server::dev_on(&directory, &notes("text: String"));
    server.stop();
    Server::dev_with(directory.path(), &[]).stop();
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
        "token",
        "collect",
        "rotate-epoch",
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
    for (arguments, told) in [
        (&["shema"][..], "'schema'"),
        (&["dev", "--modell", "x"], "'--model'"),
        (&["dev", "--listen", "4000"], "--listen"),
        (&["token"], "--sub"),
        (&[], "Usage: tidegate"),
    ] {
        let output = tidegate(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_says(&String::from_utf8(output.stderr).unwrap(), &[told]);
    }
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        0,
        "nothing was left behind"
    );
}

#[test]
fn an_address_that_is_taken_is_told() {
    let directory = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let told = complaint(directory.path(), &["dev", "--listen", &address]);
    assert_says(&told, &[&address, "choose another"]);
}
