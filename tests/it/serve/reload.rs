//! SIGHUP: keys, secrets and the level of the log change while a gateway runs, and it never ends by it. A stop lets a load
//! balancer look away first.

use std::{
    fs::{self, File},
    process::Command,
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{client, token};
use crate::harness::{
    CONFIG, SECRET, Server, Socket, command, configured, mongod::until, with_secret,
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
