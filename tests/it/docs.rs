//! The README and docs/errors.md say what the code does.

use std::fs;

use serde_json::json;
use tempfile::TempDir;
use tidegate::graphql::error::Code;
use tidegate_core::change::RejectionCode;

use crate::harness::{Client, Server};

#[test]
fn the_page_on_errors_lists_every_code_and_no_other() {
    let page = fs::read_to_string("docs/errors.md").unwrap();
    let failures = Code::ALL
        .iter()
        .map(|(_, name, status, meaning)| format!("| `{name}` | {status} | {meaning} |"));
    let rejections = RejectionCode::ALL
        .iter()
        .map(|(_, name, meaning)| format!("| `{name}` | {meaning} |"));
    let expected: Vec<String> = failures.chain(rejections).collect();
    let listed: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `") && !line.starts_with("| `extensions.code`"))
        .filter(|line| !line.starts_with("| `error.code`"))
        .collect();
    assert_eq!(listed, expected);
}

/// What the shell makes of a quoted operation, and the JSON around it.
fn operation(quoted: &str, conflict: &str) -> String {
    let quoted = quoted.replace("\\\\\\\"", "\\\"");
    let quoted = quoted.replace("$CONFLICT", conflict);
    serde_json::from_str(&format!("\"{quoted}\"")).unwrap()
}

/// A client with the claims by which the README gets its token.
fn client_of(readme: &str, server: &Server, name: &str) -> Client {
    let command = format!(
        "{name}=$(cargo run -q --release -- token --sub {}",
        name.to_lowercase()
    );
    let (_, rest) = readme.split_once(&command).unwrap();
    let (options, _) = rest.split_once(")\n").unwrap();
    let claims = options
        .strip_prefix(" --claims '")
        .map_or("{}", |it| it.trim_end_matches('\''));
    server.client_with(&name.to_lowercase(), &serde_json::from_str(claims).unwrap())
}

/// Sends the README's operations on devices, conflicts and roles line by line, as a newcomer types them.
#[tokio::test]
async fn what_the_readme_shows_is_what_its_users_are_answered() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let readme = fs::read_to_string("README.md").unwrap();
    let mut lines = readme.lines();
    let (mut shown, mut conflict) = (0, String::new());
    while let Some(line) = lines.next() {
        let Some((_, sent)) = line
            .strip_prefix("$ ")
            .and_then(|line| line.split_once("gql $"))
        else {
            continue;
        };
        let (name, rest) = sent.split_once(' ').unwrap();
        let client = client_of(&readme, &server, name);
        let quote = &rest[..1];
        let end = match quote {
            "'" => rest[1..].find(quote),
            _ => rest[1..].rfind(quote),
        };
        let query = operation(&rest[1..=end.unwrap()], &conflict);
        let answer = client.text(&query, json!({})).await.unwrap();
        if line.starts_with("$ CONFLICT=") {
            let id = answer.split('"').find(|part| part.len() == 32);
            id.unwrap().clone_into(&mut conflict);
        } else {
            assert_eq!(Some(answer.as_str()), lines.next(), "{line}");
            shown += 1;
        }
    }
    assert!(shown >= 18, "{shown}");
}
