//! SIGHUP: keys, secrets and the level of the log change while a gateway runs, and it never ends by it. A stop lets a load
//! balancer look away first.

use std::{
    fs::{self, File},
    process::Command,
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    client, token,
    tokens::{Key, Provider, claims, directory},
};
use crate::harness::{
    Application, Asked, CONFIG, Client, SECRET, Server, Socket, Watched, command, configured,
    mongod::until, with_secret,
};

const OTHER: &str = "another secret that is long enough for HS256";

fn signal(server: &Server, name: &str) {
    let sent = Command::new("kill")
        .args([name, &server.pid().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// The configuration with these secrets in the file.
fn with_secrets(secrets: &str) -> String {
    CONFIG.replace("leeway = \"0s\"", &format!("leeway = \"0s\"\n{secrets}"))
}

#[tokio::test]
async fn two_secrets_are_good_at_a_time_and_a_mistake_changes_nothing() {
    let only = |secret: &str| with_secrets(&format!("secret = \"{secret}\"\n"));
    let both = with_secrets(&format!(
        "secret = \"{OTHER}\"\nprevious_secret = \"{SECRET}\"\n"
    ));
    let directory = configured(&only(SECRET));
    let (config, log) = (
        directory.path().join("tidegate.toml"),
        directory.path().join("log"),
    );
    let mut serve = command(directory.path());
    serve
        .arg("serve")
        .env_remove("TIDEGATE_LOG")
        .stderr(File::create(&log).unwrap());
    let server = Server::start(directory.path(), serve);
    let old = client(&server, &token(&directory, "alice"));
    let signed_by_other = configured(&only(OTHER));
    let sign = command(signed_by_other.path())
        .args(["token", "--sub", "alice", "--config", "tidegate.toml"])
        .output();
    let new = client(
        &server,
        String::from_utf8(sign.unwrap().stdout).unwrap().trim(),
    );
    let asked = async |who: &crate::harness::Client| {
        let answer = who.send("{ viewer { id } }", json!({})).await;
        answer["errors"].is_null()
    };
    let said =
        |text: &str, times: usize| fs::read_to_string(&log).unwrap().matches(text).count() >= times;
    let reloaded = "are loaded again";
    let mut socket = Socket::follow(&old, "").await;
    socket.page().await;
    assert!(asked(&old).await && !asked(&new).await);
    fs::write(&config, both).unwrap();
    signal(&server, "-HUP");
    until("a reload", async || said(reloaded, 1).then_some(())).await;
    assert!(asked(&old).await && asked(&new).await, "both are good");
    fs::write(&config, "nonsense = 1").unwrap();
    signal(&server, "-HUP");
    until("a complaint", async || {
        said("nothing is loaded again", 1).then_some(())
    })
    .await;
    assert!(
        asked(&old).await && asked(&new).await,
        "nothing has changed"
    );
    fs::write(&config, format!("{}[log]\nlevel = \"warn\"\n", only(OTHER))).unwrap();
    signal(&server, "-HUP");
    until("the old secret ends", async || {
        (!asked(&old).await).then_some(())
    })
    .await;
    assert!(asked(&new).await);
    let before = fs::read_to_string(&log).unwrap().lines().count();
    assert!(asked(&new).await);
    assert_eq!(
        fs::read_to_string(&log).unwrap().lines().count(),
        before,
        "operations are logged at info"
    );
    new.push_all(json!([{"task": {"create": {"id": "a", "document": {"title": "Stay"}}}}]))
        .await;
    socket.page().await;
    server.stop();
}

#[tokio::test]
async fn another_key_file_is_read_and_one_of_no_use_changes_nothing() {
    let (old, new) = (Key::p256(), Key::p256());
    let directory = directory(old.algorithm, "public_key_file = \"key.pem\"");
    let file = directory.path().join("key.pem");
    fs::write(&file, &old.public_pem).unwrap();
    let watched = watched_without_secret(directory);
    let by = |key: &Key| client(&watched.server, &key.token(None, &claims(json!({}))));
    let (by_old, by_new) = (by(&old), by(&new));
    assert!(is_accepted(&by_old).await && !is_accepted(&by_new).await);
    fs::write(&file, "no key at all").unwrap();
    signal(&watched.server, "-HUP");
    watched.until_logged("nothing is loaded again").await;
    assert!(is_accepted(&by_old).await && !is_accepted(&by_new).await);
    fs::write(&file, &new.public_pem).unwrap();
    signal(&watched.server, "-HUP");
    until("the new key", async || {
        is_accepted(&by_new).await.then_some(())
    })
    .await;
    assert!(!is_accepted(&by_old).await);
}

/// Without a reload a withdrawn key is accepted for ten minutes.
#[tokio::test]
async fn a_changed_key_set_is_fetched_with_the_next_token() {
    let provider = Provider::start().await;
    let (old, new) = (Key::p256(), Key::p256());
    provider.publish(json!([old.jwk("old")]));
    let settings = format!("jwks_url = \"{}\"", provider.url);
    let watched = watched_without_secret(directory(old.algorithm, &settings));
    let by = |key: &Key, kid: &str| {
        let token = key.token(Some(kid), &claims(json!({})));
        client(&watched.server, &token)
    };
    let (by_old, by_new) = (by(&old, "old"), by(&new, "new"));
    assert!(is_accepted(&by_old).await);
    provider.publish(json!([new.jwk("new")]));
    assert!(is_accepted(&by_old).await, "it is still known");
    signal(&watched.server, "-HUP");
    until("the new key", async || {
        is_accepted(&by_new).await.then_some(())
    })
    .await;
    assert!(!is_accepted(&by_old).await);
}

const REVIEWED: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Page @collection(name: "pages") @scope(by: "public") @conflict(policy: WEBHOOK, webhook: "review", overlap: MANUAL) {
  id: ID!
  text: String!
}
"#;

#[tokio::test]
async fn webhooks_are_signed_with_both_secrets_while_the_application_changes_its_own() {
    let application = Application::answering(json!("incoming")).await;
    let secrets = ["first", "second"].map(|name| format!("the {name} secret of the webhook"));
    let written = |secrets: &[&String]| {
        let names = ["secret", "previous_secret"];
        let lines = names.iter().zip(secrets).map(|(name, secret)| {
            let encoded = BASE64_STANDARD.encode(secret);
            format!("{name} = \"whsec_{encoded}\"\n")
        });
        let lines: String = lines.collect();
        let url = &application.url;
        format!("{CONFIG}[webhooks]\nurls = {{ review = \"{url}\" }}\n{lines}")
    };
    let [first, second] = &secrets;
    let directory = configured(&written(&[first]));
    fs::write(directory.path().join("model.graphql"), REVIEWED).unwrap();
    let watched = Watched::serve(directory, &[]);
    let file = watched.directory.path().join("tidegate.toml");
    let alice = watched.client("alice");
    let mut reloads = 0;
    for (number, secrets) in [&[first][..], &[second, first], &[second]]
        .iter()
        .enumerate()
    {
        if number > 0 {
            fs::write(&file, written(secrets)).unwrap();
            signal(&watched.server, "-HUP");
            reloads += 1;
            until("a reload", async || {
                let log = watched.log();
                let is_reload = |fields: &&Value| {
                    let message = fields["message"].as_str().unwrap_or_default();
                    message.ends_with("are loaded again")
                };
                (log.iter().filter(is_reload).count() == reloads).then_some(())
            })
            .await;
        }
        have_it_asked(&alice, &number.to_string()).await;
        let asked = application.asked().pop().unwrap();
        let expected: Vec<String> = secrets
            .iter()
            .map(|secret| signature(secret, &asked))
            .collect();
        assert_eq!(asked.header("webhook-signature"), expected.join(" "));
    }
    assert_eq!(application.asked().len(), 3);
}

/// Two edits that did not know of each other.
async fn have_it_asked(client: &Client, id: &str) {
    let query =
        "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
    let edit = |text: &str| json!({"update": {"id": id, "baseVersion": 1, "set": {"text": text}}});
    for change in [
        json!({"create": {"id": id, "document": {"text": "begun"}}}),
        edit("once"),
        edit("twice"),
    ] {
        let input = json!({"input": {"changes": [{"page": change}]}});
        client.data(query, input).await;
    }
}

/// As Standard Webhooks has it.
fn signature(secret: &str, asked: &Asked) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let (id, at) = (
        asked.header("webhook-id"),
        asked.header("webhook-timestamp"),
    );
    let signed = [format!("{id}.{at}.").as_bytes(), &asked.body].concat();
    let tag = hmac::sign(&key, &signed);
    format!("v1,{}", BASE64_STANDARD.encode(tag))
}

fn watched_without_secret(directory: TempDir) -> Watched {
    let mut serve = command(directory.path());
    serve.arg("serve");
    Watched::start(directory, serve)
}

async fn is_accepted(client: &Client) -> bool {
    let answer = client.send("{ viewer { id } }", json!({})).await;
    answer["errors"].is_null()
}

#[tokio::test]
async fn a_gateway_that_is_asked_to_stop_is_not_ready_first_and_still_serves() {
    let directory = configured(CONFIG);
    let mut serve = with_secret(directory.path(), &["serve"]);
    serve.env("TIDEGATE_HTTP__DRAIN_DELAY", "3s");
    let server = Server::start(directory.path(), serve);
    let alice = client(&server, &token(&directory, "alice"));
    let ready = async || reqwest::get(format!("{}/readyz", server.url)).await.ok();
    assert_eq!(ready().await.unwrap().status(), StatusCode::OK);
    let asked = Instant::now();
    signal(&server, "-TERM");
    let not_ready = until("a 503", async || {
        ready()
            .await
            .filter(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE)
    });
    let body: Value = serde_json::from_str(&not_ready.await.text().await.unwrap()).unwrap();
    assert_eq!(body["missing"], json!(["draining"]));
    let create = json!([{"task": {"create": {"id": "a", "document": {"title": "Stay"}}}}]);
    assert_eq!(alice.push_all(create).await[0]["status"], "APPLIED");
    until("the end", async || ready().await.is_none().then_some(())).await;
    assert!(asked.elapsed() >= Duration::from_secs(3));
}
