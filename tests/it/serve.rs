//! `serve` as an operator meets it: what a configuration may contain, what is refused by name, and what strangers see.
//!
//! `tokens` tests which tokens it accepts, and the other modules its work on a MongoDB.

mod apps;
mod gateways;
mod id_types;
mod importing;
mod maintenance;
#[cfg(target_os = "linux")]
mod memory;
mod metrics;
mod mongodb;
mod refresh;
#[cfg(target_os = "linux")]
mod reload;
mod restore;
mod starts;
mod tls;
pub(crate) mod tokens;

use std::fs;
#[cfg(target_os = "linux")]
use std::process::Command;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
#[cfg(target_os = "linux")]
use tokio::{net::TcpStream, time::timeout};

#[cfg(target_os = "linux")]
use crate::harness::PATIENCE;
use crate::harness::{
    CONFIG, Client, SECRET, Server, command, complaint, complaint_of, configured, configured_on,
    with_secret,
};

pub(crate) fn client(server: &Server, token: &str) -> Client {
    Client {
        url: server.url.clone(),
        token: token.to_owned(),
        http: reqwest::Client::new(),
    }
}

/// A token by the configuration's secret.
pub(crate) fn token(directory: &TempDir, user: &str) -> String {
    let arguments = ["token", "--sub", user, "--config", "tidegate.toml"];
    let output = with_secret(directory.path(), &arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn it_starts_from_a_file_with_its_secret_in_the_environment_and_stops_in_good_order() {
    let directory = configured(CONFIG);
    let server = Server::serve(&directory);
    let alice = client(&server, &token(&directory, "alice"));
    let results = alice
        .push_all(json!([{"task": {"create": {"id": "a", "document": {"title": "Stay"}}}}]))
        .await;
    assert_eq!(results[0]["status"], "APPLIED");
    for path in ["/healthz", "/readyz"] {
        let response = reqwest::get(format!("{}{path}", server.url)).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(body["status"], "ok", "{path}");
    }
    server.stop();
    let server = Server::serve(&directory);
    let page = client(&server, &alice.token).pull(None).await;
    assert_eq!(page["changes"][0]["document"]["title"], "Stay");
}

#[tokio::test]
async fn it_runs_from_the_environment_alone() {
    let directory = configured("");
    fs::remove_file(directory.path().join("tidegate.toml")).unwrap();
    let mut command = with_secret(directory.path(), &["serve"]);
    command.env("TIDEGATE_LISTEN", "127.0.0.1:0");
    command.env("TIDEGATE_STORE__URL", "embedded:elsewhere");
    command.env("TIDEGATE_AUTH__ALGORITHMS", "HS384, HS512");
    let server = Server::start(directory.path(), command);
    assert!(directory.path().join("elsewhere/tidegate.redb").exists());
    server.stop();
}

/// The command, by a process that may have few open files unless it asks for more.
#[cfg(target_os = "linux")]
fn with_few_files(command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"ulimit -Sn 64 && exec "$0" "$@""#]);
    limited.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.current_dir(command.get_current_dir().unwrap());
    limited
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn it_holds_as_many_connections_as_the_system_lets_it_whatever_it_was_started_with() {
    let directory = configured(CONFIG);
    let command = with_few_files(&with_secret(directory.path(), &["serve"]));
    let server = Server::start(directory.path(), command);
    let address = server.url.strip_prefix("http://").unwrap();
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    let answer = reqwest::get(format!("{}/healthz", server.url));
    let answer = timeout(PATIENCE, answer).await;
    let answer = answer.expect("it accepts no more connections").unwrap();
    assert_eq!(answer.status(), 200);
}

/// The message of `serve` about this configuration. It never contains the secret.
fn refusal(config: &str) -> String {
    let directory = configured(config);
    let reported = complaint_of(&mut with_secret(directory.path(), &["serve"]));
    assert!(!reported.contains(SECRET), "{reported}");
    assert!(
        !directory.path().join("data").exists(),
        "nothing was begun: {reported}"
    );
    reported
}

fn assert_says(reported: &str, parts: &[&str]) {
    for part in parts {
        assert!(reported.contains(part), "{part:?} is not in: {reported}");
    }
}

#[test]
fn an_unknown_setting_is_refused_with_its_line_and_the_nearest_name() {
    for (line, parts) in [
        (
            "[limits]\npush_change = 10",
            &[
                "tidegate.toml:11",
                "limits.push_change",
                "limits.push_changes",
            ][..],
        ),
        (
            "[http]\nallowed_origin = []",
            &["tidegate.toml:11", "http.allowed_origins"],
        ),
        (
            "[graphql]\nintrospektion = true",
            &["graphql.introspection"],
        ),
        (
            "[sotre]\nurl = \"x\"",
            &["tidegate.toml:10", "sotre", "store"],
        ),
        ("[limits\n", &["tidegate.toml:10", "not TOML"]),
    ] {
        assert_says(&refusal(&format!("{CONFIG}{line}\n")), parts);
    }
    let directory = configured(CONFIG);
    let mut command = with_secret(directory.path(), &["serve"]);
    command.env("TIDEGATE_STORE__ULR", "embedded:x");
    assert_says(
        &complaint_of(&mut command),
        &["TIDEGATE_STORE__ULR", "TIDEGATE_STORE__URL"],
    );
}

#[test]
fn unsafe_settings_are_refused_by_name() {
    let replaced = |from: &str, to: &str| {
        assert!(CONFIG.contains(from));
        CONFIG.replace(from, to)
    };
    let algorithms = |names: &str| replaced(r#"["HS256"]"#, names);
    for (config, parts) in [
        (
            algorithms(r#"["none"]"#),
            &["tidegate.toml:8", "auth.algorithms", "none"][..],
        ),
        (algorithms("[]"), &["auth.algorithms"]),
        (
            algorithms(r#"["HS256", "RS256"]"#),
            &["auth.algorithms", "forge"],
        ),
        (algorithms(r#"["RS256"]"#), &["auth.algorithms", "secret"]),
        (algorithms(r#"["HS265"]"#), &["HS265", "HS256"]),
        (replaced("\"0s\"", "\"5m\""), &["auth.leeway", "30s"]),
        (
            format!("{CONFIG}jwks_url = \"http://id.example.com/keys\"\n"),
            &["auth.jwks_url", "https://"],
        ),
        (
            format!("{CONFIG}public_key_file = \"key.pem\"\n"),
            &["auth.secret", "auth.public_key_file"],
        ),
        (
            format!("{CONFIG}[http]\nallowed_origins = [\"*\"]\n"),
            &["http.allowed_origins", "*"],
        ),
        (
            format!("{CONFIG}[http]\nallowed_origins = [\"https://app.example.com/\"]\n"),
            &["https://app.example.com"],
        ),
        (
            format!("{CONFIG}[limits]\npush_changes = 1001\n"),
            &["limits.push_changes", "1000"],
        ),
        (
            format!("{CONFIG}[limits]\nbody_bytes = 0\n"),
            &["limits.body_bytes"],
        ),
        (replaced("127.0.0.1:0", "4000"), &["listen", "0.0.0.0:4000"]),
        (
            replaced("embedded:data", "postgres://db"),
            &["store.url", "embedded:"],
        ),
        (
            replaced("embedded:data", "mongodb://u:hunter2@db1"),
            &["tidegate.toml:5", "store.url", "no database"],
        ),
    ] {
        let reported = refusal(&config);
        assert_says(&reported, parts);
        assert!(!reported.contains("hunter2"), "{reported}");
    }
}

#[test]
fn all_that_is_missing_is_reported_at_once() {
    let directory = TempDir::new().unwrap();
    let reported = complaint(directory.path(), &["serve"]);
    assert_says(&reported, &["store.url", "auth.algorithms", "auth.secret"]);
    let reported = complaint(directory.path(), &["serve", "--config", "nowhere.toml"]);
    assert_says(&reported, &["nowhere.toml cannot be read"]);
    let directory = configured(CONFIG);
    fs::remove_file(directory.path().join("model.graphql")).unwrap();
    let reported = complaint_of(&mut with_secret(directory.path(), &["serve"]));
    assert_says(&reported, &["model.graphql cannot be read"]);
    let directory = configured(&CONFIG.replace("HS256", "HS512"));
    let mut short = command(directory.path());
    short.arg("serve").env("TIDEGATE_AUTH__SECRET", "short");
    assert_says(
        &complaint_of(&mut short),
        &["TIDEGATE_AUTH__SECRET", "32 bytes"],
    );
}

#[test]
fn a_failed_start_is_one_line_of_json_whatever_is_logged() {
    let broken = configured(&format!(
        "{CONFIG}[limits]\npush_change = 10\nbody_byte = 1\n"
    ));
    let good = configured(CONFIG);
    for (directory, level, parts) in [
        (
            &broken,
            "off",
            &["limits.push_change", "limits.body_byte"][..],
        ),
        (&broken, "info", &["limits.push_change"]),
        (&good, "loud", &["TIDEGATE_LOG", "loud"]),
    ] {
        let mut serve = with_secret(directory.path(), &["serve"]);
        let output = serve.env("TIDEGATE_LOG", level).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(printed.lines().count(), 1, "{printed}");
        let line: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["fields"]["message"], "the gateway ends");
        assert_says(line["fields"]["reason"].as_str().unwrap(), parts);
    }
}

#[tokio::test]
async fn strangers_learn_nothing_of_the_model() {
    let directory = configured(CONFIG);
    let server = Server::serve(&directory);
    let alice = client(&server, &token(&directory, "alice"));
    for query in [
        "{ __schema { types { name } } }",
        r#"{ __type(name: "Task") { name } }"#,
    ] {
        let code = alice.code(query, json!({})).await;
        assert_eq!(code, "GRAPHQL_VALIDATION_FAILED", "{query}");
    }
    let answer = alice
        .send("{ viewer { readScope } }", json!({}))
        .await
        .to_string();
    assert!(!answer.contains("readScopes"), "hints are off: {answer}");

    let get = |path: &str, token: Option<&str>| {
        let request = alice.http.get(format!("{}{path}", server.url));
        let request = token
            .into_iter()
            .fold(request, |request, token| request.bearer_auth(token));
        async move { request.send().await.unwrap() }
    };
    assert_eq!(get("/", None).await.status(), 404, "there is no GraphiQL");
    let refused = get("/schema.graphql", None).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(code_of(&refused.text().await.unwrap()), "UNAUTHENTICATED");
    let shown = get("/schema.graphql", Some(&alice.token))
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(shown, include_str!("../../schema.graphql"));
}

#[tokio::test]
async fn introspection_and_graphiql_can_be_asked_for() {
    let directory = configured(&format!(
        "{CONFIG}[graphql]\nintrospection = true\ngraphiql = true\n"
    ));
    let server = Server::serve(&directory);
    let alice = client(&server, &token(&directory, "alice"));
    let data = alice
        .data(
            r#"{ __type(name: "SyncChangeInput") { isOneOf } }"#,
            json!({}),
        )
        .await;
    assert_eq!(data["__type"]["isOneOf"], true);
    let page = reqwest::get(format!("{}/", server.url)).await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
}

fn code_of(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {body}"));
    body["errors"][0]["extensions"]["code"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn pages_of_the_allowed_origins_may_call_and_no_others() {
    let config = format!("{CONFIG}[http]\nallowed_origins = [\"https://app.example.com\"]\n");
    let server = Server::serve(&configured(&config));
    let ask = |method: Method, origin: &str| {
        let request = reqwest::Client::new().request(method, format!("{}/graphql", server.url));
        let request = request
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
            .header("content-type", "application/json")
            .body(r#"{"query":"{ viewer { id } }"}"#);
        async move { request.send().await.unwrap() }
    };
    let preflight = ask(Method::OPTIONS, "https://app.example.com").await;
    assert!(preflight.status().is_success());
    let allowed = |name: &str| preflight.headers()[name].to_str().unwrap().to_lowercase();
    assert_eq!(
        allowed("access-control-allow-origin"),
        "https://app.example.com"
    );
    assert_says(
        &allowed("access-control-allow-headers"),
        &["authorization", "content-type"],
    );
    assert_says(&allowed("access-control-allow-methods"), &["post"]);

    let refused = ask(Method::POST, "https://app.example.com").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        refused.headers()["access-control-allow-origin"],
        "https://app.example.com",
        "pages can read why they are refused"
    );
    for method in [Method::OPTIONS, Method::POST] {
        for origin in [
            "https://evil.example.com",
            "https://app.example.com.evil.example",
            "null",
        ] {
            let response = ask(method.clone(), origin).await;
            assert!(
                !response
                    .headers()
                    .contains_key("access-control-allow-origin"),
                "{origin}"
            );
        }
    }
}
