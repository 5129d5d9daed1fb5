//! The log: one line for each request with the id that joins it to others', and nothing that is secret.

use std::fs::{self, File};

use base64::{Engine, prelude::BASE64_STANDARD};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{
        Application, CONFIG, Client, SECRET, Server, Socket, configured,
        mongod::{Deployment, ROOT, Times, free_port},
        with_secret,
    },
    serve::{client, token},
};

const MARK: &str = "a-word-of-nobody-s-business";

/// With it, the log names no user.
const USER_KEY: &str = "a key that is long enough for hashes of users";

async fn post(client: &Client, path: &str, id: &str) -> String {
    let variables = json!({"id": MARK});
    let body =
        json!({"query": "query($id: ID) { viewer(clientId: $id) { id } }", "variables": variables});
    let request = client.http.post(format!("{}{path}", client.url));
    let request = request
        .bearer_auth(&client.token)
        .header("content-type", "application/json")
        .header("x-request-id", id)
        .header("cookie", format!("session={MARK}"))
        .body(body.to_string());
    let response = request.send().await.unwrap();
    response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn the_log_names_each_request_and_no_secret_at_any_level() {
    let directory = configured(CONFIG);
    let path = directory.path().join("log");
    let mut command = with_secret(directory.path(), &["serve"]);
    command.env("TIDEGATE_LOG__USER_KEY", USER_KEY);
    command
        // With the most detail.
        .env(
            "TIDEGATE_LOG",
            "trace,tungstenite=trace,tungstenite::protocol=trace",
        )
        .stderr(File::create(&path).unwrap());
    let server = Server::start(directory.path(), command);
    let alice = client(&server, &token(&directory, "alice"));
    let http2 = reqwest::Client::builder().http2_prior_knowledge();
    let http2 = Client {
        http: http2.build().unwrap(),
        ..alice.clone()
    };
    assert_eq!(post(&alice, "/graphql", "trace-1").await, "trace-1");
    assert_eq!(post(&http2, "/graphql", "trace-2").await, "trace-2");
    let own = post(&alice, "/graphql", "not plain").await;
    assert!(own.parse::<u64>().is_ok(), "{own}");
    let query = format!("/graphql?query=%7Bviewer%7Bid%7D%7D&token={MARK}");
    post(&alice, &query, "trace-3").await;
    let refused = Client {
        token: format!("{}x", alice.token),
        ..alice.clone()
    };
    post(&refused, "/graphql", "trace-4").await;
    let mut socket = Socket::connect(&alice).await;
    let subscription = json!({"query": "query($id: ID) { viewer(clientId: $id) { id } }", "variables": {"id": MARK}});
    socket
        .send(json!({"type": "subscribe", "id": "1", "payload": subscription}))
        .await;
    assert_eq!(socket.next().await["type"], "next");
    drop(socket);
    server.stop();

    let log = fs::read_to_string(path).unwrap();
    let signature = alice.token.rsplit_once('.').unwrap().1;
    for secret in [&alice.token, signature, SECRET, MARK] {
        let reported = log.lines().find(|line| line.contains(secret));
        assert_eq!(reported, None, "{secret}");
    }
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["fields"]["message"] == "answered")
        .collect();
    for (id, status) in [
        ("trace-1", 200),
        ("trace-2", 200),
        (&own, 200),
        ("trace-3", 200),
        ("trace-4", 401),
    ] {
        let of_id = |line: &&Value| line["fields"]["id"] == id;
        let fields = &lines.iter().find(of_id).expect("each is named")["fields"];
        assert_eq!(fields["method"], "POST");
        assert_eq!(fields["path"], "/graphql");
        assert_eq!(fields["status"], status);
    }
    let operations: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["target"] == "operation")
        .collect();
    let of_request = |id: &str| {
        operations
            .iter()
            .find(|line| line["fields"]["request"] == id)
    };
    let first = &of_request("trace-1").expect("each operation has a line")["fields"];
    assert_eq!(first["transport"], "http");
    assert_eq!(first["kind"], "query");
    assert_eq!(first["code"], "OK");
    assert!(
        first["bytes"].as_u64() > Some(0) && first["ms"].is_u64(),
        "{first}"
    );
    let hash = first["user"].as_str().unwrap();
    assert!(hash.len() == 20 && !log.contains("alice"), "{hash}");
    assert!(of_request("trace-4").is_none(), "no user is known");
    let sockets = |line: &&Value| line["fields"]["transport"] == "websocket";
    let on_socket = operations
        .iter()
        .find(sockets)
        .expect("sockets have lines too");
    assert_eq!(on_socket["fields"]["code"], "OK");
}

#[tokio::test]
async fn the_log_says_why_the_push_of_a_device_failed() {
    let directory = configured(CONFIG);
    let path = directory.path().join("log");
    let mut command = with_secret(directory.path(), &["serve"]);
    command
        .env("TIDEGATE_LOG", "info")
        .stderr(File::create(&path).unwrap());
    let server = Server::start(directory.path(), command);
    let alice = client(&server, &token(&directory, "alice"));
    let push = "mutation PushFromPhone($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
    let sent = json!({"input": {
        "client": {"id": "phone-1", "firstMutationId": 1},
        "epoch": alice.data("{ viewer { epoch } }", json!({})).await["viewer"]["epoch"],
        "changes": [
            {"task": {"create": {"id": "a", "document": {"title": "Stay"}}}},
            {"task": {"update": {"id": "nobody", "baseVersion": 1, "set": {"title": "Stay"}}}},
        ],
    }});
    for _ in 0..2 {
        alice.data(push, sent.clone()).await;
    }
    alice.send("query { viewer { nothing } }", json!({})).await;
    reqwest::get(format!("{}/healthz", server.url))
        .await
        .unwrap();
    alice
        .http
        .post(format!("{}/graphql", server.url))
        .bearer_auth("none")
        .send()
        .await
        .unwrap();
    server.stop();

    let log = fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let named = |name: &str| {
        let of = |line: &&Value| line["fields"]["operation"] == name;
        lines
            .iter()
            .filter(of)
            .map(|line| &line["fields"])
            .collect::<Vec<_>>()
    };
    let [first, again] = named("PushFromPhone")[..] else {
        panic!("{log}");
    };
    for pushed in [first, again] {
        assert_eq!(pushed["user"], "alice");
        assert_eq!(pushed["client"], "phone-1");
        assert_eq!(pushed["kind"], "mutation");
        assert_eq!(pushed["code"], "OK");
        assert_eq!(pushed["applied"], 1);
        assert_eq!(pushed["rejected"], 1);
        assert_eq!(pushed["rejection"], "NOT_FOUND");
    }
    assert_eq!(
        (&first["repeated"], &again["repeated"]),
        (&json!(false), &json!(true))
    );
    let is_invalid = |line: &&Value| line["fields"]["code"] == "GRAPHQL_VALIDATION_FAILED";
    let wrong = lines
        .iter()
        .find(is_invalid)
        .expect("what is refused has a line");
    assert_eq!(wrong["fields"]["user"], "alice");
    let said = |message: &str| {
        lines
            .iter()
            .filter(|line| line["fields"]["message"] == message)
            .count()
    };
    assert_eq!(said("tokens are refused"), 1, "with the reason");
    assert_eq!(
        said("answered"),
        1,
        "of the refused token, and of no probe: {log}"
    );
}

/// A model whose conflicts an application decides.
const REVIEWED: &str = r#"
extend schema @grant(scope: "user:{sub}", access: WRITE)
type Page @collection(name: "pages") @scope(by: "user:{owner}") @conflict(policy: WEBHOOK, webhook: "review", overlap: SERVER_WINS) {
  id: ID!
  owner: ID! @default(value: "{sub}")
  text: String!
}
"#;

/// Two edits that did not know of each other, so that the application is asked.
async fn have_it_reviewed(client: &Client) {
    let page = |change: Value| json!({"page": change});
    let create = json!({"id": "a", "document": {"text": "begun"}});
    let edit = |text: String| {
        let update = json!({"id": "a", "baseVersion": 1, "set": {"text": text}});
        page(json!({"update": update}))
    };
    let query =
        "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
    for change in [
        page(json!({"create": create})),
        edit(MARK.to_owned()),
        edit(format!("{MARK}, again")),
    ] {
        let input = json!({"input": {"changes": [change]}});
        client.data(query, input).await;
    }
}

#[tokio::test]
async fn passwords_of_the_store_and_secrets_of_webhooks_are_logged_at_no_level() {
    let shared = BASE64_STANDARD.encode("known to gateway and webhook");
    let deployment = Deployment::with_users().await;
    let application = Application::answering(json!("incoming")).await;
    let quickly = "&serverSelectionTimeoutMS=500";
    let (user, password) = ROOT;
    let in_the_url = deployment.url("first") + quickly;
    let beside_it = deployment.url_of_nobody("second") + "&authSource=admin" + quickly;
    for (url, variables) in [
        (in_the_url, &[][..]),
        (
            beside_it,
            &[
                ("TIDEGATE_STORE__USERNAME", user),
                ("TIDEGATE_STORE__PASSWORD", password),
            ],
        ),
    ] {
        let config = CONFIG.replace("embedded:data", &url);
        let config = format!(
            "{config}[webhooks]\nurls = {{ review = \"{}\" }}\n",
            application.url
        );
        let directory = configured(&config);
        fs::write(directory.path().join("model.graphql"), REVIEWED).unwrap();
        let path = directory.path().join("log");
        let mut serve = with_secret(directory.path(), &["serve"]);
        serve
            .env("TIDEGATE_LOG", "trace")
            .env("TIDEGATE_WEBHOOKS__SECRET", format!("whsec_{shared}"))
            .envs(variables.iter().copied())
            .stderr(File::create(&path).unwrap());
        let server = Server::start(directory.path(), serve);
        let alice = client(&server, &token(&configured(CONFIG), "alice"));
        have_it_reviewed(&alice).await;
        deployment.kill(0);
        let failed = alice.text("{ viewer { epoch } }", json!({})).await.unwrap();
        deployment.restart(0).await;
        server.stop();

        let encoded = password.replace(' ', "%20");
        let log = fs::read_to_string(path).unwrap();
        assert!(log.contains("answered"), "it logs");
        for secret in [password, &encoded, SECRET, &shared, &alice.token, MARK] {
            assert!(!failed.contains(secret), "{failed}");
            let reported = log.lines().find(|line| line.contains(secret));
            assert_eq!(reported, None, "{secret}");
        }
    }
    assert_eq!(application.asked().len(), 2);
}

/// A gateway with the most detail in its log and a webhook that never answers, and the client of a user with the marker
/// as name.
fn failing_gateway(store: &str) -> (TempDir, Server, Client) {
    let nobody = free_port();
    let config = CONFIG.replace("embedded:data", store);
    let webhooks = format!(
        "[webhooks]\nurls = {{ review = \"http://127.0.0.1:{nobody}/{MARK}?key={MARK}\" }}\n"
    );
    let directory = configured(&(config + &webhooks));
    fs::write(directory.path().join("model.graphql"), REVIEWED).unwrap();
    let secret = BASE64_STANDARD.encode("known to gateway and webhook");
    let mut serve = with_secret(directory.path(), &["serve"]);
    serve
        .env("TIDEGATE_LOG", "trace")
        .env("TIDEGATE_LOG__USER_KEY", USER_KEY)
        .env("TIDEGATE_WEBHOOKS__SECRET", format!("whsec_{secret}"))
        .stderr(File::create(directory.path().join("log")).unwrap());
    let server = Server::start(directory.path(), serve);
    let marked = client(&server, &token(&configured(CONFIG), MARK));
    (directory, server, marked)
}

/// Pushes and requests with the marker wherever a user can put one.
async fn send_marked(client: &Client) {
    let id = format!("{MARK}\n2026-01-01T00:00:00Z ERROR forged");
    let create = json!({"id": id, "document": {"text": MARK}});
    let edit = |text: String| json!({"id": id, "baseVersion": 1, "set": {"text": text}});
    for change in [
        json!({"create": create}),
        json!({"update": edit(format!("{MARK}, once"))}),
        json!({"update": edit(format!("{MARK}, twice"))}),
    ] {
        push_page(client, change).await;
    }
    let url = format!("{}/{MARK}?{MARK}={MARK}", client.url);
    let method = reqwest::Method::from_bytes(MARK.as_bytes()).unwrap();
    for request in [client.http.get(&url), client.http.request(method, &url)] {
        let request = request.header("x-anything", MARK).header("origin", MARK);
        request.bearer_auth(MARK).send().await.unwrap();
    }
}

async fn push_page(client: &Client, change: Value) {
    let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status error { message } } } }";
    let input = json!({"input": {"changes": [{"page": change}]}});
    client.send(query, input).await;
}

/// What the log must hold, and what it must not.
fn expect_harmless(directory: &TempDir, failures: &[&str]) {
    let log = fs::read_to_string(directory.path().join("log")).unwrap();
    for failure in failures {
        assert!(log.contains(failure), "{failure} did not happen");
    }
    for secret in [MARK, "forged", "lsid", "$clusterTime", SECRET] {
        let reported = log.lines().find(|line| line.contains(secret));
        assert_eq!(reported, None, "{secret}");
    }
}

#[tokio::test]
async fn failures_at_an_embedded_store_put_no_content_into_the_log() {
    let (directory, server, client) = failing_gateway("embedded:data");
    send_marked(&client).await;
    server.stop();
    expect_harmless(&directory, &["answered", "a webhook has not decided"]);
}

#[tokio::test]
async fn failures_of_mongodb_put_no_content_into_the_log() {
    let deployment = Deployment::replica_set(1).await;
    let url = deployment.url("app");
    let (directory, server, client) = failing_gateway(&url);
    send_marked(&client).await;
    let database = deployment.client().await.database("app");
    let unique = doc! {"key": {"text": 1}, "name": MARK, "unique": true};
    let index = doc! {"createIndexes": "pages", "indexes": [unique]};
    database.run_command(index).await.unwrap();
    let page = |id: &str, text: &str| json!({"create": {"id": format!("{MARK}-{id}"), "document": {"text": text}}});
    let text = |n: i32| format!("{MARK} {n}");
    push_page(&client, page("0", &text(0))).await;
    push_page(&client, page("1", &text(0))).await;
    let late = doc! {"code": 64, "errmsg": MARK};
    let faults = [
        doc! {"failCommands": ["insert"], "errorCode": 112, "errorLabels": ["TransientTransactionError"]},
        doc! {"failCommands": ["insert"], "errorCode": 11_601},
        doc! {"failCommands": ["insert"], "closeConnection": true},
        doc! {"failCommands": ["commitTransaction"], "errorCode": 91},
        doc! {"failCommands": ["commitTransaction"], "writeConcernError": late},
        doc! {"failCommands": ["find"], "errorCode": 8},
        doc! {"failCommands": ["insert"], "errorCode": 13},
    ];
    for (how, n) in faults.into_iter().zip(2..) {
        deployment.fail_commands(Times::Next(2), how).await;
        push_page(&client, page(&n.to_string(), &text(n))).await;
        deployment.heal_commands().await;
    }
    let lost = doc! {"failCommands": ["getMore", "aggregate"], "errorCode": 286};
    deployment.fail_gateways(2, lost).await;
    // A record that cannot be read.
    let feed = database.collection::<Document>("tidegate.feed");
    let broken = doc! {"$set": {"q": MARK, "b": MARK, MARK: MARK}};
    feed.update_many(doc! {}, broken).await.unwrap();
    push_page(
        &client,
        json!({"update": {"id": format!("{MARK}-0"), "baseVersion": 1, "set": {"text": MARK}}}),
    )
    .await;
    server.stop();
    let failures = [
        "answered",
        "a webhook has not decided",
        "a transaction is repeated",
        "a transaction failed",
        "the change stream is opened again",
    ];
    expect_harmless(&directory, &failures);
}
