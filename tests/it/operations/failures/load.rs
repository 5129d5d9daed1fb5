//! Gateways that write to one scope at a time, a webhook that is slow, and a user beyond a limit.

use std::{fs, thread, time::Duration};

use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::{Failure, task};
use crate::harness::{
    Application, CONFIG, Client, Watched, configured, configured_on,
    mongod::{Deployment, fresh_database},
    push_query,
};

const UNLIMITED: (&str, &str) = ("TIDEGATE_LIMITS__USER_RATE", "0");

async fn push_for_ever(client: Client, name: String) {
    for round in 0_u32.. {
        client
            .push_all(json!([task(&format!("{name}-{round}"))]))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_write_conflicts() {
    let failure = Failure::named("A storm of write conflicts");
    let url = Deployment::shared().await.url(&fresh_database());
    let gateways = [(); 2].map(|()| Watched::serve(configured_on(&url), &[UNLIMITED]));
    let workers: Vec<_> = (0..8)
        .map(|number| {
            let client = gateways[number % 2].client("alice");
            tokio::spawn(push_for_ever(client, number.to_string()))
        })
        .collect();
    let conflicts = failure.series("tidegate_write_conflicts_total", "");
    let durations = failure.says("tidegate_commit_duration_seconds{result=\"conflict\"}");
    let count = durations.replace('{', "_count{");
    for gateway in &gateways {
        gateway.until_value(&conflicts, |times| times > 3.0).await;
        gateway.until_value(&count, |times| times > 3.0).await;
    }
    workers.iter().for_each(tokio::task::JoinHandle::abort);
}

const REVIEWED: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Article @collection(name: "articles") @scope(by: "public") @conflict(policy: WEBHOOK, webhook: "review", overlap: MANUAL) {
  id: ID!
  title: String!
}
"#;

const PUSH: &str =
    "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";

async fn push(client: &Client, changes: Vec<Value>) -> Value {
    client
        .send(PUSH, json!({"input": {"changes": changes}}))
        .await
}

fn retitle(id: u32, title: &str) -> Value {
    let update = json!({"id": id.to_string(), "baseVersion": 1, "set": {"title": title}});
    json!({"article": {"update": update}})
}

/// Each answer takes longer than it may, and the questions of one push wait for one another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_webhook() {
    let failure = Failure::named("A slow webhook");
    let application = Application::start(|_| {
        tokio::task::block_in_place(|| thread::sleep(Duration::from_secs(4)));
        "\"current\"".into_response()
    })
    .await;
    let webhooks = format!(
        "[webhooks]\nurls = {{ review = \"{}\" }}\ntimeout = \"3s\"\nconcurrency = 1\nsecret = \"whsec_{}\"\n",
        application.url,
        "A".repeat(32)
    );
    let directory = configured(&format!("{CONFIG}{webhooks}"));
    fs::write(directory.path().join("model.graphql"), REVIEWED).unwrap();
    let watched = Watched::serve(directory, &[]);
    let alice = watched.client("alice");
    let create = |id: u32| json!({"article": {"create": {"id": id.to_string(), "document": {"title": "old"}}}});
    push(&alice, (0..8).map(create).collect()).await;
    push(&alice, (0..8).map(|id| retitle(id, "new")).collect()).await;
    let stale = (0..8).map(|id| retitle(id, "stale")).collect();
    let crowded = push(&alice, stale).await;
    let code = failure.says("OVERLOADED");
    assert_eq!(super::failure(&crowded).0, code);
    for result in ["late", "crowded"] {
        failure.says(&format!("`{result}`"));
        failure.says("tidegate_webhook_duration_seconds");
        let series = format!(
            "tidegate_webhook_duration_seconds_count{{webhook=\"review\",result=\"{result}\"}}"
        );
        watched.until_value(&series, |times| times >= 1.0).await;
    }
    failure.says("Late answers leave documents as they are");
    let title = alice.data("{ article(id: \"0\") { title } }", json!({}));
    assert_eq!(title.await["article"]["title"], "new");
}

#[tokio::test]
async fn a_limit_that_is_reached() {
    let failure = Failure::named("A limit that is reached");
    let settings = [
        ("TIDEGATE_LIMITS__USER_RATE", "1"),
        ("TIDEGATE_LIMITS__USER_BURST", "3"),
    ];
    let watched = Watched::serve(configured(CONFIG), &settings);
    let alice = watched.client("alice");
    let mut codes = Vec::new();
    for number in 0..6 {
        let input = json!({"input": {"changes": [task(&number.to_string())]}});
        let answer = alice.send(&push_query(), input).await;
        let code = answer["errors"][0]["extensions"]["code"].as_str();
        codes.push(code.map(str::to_owned));
    }
    let code = failure.says("RATE_LIMITED");
    assert!(codes.iter().flatten().any(|it| it == code), "{codes:?}");
    let bob = watched
        .client("bob")
        .push_all(json!([task("of-bob")]))
        .await;
    assert_eq!(bob[0]["status"], "APPLIED", "others go on");
    let series = failure.series("tidegate_refusals_total", "limit=\"user_rate\"");
    watched.until_value(&series, |times| times >= 1.0).await;
    failure.says("with the `user`");
    let is_named = |fields: &Value| fields["code"] == code && fields["user"] == "alice";
    assert!(watched.log().iter().any(is_named));
}
