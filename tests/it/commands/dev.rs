//! `dev`: it works from nothing, keeps what it was given, and checks its documents when the model has changed.
//!
//! `story` shows what two users do with it.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{assert_says, write};
use crate::harness::{Client, PATIENCE, Server, complaint, tidegate};

const DEV: [&str; 3] = ["dev", "--listen", "127.0.0.1:0"];

/// What `dev` prints, up to the end of the first operation.
fn welcome(server: &Server) -> Vec<String> {
    let mut lines = Vec::new();
    while let Ok(line) = server.printed.recv_timeout(PATIENCE) {
        let end = line.starts_with("  -d ");
        lines.push(line);
        if end {
            return lines;
        }
    }
    panic!("no first operation in {lines:?}");
}

/// The line after the one with this beginning.
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

/// Splits a command like a shell that knows only spaces, single quotes and continued lines.
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

/// A model of notes with these fields beside `id` and `owner`.
pub(super) fn notes(fields: &str) -> String {
    format!(
        "extend schema @grant(scope: \"user:{{sub}}\", access: WRITE)\n\
         type Note @collection(name: \"notes\") @scope(by: \"user:{{owner}}\") {{\n  id: ID!\n  owner: ID! @default(value: \"{{sub}}\")\n  {fields}\n}}\n"
    )
}

/// Pushes twelve old notes to a gateway of this model and stops it.
async fn with_notes(directory: &TempDir, fields: &str, document: Value) -> Client {
    let server = Server::dev_on(directory, &notes(fields));
    let alice = server.client("alice");
    let ids: Vec<String> = (0..12).map(|number| format!("n{number:02}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    create_notes(&alice, &ids, &document).await;
    server.stop();
    alice
}

/// Pushes notes with these ids and the same content.
pub(super) async fn create_notes(client: &Client, ids: &[&str], document: &Value) {
    let query = "mutation($c: [SyncChangeInput!]!) { pushChanges(input: {changes: $c}) { results { status } } }";
    let create = |id: &&str| json!({"note": {"create": {"id": id, "document": document}}});
    let creates: Vec<Value> = ids.iter().map(create).collect();
    let data = client.data(query, json!({"c": creates})).await;
    let results = data["pushChanges"]["results"].as_array().unwrap();
    assert!(results.iter().all(|it| it["status"] == "APPLIED"), "{data}");
}

#[tokio::test]
async fn a_model_that_stored_documents_do_not_fit_is_refused_and_they_are_named() {
    let directory = TempDir::new().unwrap();
    let enums = "}\nenum Mood { GOOD BAD OTHER }\ntype Part {\n  name: String\n";
    let fields = format!("text: String\n  mood: Mood\n  part: Part\n  words: [String]\n{enums}");
    let document = json!({"text": "old", "mood": "BAD", "part": {}, "words": [null]});
    with_notes(&directory, &fields, document).await;
    for (from, to, field) in [
        ("text: String", "text: String\n  stars: Int!", "stars"),
        ("text: String", "text: Int", "text"),
        ("text: String", "text: [String]", "text"),
        ("words: [String]", "words: [String!]", "words"),
        ("  name: String", "  name: String!", "name"),
        ("GOOD BAD", "GOOD", "mood"),
    ] {
        assert!(fields.contains(from));
        write(
            &directory,
            "model.graphql",
            &notes(&fields.replace(from, to)),
        );
        let reported = complaint(directory.path(), &DEV);
        let parts = [
            "12 stored documents do not fit the model",
            "n00",
            "n09",
            field,
            "@default",
        ];
        assert_says(&reported, &parts);
        assert!(!reported.contains("n10"), "ten are enough: {reported}");
    }
    write(&directory, "model.graphql", &notes(&fields));
    Server::dev(&directory).stop();
}

#[tokio::test]
async fn a_new_required_field_shows_its_default_in_old_documents() {
    let directory = TempDir::new().unwrap();
    let part = |fields: &str| format!("part: Part\n}}\ntype Part {{\n  name: String\n{fields}");
    let document = json!({"part": {"name": "p"}});
    let alice = with_notes(&directory, &part(""), document).await;
    let fields = format!(
        "stars: Int! @default(value: 3)\n  {}",
        part("  size: Int! @default(value: 7)")
    );
    let server = Server::dev_on(&directory, &notes(&fields));
    let query = "{ changesSince { changes { document { ... on Note { stars part { name size } } } } } \
        note(id: \"n00\") { stars part { name size } } }";
    let data = alice.at(&server).data(query, json!({})).await;
    let expected = json!({"stars": 3, "part": {"name": "p", "size": 7}});
    let changes = data["changesSince"]["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 12);
    for change in changes {
        assert_eq!(change["document"], expected);
    }
    assert_eq!(data["note"], expected);
}

#[tokio::test]
async fn a_type_that_leaves_the_model_hides_its_documents_until_it_is_back() {
    let directory = TempDir::new().unwrap();
    let alice = with_notes(&directory, "text: String", json!({"text": "old"})).await;
    let pull = async |server: &Server, checkpoint: &Value| {
        let query = "query($c: Checkpoint) { changesSince(checkpoint: $c) { changes { documentId } checkpoint hasMore reset } }";
        let mut data = alice.at(server).data(query, json!({"c": checkpoint})).await;
        assert_eq!(data["changesSince"]["hasMore"], false);
        data["changesSince"].take()
    };
    let count = |page: &Value| page["changes"].as_array().unwrap().len();
    let memos = notes("text: String")
        .replace("type Note", "type Memo")
        .replace("\"notes\"", "\"memos\"");
    let server = Server::dev_on(&directory, &memos);
    let without = pull(&server, &Value::Null).await;
    assert_eq!(count(&without), 0);
    server.stop();
    let both = format!(
        "{memos}{}",
        notes("text: String")
            .lines()
            .skip(1)
            .collect::<Vec<_>>()
            .join("\n")
    );
    let server = Server::dev_on(&directory, &both);
    let back = pull(&server, &without["checkpoint"]).await;
    assert_eq!(
        back["reset"], false,
        "a checkpoint knows what it has passed"
    );
    assert_eq!(count(&back), 12);
    server.stop();
    let again = pull(&Server::dev(&directory), &back["checkpoint"]).await;
    assert_eq!(count(&again), 0, "only once");
}

#[tokio::test]
async fn check_finds_the_documents_that_a_start_would_refuse() {
    let directory = TempDir::new().unwrap();
    with_notes(&directory, "text: String", json!({"text": "old"})).await;
    let config = "[store]\nurl = \"embedded:.tidegate\"\n[auth]\nalgorithms = [\"HS256\"]\nsecret = \"a secret that is long enough for HS256\"\n";
    std::fs::write(directory.path().join("tidegate.toml"), config).unwrap();
    let check = |fields: &str| {
        std::fs::write(directory.path().join("model.graphql"), notes(fields)).unwrap();
        tidegate(directory.path(), &["check"])
    };
    assert!(check("text: String").status.success());
    let refused = check("text: String size: Int!");
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{complaint}");
    assert!(
        complaint.contains("12 stored documents do not fit"),
        "{complaint}"
    );
    assert!(
        complaint.contains("Note/n00: size: is required"),
        "{complaint}"
    );
}

#[tokio::test]
async fn check_names_the_documents_whose_scope_no_rule_of_the_model_grants() {
    let directory = TempDir::new().unwrap();
    let model = |granted: &str| {
        format!(
            "extend schema @grant(scope: \"{granted}\", access: WRITE)\n\
             type Letter @collection(name: \"letters\") @scope(by: \"{{audience}}\") {{ id: ID! audience: String! }}\n"
        )
    };
    let server = Server::dev_on(&directory, &model("user:{sub}"));
    let letter =
        json!([{"letter": {"create": {"id": "lone", "document": {"audience": "user:alice"}}}}]);
    let push = "mutation($c: [SyncChangeInput!]!) { pushChanges(input: {changes: $c}) { results { status } } }";
    let pushed = server
        .client("alice")
        .data(push, json!({"c": letter}))
        .await;
    assert_eq!(pushed["pushChanges"]["results"][0]["status"], "APPLIED");
    server.stop();
    let config = "[store]\nurl = \"embedded:.tidegate\"\n[auth]\nalgorithms = [\"HS256\"]\nsecret = \"a secret that is long enough for HS256\"\n";
    fs::write(directory.path().join("tidegate.toml"), config).unwrap();
    let check = |granted: &str| {
        fs::write(directory.path().join("model.graphql"), model(granted)).unwrap();
        let checked = tidegate(directory.path(), &["check"]);
        assert!(checked.status.success());
        String::from_utf8(checked.stdout).unwrap()
    };
    assert!(!check("user:{sub}").contains("no rule of the model grants"));
    let said = check("team:{teams}");
    let note = "1 documents name a scope that no rule of the model grants, so nobody sees them: \"Letter/lone\"";
    assert!(said.contains(note), "{said}");
}
