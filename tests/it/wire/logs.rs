//! The log: one line for each request with the id that joins it to others', and nothing that anybody has to keep secret.

use std::fs::{self, File};

use serde_json::{Value, json};

use crate::{
    harness::{CONFIG, Client, SECRET, Server, Socket, configured, with_secret},
    serve::{client, token},
};

const MARK: &str = "a-word-of-nobody-s-business";

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
async fn the_log_names_each_request_and_tells_no_secret_at_any_level() {
    let directory = configured(CONFIG);
    let path = directory.path().join("log");
    let mut command = with_secret(directory.path(), &["serve"]);
    command
        .env("TIDEGATE_LOG", "trace")
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
        let told = log.lines().find(|line| line.contains(secret));
        assert_eq!(told, None, "{secret}");
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
}
