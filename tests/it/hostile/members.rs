//! Members with a valid token who try to stop, read or burden others.

use reqwest::Response;
use serde_json::Value;

use crate::{
    harness::{CONFIG, Client, Server, configured},
    serve::{client, token},
};

/// A query on a connection of its own, which stays open as long as its client does.
async fn asked(client: &Client) -> (reqwest::Client, Response) {
    let http = reqwest::Client::new();
    let request = http.post(format!("{}/graphql", client.url));
    let request = request
        .bearer_auth(&client.token)
        .header("content-type", "application/json")
        .body(r#"{"query": "{ viewer { id } }"}"#);
    let response = request.send().await.unwrap();
    (http, response)
}

#[tokio::test]
async fn one_user_with_many_connections_leaves_room_for_others() {
    let limits = "[limits]\nconnections = 10\nuser_connections = 6\n";
    let directory = configured(&format!("{CONFIG}{limits}"));
    let server = Server::serve(&directory);
    let users = ["alice", "bob"].map(|user| client(&server, &token(&directory, user)));
    let mut kept = Vec::new();
    for (user, places, status, code) in [
        (&users[0], 6, 429, "TOO_MANY_CONNECTIONS"),
        (&users[1], 4, 503, "OVERLOADED"),
    ] {
        for _ in 0..places {
            let (http, response) = asked(user).await;
            assert_eq!(response.status(), 200);
            response.text().await.unwrap();
            kept.push(http);
        }
        for _ in 0..3 {
            let (_, refused) = asked(user).await;
            assert_eq!(refused.status(), status, "{code}");
            let answer: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
            assert_eq!(answer["errors"][0]["extensions"]["code"], code);
        }
    }
    let health = reqwest::get(format!("{}/healthz", server.url)).await;
    assert_eq!(health.unwrap().status(), 200, "all places are taken");
}
